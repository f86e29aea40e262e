"""The installed package: typed packages, pages that messages name, a description whose links work.

`pytest tests/wheel.py` builds the package, installs it and tries it.
"""

import ast
import re
import runpy
import tomllib
from pathlib import Path

import pytest
from refusal import refusal

from benchmarks.commands import pages

ROOT = Path(__file__).parents[1]
PACKAGES = ("diffae", "probes", "benchmarks", "reports")
# They are about pages: two write some of this repository, one a card.
ABOUT_PAGES = {"pages.py", "settings_table.py", "presets_table.py", "convert.py"}


def texts():
    """Every string of the product: help, messages, docstrings."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield file, node.value


def test_a_page_that_the_product_names_is_installed():
    named = {
        (page, file)
        for file, text in texts()
        for page in re.findall(r"-bench docs ([\w/-]+)", text)
    }
    assert len(named) > 10
    assert not {(page, file) for page, file in named if page not in pages.pages()}


def test_the_product_names_no_file_that_is_not_installed():
    absent = r"\bdocs/\w|\b(README|CONTRIBUTING|CHANGELOG)\b|pip install -e"
    found = {(file.name, text) for file, text in texts() if re.search(absent, text)}
    assert not {(name, text) for name, text in found if name not in ABOUT_PAGES}


def test_pages_are_listed_and_printed(capsys):
    pages.print_page([])
    listed = capsys.readouterr().out
    assert re.search(r"^solvers +\S", listed, re.M) and re.search(r"^results/small +", listed, re.M)
    pages.print_page(["results/small"])
    assert capsys.readouterr().out == (ROOT / "docs/results/small/README.md").read_text()
    assert "unknown page 'solver'; did you mean solvers?" in refusal(
        pages.print_page, capsys, "solver"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_a_type_checker_reads_the_package(package):
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    assert (ROOT / package / "py.typed").is_file() and "py.typed" in data["*"]


@pytest.fixture
def description(monkeypatch):
    """The function of setup.py that makes the long description."""
    setuptools = pytest.importorskip("setuptools")
    monkeypatch.setattr(setuptools, "setup", lambda **told: None)
    return runpy.run_path(str(ROOT / "setup.py"))["description"]


TEXT = """![A face](docs/a.png)

*What it shows.*

See [the page](docs/b.md#here), [below](#c), [theirs](https://example.org/d) and `x[0]`.
"""


def test_the_long_description_leads_to_the_repository(description):
    assert description(TEXT, "https://example.org/me/it/").splitlines() == [
        "![A face](https://example.org/me/it/raw/HEAD/docs/a.png)",
        "",
        "*What it shows.*",
        "",
        "See [the page](https://example.org/me/it/blob/HEAD/docs/b.md#here), [below](#c), "
        "[theirs](https://example.org/d) and `x[0]`.",
    ]


def test_without_an_address_the_long_description_has_no_pictures_and_no_links_of_the_repository(
    description,
):
    assert description(TEXT, None) == (
        "See the page, [below](#c), [theirs](https://example.org/d) and `x[0]`.\n"
    )


def test_readme_has_no_relative_link_left(description):
    readme = (ROOT / "README.md").read_text()
    for address in (None, "https://example.org/me/it"):
        told = description(readme, address)
        assert not re.search(r"\]\((?!https?://|#)", told)
        blocks = re.compile(r"^    [^\n]*$|^```.*?^```", re.M | re.S)
        assert blocks.findall(told) == blocks.findall(readme)
