"""`docs`: the pages of the documentation, those that are installed and those that are made of the code's tables."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.console import COMMANDS
from benchmarks.runtime.registry import load
from diffae.system import cli
from diffae.system.errors import UserError

INSTALLED = Path(__file__).parents[1]  # setup.py copies pages, examples and mkdocs.yml there
CHECKOUT = Path(__file__).parents[2]
START = "index.md"  # README.md as a page of the site
OF_COMMANDS = {f"commands/{name}": name for name in COMMANDS}
MODULES = "benchmarks benchmarks.systems benchmarks.plugin diffae diffae.images diffae.data".split()
OF_MODULES = {f"api/{name}": name for name in MODULES}
# The functions that make pages, imported when they are called.
MADE = {
    "metrics": "benchmarks.reference.metrics:page",
    "profiles": "benchmarks.reference.profiles:page",
    "presets": "benchmarks.reference.presets:page",
    "every-protocol": "benchmarks.reference.protocols:page",
    **dict.fromkeys(OF_COMMANDS, "benchmarks.reference.commands:page"),
    **dict.fromkeys(OF_MODULES, "benchmarks.reference.python:page"),
}


def print_page(arguments: list[str]) -> None:
    """Print a page of the documentation (Markdown), or without a name the list of them."""
    parser = cli.Parser(cli.prog("benchmarks.run docs"), print_page.__doc__)
    parser.add_argument("page", nargs="?", metavar="PAGE", help="such as solvers")
    name = parser.parse(arguments).page
    if name is None:
        _print_list()
    elif name in pages():
        print(text_of(name), end="")
    else:
        raise UserError(f"unknown page {name!r}{cli.did_you_mean(name, pages())}")


def _print_list() -> None:
    width = max(len(name) for titles in groups().values() for name in titles)
    for heading, titles in groups().items():
        lines = [f"  {name:{width}}  {title}" for name, title in titles.items()]
        print("\n".join([heading, *lines]) + "\n")
    print(f"The examples/ that pages name are in {_home()}")


def pages() -> list[str]:
    """The name of every page: `README`, `solvers`, `results/small`, `metrics`, `commands/run`, `api/diffae`."""
    return [*files(), *MADE]


def text_of(name: str) -> str:
    """A page in Markdown: of its file, or made."""
    if name not in MADE:
        return files()[name].read_text(encoding="utf-8")
    make = load(MADE[name])
    subject = (OF_COMMANDS | OF_MODULES).get(name)
    text: str = make(subject) if subject else make()
    return text


def title_of(text: str) -> str:
    """The first heading of a page."""
    heading = re.search("^# (.+)", text, re.M)
    return heading[1] if heading else ""


def files() -> dict[str, Path]:
    """The file of every page that is not made, by its name.

    `README` is README.md, `solvers` docs/solvers.md, `results/small` docs/results/small/README.md.
    """
    folder = _home() / "docs"
    by_name = {"README": _home() / "README.md"}
    for path in sorted(folder.rglob("*.md")):
        by_name[_name(path.relative_to(folder).as_posix())] = path
    return by_name


def groups() -> dict[str, dict[str, str]]:
    """The titles of the pages by name, under the headings of the site's navigation.

    Pages that it does not show, which are those of single results, follow under the last heading, but
    without the tables of runs.
    """
    text = (_home() / "mkdocs.yml").read_text(encoding="utf-8")
    navigation = yaml.safe_load(text[text.index("\nnav:") :])["nav"]
    missing = {name for name in pages() if "/tables/" not in name}
    by_heading: dict[str, dict[str, str]] = {}
    for entry in navigation:
        ((heading, part),) = entry.items()
        titles = {_name(place): title for place, title in _leaves(part, heading)}
        if listed := {name: title for name, title in titles.items() if name in missing}:
            by_heading[heading] = listed
            missing -= {*listed}
    by_heading[list(by_heading)[-1]] |= {name: title_of(text_of(name)) for name in sorted(missing)}
    return by_heading


def _leaves(part: object, title: str) -> Iterator[tuple[str, str]]:
    """The pages in a part of the navigation with their titles."""
    if isinstance(part, str):
        yield part, title
    elif isinstance(part, list):
        for inner in part:
            yield from _leaves(inner, title)
    elif isinstance(part, dict):
        for inner_title, inner in part.items():
            yield from _leaves(inner, inner_title)


def _name(place: str) -> str:
    """The name of the page at a place such as results/small/README.md."""
    return "README" if place == START else place.removesuffix(".md").removesuffix("/README")


def _home() -> Path:
    """The folder that README.md, docs/ and examples/ are in."""
    return INSTALLED if (INSTALLED / "docs").is_dir() else CHECKOUT
