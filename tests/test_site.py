"""The site is built without a warning, and has the pages that are no files of docs/ (`tox -e docs`)."""

import html
import re
from collections import Counter
from pathlib import Path

import pytest
from doc_scripts import script

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


@pytest.fixture(scope="module")
def sources(site):
    """The Markdown of every page of the site, by the page."""
    hook = script(ROOT / "docs" / "reference.py")
    files = (ROOT / "docs").rglob("*.md")
    written = {file.relative_to(ROOT / "docs").as_posix(): file.read_text() for file in files}
    pages = {name: text for name, text in (written | hook.added()).items()}
    built = {name: name.replace("README.md", "index.md").replace(".md", ".html") for name in pages}
    return {site / built[name]: text for name, text in pages.items()}


def article(page):
    """The text of a built page without its navigation and its formulas, and the number of these."""
    text = re.search("<article.*?>(.*)</article>", page.read_text(), re.DOTALL)[1]
    text, formulas = re.subn("<math.*?</math>", " ", text, flags=re.DOTALL)
    return re.sub("<!--.*?-->|</?[a-zA-Z][^>]*>", " ", text, flags=re.DOTALL), formulas


def words(text):
    return Counter(re.findall(r"[^\W_]+", html.unescape(text)))


CODE = re.compile(r"^```[\s\S]*?^```|^(?: {4}[^\n]*\n)+|`[^`]+`", re.M)
FORMULA = re.compile(r"\$\$[\s\S]+?\$\$|(?<![\\$\w])\$(?=\S)(?:[^$\n]|\n(?!\n))+?(?<=\S)\$(?!\w)")
# What a reader of a built page does not see: pictures, targets of links, names of files that are replaced by the
# titles of their pages, comments, tags of HTML, the numbers of a list, and the language of a block of code.
MARKUP = re.compile(
    r"!\[[^]]*\]\([^)]*\)|\[[\w./-]+\.md\]\([^)]*\)|\]\([^)]*\)|<!--[\s\S]*?-->|<https?:[^>]*>"
    r"|</?(?:a|b|br|code|img|p|sub|sup)(?: [^>]*)?>|^ *\d+\. |^```.*",
    re.M,
)


def test_no_page_loses_text_or_formulas(sources):
    """A page has all words of its source, those in code too."""
    assert len(sources) > 50
    for page, source in sources.items():
        shown, formulas = article(page)
        prose = CODE.sub(" ", source)
        text = "\n".join([FORMULA.sub(" ", prose), *CODE.findall(source)])
        assert not words(MARKUP.sub(" ", text)) - words(shown), page
        assert formulas == len(FORMULA.findall(prose)), page


def test_pages_are_made_of_readme_parsers_docstrings_metrics_and_entries(site):
    def text(page):
        return " ".join(re.sub("<[^>]+>", "", (site / page).read_text()).split())

    assert "DiffAE bench" in text("index.html")
    assert "portraits-300" in text("board/board.html")
    assert "usage: diffae-bench images edit" in text("commands/images.html")
    assert "Measure a model, or several of them" in text("api/benchmarks.html")
    assert all((site / "commands" / f"{name}.html").is_file() for name in COMMANDS)
    metrics = (site / "metrics.html").read_text()
    assert all(f"<code>{name}</code>" in metrics for name in METRICS)


def test_links_have_the_titles_of_pages_and_not_the_names_of_files(site):
    assert (
        ">Standard errors against the spread over fresh draws</a>"
        in (site / "results/index.html").read_text()
    )
    named = r">[\w./-]+\.md</a>"
    assert not [page for page in site.rglob("*.html") if re.search(named, page.read_text())]


def test_a_page_asks_no_other_host_for_a_script_a_font_or_a_picture(site):
    sources = r"<(?:script|img)\b[^>]*\bsrc=\"https?:|<link\b[^>]*\brel=\"stylesheet\"[^>]*https?:"
    assert not [page for page in site.rglob("*.html") if re.search(sources, page.read_text())]
