"""`docs`: the pages of the documentation, which are installed with the package."""

from pathlib import Path

from diffae.system import cli
from diffae.system.errors import UserError

INSTALLED = Path(__file__).parents[1]  # setup.py copies pages and examples there
CHECKOUT = Path(__file__).parents[2]


def print_page(arguments: list[str]) -> None:
    """Print a page of the documentation (Markdown), or without a name the list of them."""
    parser = cli.Parser(cli.prog("benchmarks.run docs"), print_page.__doc__)
    parser.add_argument("page", nargs="?", metavar="PAGE", help="such as solvers")
    name = parser.parse(arguments).page
    known = pages()
    if name is None:
        width = max(map(len, known))
        print("\n".join(f"{page:{width}}  {_title(path)}" for page, path in known.items()))
        print(f"\nThe examples/ that pages name are in {_home()}")
    elif name in known:
        print(known[name].read_text(encoding="utf-8"), end="")
    else:
        raise UserError(f"unknown page {name!r}{cli.did_you_mean(name, known)}")


def pages() -> dict[str, Path]:
    """The file of every page by its name.

    `README` is README.md, `solvers` docs/solvers.md, `results/small` docs/results/small/README.md.
    """
    folder = _home() / "docs"
    files = {path.relative_to(folder).with_suffix(""): path for path in folder.rglob("*.md")}
    by_name = {"README": _home() / "README.md"} | {
        (name.parent if name.name == "README" else name).as_posix(): path
        for name, path in files.items()
    }
    return dict(sorted(by_name.items(), key=lambda entry: (entry[0].count("/"), entry[0])))


def _home() -> Path:
    """The folder that README.md, docs/ and examples/ are in."""
    return INSTALLED if (INSTALLED / "docs").is_dir() else CHECKOUT


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
