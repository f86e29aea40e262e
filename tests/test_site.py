"""The site: a strict build, what it refuses, what it shows and its search (`tox -e docs`)."""

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
from programs import program

import benchmarks
from benchmarks.console import COMMANDS
from reports.records.metrics import METRICS

pytestmark = pytest.mark.slow  # half a minute each
Abort = pytest.importorskip("mkdocs.exceptions", reason="needs the extra docs").Abort

ROOT = Path(__file__).parents[1]


def build(docs, site):
    """Build the site of the pages in `docs`, as `mkdocs build` does."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(site)))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build(ROOT / "docs", folder)
    return folder


def test_a_dead_link_a_stray_page_and_a_name_without_docstring_are_refused(
    tmp_path, monkeypatch, caplog
):
    docs = shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (docs / "stray.md").write_text("# In no navigation\n")
    with (docs / "store.md").open("a") as page:
        page.write("\n[dead](nowhere.md) [no heading](data.md#nowhere) [out](../nowhere.py)\n")
    monkeypatch.setattr(benchmarks.evaluate, "__doc__", None)
    with caplog.at_level(logging.WARNING, "mkdocs"), pytest.raises(Abort) as end:
        build(docs, tmp_path / "site")
    told = [record.getMessage() for record in caplog.records if record.name.startswith("mkdocs")]
    for part in (
        "stray.md",
        "'nowhere.md'",
        "'#nowhere'",
        "'../nowhere.py'",
        "benchmarks.evaluate has no docstring",
    ):
        assert sum(part in line for line in told) == 1, part
    assert "Aborted with 5 warnings in strict mode" in str(end.value)


def test_every_page_of_docs_and_every_command_is_a_page(site):
    pages = {
        path.relative_to(ROOT / "docs").with_suffix(".html") for path in ROOT.glob("docs/**/*.md")
    }
    made = {page.with_name("index.html") if page.stem == "README" else page for page in pages}
    made |= {Path("index.html"), *(Path("commands", f"{name}.html") for name in COMMANDS)}
    assert not {page for page in made if not (site / page).is_file()}


def test_pages_are_made_of_readme_parsers_docstrings_and_the_table_of_metrics(site):
    def words(page):
        return " ".join(re.sub("<[^>]+>", "", (site / page).read_text()).split())

    assert "python -m benchmarks.run all" in words("index.html")
    assert "portraits-300" in words("board/board.html")
    assert 'src="pictures/overview.png"' in (site / "index.html").read_text()
    assert "--dry-run say what would be computed, and compute nothing" in words("commands/run.html")
    assert "usage: diffae-bench images edit" in words("commands/images.html")
    assert "Measure a model, or several of them" in words("api/benchmarks.html")
    assert "Whether the table has rows of this setting." in words("api/benchmarks.plugin.html")
    assert all(
        f"<code>{name}</code>" in (site / "every-metric.html").read_text() for name in METRICS
    )


def test_links_have_the_titles_of_pages_and_not_the_names_of_files(site):
    start = (site / "index.html").read_text()
    assert ">What the numbers mean</a>" in start and ">docs/" not in start


def test_the_search_knows_the_words_of_the_pages(site):
    index = json.loads((site / "search" / "search_index.json").read_text())
    found = [one["location"] for one in index["docs"] if "winsorised" in one["text"]]
    assert "numbers.html#uncertainty-of-a-number" in found


@pytest.fixture(scope="module")
def phone(site):
    """A page of a browser of 400 px without a network."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        path = program("chromium")
        with play.chromium.launch(executable_path=path, args=["--no-sandbox"]) as browser:
            viewport = {"width": 400, "height": 800}
            yield browser.new_context(viewport=viewport, offline=True).new_page()


def test_pages_opened_as_files_fit_a_phone_and_need_no_network(site, phone):
    asked, errors = [], []
    phone.on("request", lambda request: asked.append(request.url))
    phone.on("pageerror", lambda error: errors.append(str(error)))
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    broken = "[...document.images].some(image => !image.naturalWidth)"
    cut = "[...document.querySelectorAll('pre code')].some(e => e.scrollWidth > e.clientWidth + 1)"
    for page in set(site.rglob("*.html")) - {site / "404.html"}:  # whose paths are a server's
        phone.goto(page.as_uri())
        assert not phone.evaluate(f"{wide} || {broken} || {cut}"), page
    assert not errors and asked
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]


def test_the_search_of_a_page_opened_as_a_file_finds_words(site, phone):
    phone.goto((site / "commands" / "run.html").as_uri())
    phone.click("label[for=__search]:visible")
    phone.locator(".md-search__input").press_sequentially("winsorised")
    found = phone.locator(".md-search-result__link").first
    assert "numbers.html" in found.get_attribute("href")
