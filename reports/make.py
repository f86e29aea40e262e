"""Tables of finished runs, for papers and for pages: runs side by side.

    python -m reports.make RUN [RUN ...] --out DIR       run folders; several stand side by side in each table
    python -m reports.make base=RUN mine=RUN --out DIR   with names for systems that both have
    python -m reports.make ENTRY [ENTRY ...] --out DIR   entries of a board: DIR gets board.html, too
    python -m reports.make --check ENTRY [ENTRY ...]     is an entry complete, and do its numbers follow from its scores?
    python -m reports.make RUN ... --table reconstruction --columns ssim,lpips     one table for a paper, printed
    python -m reports.make RUN ... --cite                BibTeX of all that a run used, or with --table a table, and a
                                                         paragraph on the evaluation

DIR gets `tables/` (one CSV and one Markdown file per table), `latex/` (one file per table for \\input) and report.html, one
page for a browser. Runs whose settings differ in nothing but the seed, and runs of one NAME, become means with the spread
between them. DIR is written whole or not at all; a DIR of an earlier call is replaced. An entry is a run folder with a
card.yaml. `diffae-bench docs reports` says more.
"""

import functools
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from diffae.system.cli import Parser, path, prog, run, say, word
from diffae.system.errors import UserError
from diffae.system.files import OutputPath, begins, refuse_outputs, writing
from diffae.system.whole import write_whole
from reports.records.reading import number_of, short

if TYPE_CHECKING:
    from reports.records.entries import Entry
    from reports.tables.build import Merged

PAGE, BOARD = "report.html", "board.html"
COMMAND = "reports.make"
MODES = ("check", "table", "cite")
CITED = ("systems", "columns")  # flags of --table that --cite takes with it
OF_TABLE = (*CITED, "format", "errors")
# The modes that a flag belongs to, "" for none of MODES.
ONLY_WITH = {
    "out": ("table", "cite", ""),
    "published": ("",),
    **dict.fromkeys(OF_TABLE, ("table",)),
}


def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse(arguments)
    _refuse_flags(args)
    if args.check:
        return _check([Path(text) for text in args.runs])
    if args.table or args.cite:
        return _print(args)
    if args.out is None:
        raise UserError("--out DIR is missing: the folder to write")
    # Imported here: pandas takes half a second, which --help does not need.
    from reports import page
    from reports.tables.make_files import write_files
    from reports.tables.output import made_whole

    merged, entries = _read(args, OutputPath("--out", args.out, Path.is_dir))
    with writing(args.out, "or choose another --out"), made_whole(args.out, COMMAND) as folder:
        count = write_files(folder, merged)
        page.write_merged(folder / PAGE, merged)
        if entries:
            page.write_board(folder / BOARD, entries, args.out)
    tables = f"{count} tables of {number_of(len(args.runs), 'run')}"
    pages = f"{PAGE} and {BOARD}" if entries else PAGE
    print(f"{args.out}: {tables}, as tables/ (CSV, Markdown), latex/ and {pages}")


def _refuse_flags(args: Namespace) -> None:
    """Raise UserError for two modes, unless they are --table and --cite, and for a flag of another mode."""
    modes = [mode for mode in MODES if getattr(args, mode)] or [""]
    given = [flag for flag in ONLY_WITH if getattr(args, flag) is not None]
    allowed = [flag for flag in given if modes[0] in ONLY_WITH[flag]]
    mode, *more = modes
    if modes == ["table", "cite"]:
        mode, more = "cite", []
        allowed = [flag for flag in allowed if flag in ("out", *CITED)]
    for flag in (*more, *(flag for flag in given if flag not in allowed)):
        why = f"not with --{mode}" if mode else f"only with --{ONLY_WITH[flag][0]}"
        raise UserError(f"--{flag}: {why}")


def _read(args: Namespace, target: OutputPath) -> "tuple[Merged, list[Entry]]":
    """The runs side by side, with a word on what differs, and the entries among them; `target` is
    refused first if something would be lost there.
    """
    from reports.records.entries import is_entry, read_entries
    from reports.records.run_folder import read_run
    from reports.tables.build import merge

    named = [_named(text) for text in args.runs]
    folders = [folder for _, folder in named]
    refuse_outputs([target], folders)
    entries = read_entries(folders) if any(map(is_entry, folders)) else []
    if labels := [label for label, _ in named if entries and label]:
        raise UserError(f"{labels[0]}=: an entry is named by its folder; rename that")
    runs = [entry.run for entry in entries] or [read_run(folder, label) for label, folder in named]
    merged = merge(runs, bool(args.published))
    _note(merged.remarks)
    return merged, entries


def _print(args: Namespace) -> None:
    """Print a table or citations, or write them to --out."""
    from reports.tables import cite, paper

    given = {name: getattr(args, name) for name in OF_TABLE if getattr(args, name) is not None}
    start = cite.START if args.cite else paper.FORMATS[given.get("format", "latex")]
    merged, _ = _read(args, OutputPath("--out", args.out, begins(start.encode())))
    if args.cite:
        shown = paper.selected(merged, args.table, **given)[1] if args.table else merged.records
        text, remarks = cite.appendix(merged, shown)
    else:
        text, remarks = paper.render(merged, args.table, **given)
    _note(remarks)
    if args.out is None:
        return print(text, end="")
    with writing(args.out, "or choose another --out"):
        write_whole(args.out, text.encode())


def _note(remarks: Iterable[str]) -> None:
    for remark in remarks:
        say(f"note: {remark}")


def _check(folders: list[Path]) -> None:
    from reports.records.entries import read_entries

    for entry in read_entries(folders):
        taken, count = len(entry.taken), len(entry.measured)
        print(f"{entry.run.folder}: {count} numbers, {taken} taken again from scores of images")
        if entry.not_taken:
            print(f"not taken again: {', '.join(entry.not_taken)}")


def _named(text: str) -> tuple[str, Path]:
    """Parse `NAME=RUN`, or a folder without a name."""
    name, equals, folder = text.partition("=")
    if not equals or Path(text).exists():
        return "", Path(text)
    if not name.strip() or not folder:
        raise UserError(f"{short(text)}: not NAME=RUN")
    return name.strip(), Path(folder)


def _parser() -> Parser:
    parser = Parser(prog("reports.make"), __doc__)
    add = parser.add_argument
    folder = "the folder of a finished run, or an entry"
    add("runs", nargs="+", type=word, metavar="[NAME=]RUN", help=folder)
    out = "a new folder; of --table and --cite a file (default: print)"
    add("--out", type=path, metavar="DIR", help=out)
    switch = functools.partial(add, action="store_const", const=True)
    published = "with all published values, also those of another network or other data"
    switch("--published", help=published)
    switch("--check", help="check entries and write nothing")
    cited = "print BibTeX of what the runs, or a --table, used, and how it was measured"
    switch("--cite", help=cited)
    table = "print one table, by its name or its benchmark's"
    add("--table", type=word, metavar="NAME", help=table)
    add("--systems", type=_names, metavar="A,B", help="its rows, in this order (default: all)")
    headline = "its metrics, in this order (default: those of its headline)"
    add("--columns", type=_names, metavar="A,B", help=headline)
    add("--format", choices=("latex", "markdown", "csv"), help="default: latex")
    switch("--errors", help="with standard errors, after ±")
    return parser


def _names(text: str) -> list[str]:
    """Names with commas between them."""
    return list(dict.fromkeys(name.strip() for name in word(text).split(",")))


if __name__ == "__main__":
    run(main)
