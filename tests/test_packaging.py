"""The installed package: pages that messages name, how it is installed, its description.

`pytest tests/wheel.py` builds the package, installs it and tries it.
"""

import ast
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
from refusal import refusal

from benchmarks.commands import listing, pages
from benchmarks.systems import REGISTRY
from diffae.system.errors import EXTRAS, pip_install

ROOT = Path(__file__).parents[1]
PACKAGES = ("diffae", "probes", "benchmarks", "reports")


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


def test_pages_are_listed_and_printed(capsys):
    pages.print_page([])
    listed = capsys.readouterr().out
    assert re.search(r"^  solvers +\S", listed, re.M) and re.search(
        r"^  results/small ", listed, re.M
    )
    assert re.search(r"^Reference\n  metrics +\S", listed, re.M) and "/tables/" not in listed
    pages.print_page(["results/small"])
    assert capsys.readouterr().out == (ROOT / "docs/results/small/README.md").read_text()
    assert "unknown page 'solver'; did you mean solvers?" in refusal(
        pages.print_page, capsys, "solver"
    )


def test_systems_of_tests_are_not_listed_and_samples_are_called_by_their_headline(capsys):
    assert "dummy-perfect" in REGISTRY.usable()
    listing.list_everything([])
    listed = capsys.readouterr().out
    assert "  timm  " in listed and "dummy-" not in listed
    assert "  fewshot           kernel and Frechet distance" in listed
    assert "  unconditional     kernel and Frechet distance" in listed


def test_messages_install_what_the_extras_are():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name in ("docs", "lint", "test"):  # of those who change this package
        del extras[name]
    assert {name: list(packages) for name, packages in EXTRAS.items()} == extras
    assert pip_install("arrow") == "pip install 'pyarrow>=18'"
    assert pip_install("opencv-python-headless") == "pip install opencv-python-headless"


# The name alone, or with extras or a version, is looked up on PyPI; a path or an address is not.
FROM_AN_INDEX = re.compile(
    r"""\b(?:pipx?\d? install|uv add)\b[^`\n&;]*[\s'"]diffae[-_.]bench(?![\w/@.-])"""
    r"""|diffae[-_.]bench(?:\[[a-z]|[=~<>!]=)|dependencies\s*=\s*\[[^]]*diffae[-_.]bench"""
)
SAY_HOW = {".ipynb", ".j2", ".md", ".py", ".sbatch", ".toml", ".yaml", ".yml"}


def told():
    """Every file that may say how something is installed, but RELEASING.md: a release's own steps."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.yml"), *ROOT.glob("*.toml")]
    for folder in ("docs", "examples", ".github", *PACKAGES):
        files += [file for file in (ROOT / folder).rglob("*") if file.suffix in SAY_HOW]
    return [file for file in files if file.name != "RELEASING.md"]


def from_an_index(text):
    return [match[0] for match in FROM_AN_INDEX.finditer(re.sub(r"\n(?=\S)", " ", text))]


def test_nobody_is_sent_to_an_index_for_the_package_before_its_first_release():
    """A stranger could register its name there. The first dated heading of CHANGELOG.md is a release."""
    changes = (ROOT / "CHANGELOG.md").read_text()
    is_released = re.search(r"^## [\d.]+ \(\d{4}-\d\d-\d\d\)$", changes, re.M) is not None
    found = {
        (str(file.relative_to(ROOT)), text)
        for file in told()
        for text in from_an_index(file.read_text(encoding="utf-8"))
    }
    if is_released:
        assert {name for name, _ in found} >= {
            "README.md",
            "docs/tutorial-ci.md",
            "examples/evaluate.ipynb",
        }
    else:
        assert not found


@pytest.fixture
def set_up(monkeypatch):
    """The names of setup.py."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which setuptools adds what it brings
    setuptools = pytest.importorskip("setuptools")
    monkeypatch.setattr(setuptools, "setup", lambda **told: None)
    return runpy.run_path(str(ROOT / "setup.py"))


def test_what_installed_pages_name_is_installed(set_up):
    """Pages as arguments of `docs`, files of examples/ as paths and as links."""
    installed = {file.as_posix() for file in set_up["beside_the_packages"]()}
    folders = {parent.as_posix() for file in installed for parent in Path(file).parents}
    shown = [file for file in installed if file.endswith(".md")]
    assert {ROOT / file for file in shown} == set(pages.files().values())
    named, examples = set(), set()
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in shown}
    for file, text in (texts | {name: pages.text_of(name) for name in pages.MADE}).items():
        named |= {(page, file) for page in re.findall(r"-bench docs ([A-Za-z][\w/-]*)", text)}
        examples |= {(path.rstrip("."), file) for path in re.findall(r"\bexamples/[\w/.]*\w", text)}
    assert named and len(examples) > 6
    assert not {(page, file) for page, file in named if page not in pages.pages()}
    assert not {(path, file) for path, file in examples if path not in installed | folders}


@pytest.fixture
def description(set_up):
    """The function of setup.py that makes the long description."""
    return set_up["description"]


TEXT = """![A face](docs/a.png)

*What it shows.*

See [the page](docs/b.md#here), [below](#c), [theirs](https://example.org/d) and `x[0]`.
"""


def test_the_long_description_leads_to_the_repository(description):
    """Without an address it has no links of the repository."""
    text = description(TEXT, "https://example.org/me/it/")
    assert "![A face](https://example.org/me/it/raw/HEAD/docs/a.png)\n\n*What" in text
    assert "[the page](https://example.org/me/it/blob/HEAD/docs/b.md#here), [below](#c)" in text
    without = "See the page, [below](#c), [theirs](https://example.org/d) and `x[0]`.\n"
    assert description(TEXT, None) == without


def test_readme_has_no_relative_link_left(description):
    readme = (ROOT / "README.md").read_text()
    for address in (None, "https://example.org/me/it"):
        assert not re.search(r"\]\((?!https?://|#)", description(readme, address))
