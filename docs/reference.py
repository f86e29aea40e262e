"""What MkDocs adds to the pages of docs/ (mkdocs.yml): `python -m mkdocs build` makes site/.

README.md is the start page, and the board is made of docs/entries. The pages of the commands are made from their parsers, those of the
Python API from docstrings, and the table of metrics from `reports.records.metrics`. A link to a
file without a page leads to the repository, or is plain words where no REPOSITORY_URL is given.
"""

import importlib
import inspect
import logging
import re
from contextlib import suppress
from pathlib import Path
from posixpath import dirname, normpath, relpath
from unittest.mock import patch

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from tabulate import tabulate

from benchmarks.console import COMMANDS, command
from diffae.data.__main__ import COMMANDS as DATA
from diffae.images.options import VERBS
from diffae.system.cli import Parser
from reports.page.board import render
from reports.records.entries import read_entries
from reports.records.metrics import METRICS

ROOT = Path(__file__).parents[1]
OUTSIDE = {path.name: path.name.lower() for path in ROOT.glob("*.md")} | {"README.md": "index.md"}
API = "benchmarks benchmarks.systems benchmarks.plugin diffae diffae.images diffae.data".split()
OURS = ("benchmarks", "diffae", "reports")  # whose inherited methods are shown
WORDS = {"images": VERBS, "data": DATA}  # the commands that have subcommands
BOARD = "board/board.html"
LINK = re.compile(r"(!?\[[^]]*\])\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are no files of docs/."""
    pages = {page: (ROOT / name).read_text(encoding="utf-8") for name, page in OUTSIDE.items()}
    pages |= {f"commands/{name}.md": command_page(name) for name in COMMANDS}
    pages |= {f"api/{name}.md": api_page(name) for name in API} | {
        "every-metric.md": metrics_page()
    }
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, BOARD, content=board()))


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    file = next((name for name, made in OUTSIDE.items() if made == here), f"docs/{here}")

    def moved(link: re.Match[str]) -> str:
        words, target, anchor = link.groups(default="")
        path = normpath(f"{dirname(file) or '.'}/{target}")
        if path in OUTSIDE or path.startswith("docs/"):
            place = OUTSIDE.get(path, path.removeprefix("docs/"))
            if re.fullmatch(r"\[[\w./-]+\.md\]", words):  # a reader of the site sees no files
                words = f"[{title_of(ROOT / path)}]"
            return f"{words}({relpath(place, dirname(here) or '.')}{anchor})"
        if not (ROOT / path).exists():
            return link[0]  # MkDocs reports it
        return f"{words}({config.repo_url}/blob/HEAD/{path})" if config.repo_url else words[1:-1]

    return LINK.sub(moved, text)


def board() -> str:
    """The page of the entries of the board, which lies beside them."""
    entries = read_entries(sorted((ROOT / "docs" / "entries").iterdir()))
    return render(entries, ROOT / "docs" / Path(BOARD).parent)


def title_of(file: Path) -> str:
    """The first heading of a page."""
    return re.search("^# (.+)", file.read_text(encoding="utf-8"), re.M)[1]


def command_page(name: str) -> str:
    """The usage, description and options of a command, or of each of its subcommands."""
    parts = [f"# diffae-bench {name}\n\n`{COMMANDS[name].typed}`: {COMMANDS[name].line}."]
    for word in WORDS.get(name, [""]):
        with patch.object(Parser, "parse", autospec=True, side_effect=SystemExit) as parse:
            with patch("sys.argv", []), suppress(SystemExit):
                command([name, word] if word else [name])
        parser = parse.call_args.args[0]
        parts += [f"## {word}" * bool(word), f"```text\n{parser.format_usage()}```"]
        parts += [parser.description or ""]
        formatter = parser._get_formatter()
        for action in parser._actions[1:]:  # the first is --help
            help = formatter._expand_help(action) if action.help else ""
            meaning = re.sub(r"([<*_])", r"\\\1", help)
            parts.append(f"`{formatter._format_action_invocation(action)}`\n:   {meaning}")
        parts += [f"```text\n{parser.epilog}\n```"] if parser.epilog else []
    return "\n\n".join(parts)


def api_page(module: str) -> str:
    """The directive by which mkdocstrings shows the public names of a module.

    A public class, function, method or property without a docstring is a warning, which fails a
    strict build.
    """
    found = importlib.import_module(module)
    public = {name: getattr(found, name) for name in found.__all__}
    for name, thing in list(public.items()):
        bases = inspect.getmro(thing)[::-1] if inspect.isclass(thing) else ()
        for base in [base for base in bases if base.__module__.startswith(OURS)]:
            public |= {f"{name}.{m}": method for m, method in vars(base).items() if m[0] != "_"}
    for name, thing in public.items():
        thing = getattr(thing, "__func__", thing)  # of a class method
        if (inspect.isroutine(thing) or isinstance(thing, type | property)) and not thing.__doc__:
            logging.getLogger("mkdocs.reference").warning(f"{module}.{name} has no docstring")
    return f"# {module}\n\n::: {module}\n    options:\n      members: {found.__all__}"


def metrics_page() -> str:
    """Every row of the table of metrics."""
    rows = [
        (f"`{name}`", row.title, row.direction, row.unit, row.network, row.reference)
        for name, row in METRICS.items()
    ]
    heads = ("metric", "what it is", "better", "unit", "network", "source")
    return f"# Every metric\n\n{tabulate(rows, heads, 'pipe', disable_numparse=True)}"
