"""Tables of finished runs, for papers and for pages: runs side by side.

    python -m reports.make RUN [RUN ...] --out DIR       run folders; several stand side by side in each table
    python -m reports.make base=RUN mine=RUN --out DIR   with names for systems that both have

DIR gets `tables/` (one CSV and one Markdown file per table), `latex/` (one file per table for \\input, and tables.tex, a
complete document, which --pdf compiles) and report.html, one page for a browser. Runs whose settings differ in nothing but
the seed, and runs of one NAME, become means with the spread between them. DIR is written whole or not at all; a DIR of an
earlier call is replaced. `diffae-bench docs reports` says more.
"""

import sys
from pathlib import Path

from diffae.system.cli import Parser, path, prog, run, word
from diffae.system.errors import UserError
from diffae.system.files import Target, refuse_outputs, writing
from reports.records.reading import short

PAGE = "report.html"


def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse(arguments)
    # Imported here: pandas takes half a second, which --help does not need.
    from reports import page
    from reports.records.run_folder import read_run
    from reports.tables.make_files import write_files
    from reports.tables.merging import merge
    from reports.tables.output import made_whole

    runs = [_named(text) for text in args.runs]
    refuse_outputs([Target("--out", args.out, Path.is_dir)], (folder for _, folder in runs))
    merged = merge([read_run(folder, label) for label, folder in runs])
    with writing(args.out, "or choose another --out"), made_whole(args.out) as folder:
        count = write_files(folder, merged, pdf=args.pdf)
        page.write_merged(folder / PAGE, merged)
    for remark in merged.remarks:
        print(f"note: {remark}", file=sys.stderr)
    of = f"{count} tables of {len(runs)} run{'s' * (len(runs) > 1)}"
    print(
        f"{args.out}: {of}, as tables/ (CSV, Markdown), latex/ (tables.tex has all) and report.html"
    )


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
    parser.add_argument(
        "runs", nargs="+", type=word, metavar="[NAME=]RUN", help="the folder of a finished run"
    )
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--pdf", action="store_true", help="compile latex/tables.pdf with pdflatex")
    return parser


if __name__ == "__main__":
    run(main)
