"""Tables of finished runs, for papers and for pages: runs side by side.

    python -m reports.make RUN [RUN ...] --out DIR       run folders; several stand side by side in each table
    python -m reports.make base=RUN mine=RUN --out DIR   with names for systems that both have
    python -m reports.make ENTRY [ENTRY ...] --out DIR   entries of a board: DIR gets board.html, too
    python -m reports.make --check ENTRY [ENTRY ...]     is an entry complete, and do its numbers follow from its scores?

DIR gets `tables/` (one CSV and one Markdown file per table), `latex/` (one file per table for \\input, and tables.tex, a
complete document, which --pdf compiles) and report.html, one page for a browser. Runs whose settings differ in nothing but
the seed, and runs of one NAME, become means with the spread between them. DIR is written whole or not at all; a DIR of an
earlier call is replaced. An entry is a run folder with a card.yaml. `diffae-bench docs reports` says more.
"""

import sys
from pathlib import Path

from diffae.system.cli import Parser, path, prog, run, word
from diffae.system.errors import UserError
from diffae.system.files import Target, refuse_outputs, writing
from reports.records.reading import short

PAGE, BOARD = "report.html", "board.html"
COMMAND = "reports.make"


def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse(arguments)
    if args.check:
        return _check([Path(text) for text in args.runs])
    if args.out is None:
        raise UserError("--out DIR is missing: the folder to write")
    # Imported here: pandas takes half a second, which --help does not need.
    from reports import page
    from reports.records.entries import is_entry, read_entries
    from reports.records.run_folder import read_run
    from reports.tables.build import merge
    from reports.tables.make_files import write_files
    from reports.tables.output import made_whole

    named = [_named(text) for text in args.runs]
    folders = [folder for _, folder in named]
    refuse_outputs([Target("--out", args.out, Path.is_dir)], folders)
    entries = read_entries(folders) if any(map(is_entry, folders)) else []
    if labels := [label for label, _ in named if entries and label]:
        raise UserError(f"{labels[0]}=: an entry is named by its folder; rename that")
    runs = [entry.run for entry in entries] or [read_run(folder, label) for label, folder in named]
    merged = merge(runs)
    with writing(args.out, "or choose another --out"), made_whole(args.out, COMMAND) as folder:
        count = write_files(folder, merged, pdf=args.pdf)
        page.write_merged(folder / PAGE, merged)
        if entries:
            page.write_board(folder / BOARD, entries, args.out)
    for remark in merged.remarks:
        print(f"note: {remark}", file=sys.stderr)
    of = f"{count} tables of {len(runs)} run{'s' * (len(runs) > 1)}"
    pages = f"{PAGE} and {BOARD}" if entries else PAGE
    print(f"{args.out}: {of}, as tables/ (CSV, Markdown), latex/ (tables.tex has all) and {pages}")


def _check(folders: list[Path]) -> None:
    from reports.records.entries import read_entries

    for entry in read_entries(folders):
        taken, count = len(entry.taken), len(entry.run.records)
        print(f"{entry.run.folder}: {count} numbers, {taken} taken again from scores of images")


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
    add("--out", type=path, metavar="DIR", help="a new folder")
    add("--check", action="store_true", help="check entries and write nothing")
    add("--pdf", action="store_true", help="compile latex/tables.pdf with pdflatex")
    return parser


if __name__ == "__main__":
    run(main)
