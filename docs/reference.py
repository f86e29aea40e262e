"""What MkDocs adds to the pages of docs/ (mkdocs.yml): `python -m mkdocs build` makes site/.

README.md is the start page, and the board is made of docs/entries. Pages of the reference are made by
`benchmarks.commands.pages`, as `diffae-bench docs` makes them. A link to a file without a page leads to
the repository, or is plain words where no REPOSITORY_URL is given. Formulas become MathML, which needs no
script.
"""

import html
import re
from pathlib import Path
from posixpath import dirname, normpath, relpath

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from benchmarks.commands import pages
from reports.page.board import render
from reports.records.entries import read_entries

ROOT = Path(__file__).parents[1]
OUTSIDE = {path.name: path.name.lower() for path in ROOT.glob("*.md")} | {"README.md": pages.START}
BOARD = "board/board.html"
LINK = re.compile(r"(!?\[[^]]*\])\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")
NAMED = re.compile(r"\[[\w./-]+\.md\]")  # words that are the name of a page's file
# What pymdownx.arithmatex makes of $...$ and $$...$$.
FORMULA = re.compile(r"""<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>""", re.DOTALL)
BAR = '<mo stretchy="false">&#x0007C;'  # a norm's, which browsers would space as an operator


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are no files of docs/."""
    for uri, text in added().items():
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, BOARD, content=board()))


def added() -> dict[str, str]:
    """The text of each page that is no file of docs/."""
    outside = {page: (ROOT / name).read_text(encoding="utf-8") for name, page in OUTSIDE.items()}
    made = {f"{name}.md": pages.text_of(name) for name in pages.MADE}
    return outside | made


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    file = next((name for name, made in OUTSIDE.items() if made == here), f"docs/{here}")

    def moved(link: re.Match[str]) -> str:
        words, target, anchor = link.groups(default="")
        path = normpath(f"{dirname(file) or '.'}/{target}")
        if path in OUTSIDE or path.startswith("docs/"):
            place = OUTSIDE.get(path, path.removeprefix("docs/"))
            linked = files.get_file_from_path(place)
            if linked and NAMED.fullmatch(words):  # a reader of the site sees no files
                words = f"[{pages.title_of(linked.content_string)}]"
            return f"{words}({relpath(place, dirname(here) or '.')}{anchor})"
        if not (ROOT / path).exists():
            return link[0]  # MkDocs reports it
        return f"{words}({config.repo_url}/blob/HEAD/{path})" if config.repo_url else words[1:-1]

    return LINK.sub(moved, text)


def on_page_content(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn each formula into MathML."""

    def as_mathml(formula: re.Match[str]) -> str:
        _, bracket, source = formula.groups()
        display = "block" if bracket == "[" else "inline"
        mathml: str = convert(html.unescape(source), display=display)
        return mathml.replace(BAR, BAR.replace("<mo", '<mo lspace="0" rspace="0"'))

    return FORMULA.sub(as_mathml, text)


def board() -> str:
    """The page of the entries of the board, which lies beside them."""
    entries = read_entries(sorted((ROOT / "docs" / "entries").iterdir()))
    return render(entries, ROOT / "docs" / Path(BOARD).parent)
