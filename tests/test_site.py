"""The site is built without a warning, and has the pages that are no files of docs/ (`tox -e docs`)."""

import re
from pathlib import Path

import pytest

from benchmarks.console import COMMANDS
from reports.records.metrics import METRICS

pytestmark = pytest.mark.slow  # half a minute
pytest.importorskip("mkdocs", reason="needs the extra docs")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `mkdocs build` makes it; dead links and stray pages are errors (mkdocs.yml)."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


def test_pages_are_made_of_readme_parsers_docstrings_metrics_and_entries(site):
    def words(page):
        return " ".join(re.sub("<[^>]+>", "", (site / page).read_text()).split())

    assert "python -m benchmarks.run all" in words("index.html")
    assert "portraits-300" in words("board/board.html")
    assert "usage: diffae-bench images edit" in words("commands/images.html")
    assert "Measure a model, or several of them" in words("api/benchmarks.html")
    assert all((site / "commands" / f"{name}.html").is_file() for name in COMMANDS)
    metrics = (site / "every-metric.html").read_text()
    assert all(f"<code>{name}</code>" in metrics for name in METRICS)


def test_links_have_the_titles_of_pages_and_not_the_names_of_files(site):
    start = (site / "index.html").read_text()
    assert ">What the numbers mean</a>" in start and ">docs/" not in start


def test_a_page_asks_no_other_host_for_a_script_a_font_or_a_picture(site):
    sources = r"<(?:script|img)\b[^>]*\bsrc=\"https?:|<link\b[^>]*\brel=\"stylesheet\"[^>]*https?:"
    assert not [page for page in site.rglob("*.html") if re.search(sources, page.read_text())]
