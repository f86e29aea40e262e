"""Headlines by commit, and how they went.

    python -m reports.history RUN [RUN ...] --file history.jsonl       append the headlines of finished runs
    python -m reports.history --file history.jsonl --page trend.html   draw what is there

The file is JSON lines, one a run, and only grows: the same numbers of the same commit are not added twice, and jobs that append at
once wait for each other. With it, or alone:

    --page FILE                        a page with a plot of each headline by commit, with its 95 % intervals
    --badge FILE                       the newest run's first headline for https://img.shields.io/endpoint?url=...
    --github-action-benchmark PREFIX   PREFIX-bigger.json and PREFIX-smaller.json of the newest run, for the tools
                                       customBiggerIsBetter and customSmallerIsBetter

`diffae-bench docs ci` says how a repository keeps it.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from diffae.system.cli import Parser, path, prog, run, word
from diffae.system.errors import UserError
from diffae.system.files import Target, always, begins, json_with, refuse_outputs, writing
from diffae.system.whole import write_whole
from reports.records.reading import short
from reports.records.record import HIGHER, LOWER


def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse(arguments)
    from reports.trend.entries import add, entry_of, read_history

    if args.commit and len(args.runs) != 1:
        raise UserError("--commit says what one run measured; give one RUN with it")
    refuse_outputs(_outputs(args), args.runs)
    entries = [entry_of(folder, args.commit or "") for folder in args.runs]
    if entries:
        with writing(args.file, "or choose another --file"):
            count = add(args.file, entries)
        already = ", the others are there already" if count < len(entries) else ""
        print(f"{args.file}: {count} of {len(entries)} runs added{already}")
    found = read_history(args.file)
    if not found:
        raise UserError(f"{args.file}: no run is in it; give the folder of one")
    if len(found) == 1:
        print(
            f"{args.file}: one run so far, {len(found[0].numbers)} headlines; add the next commit's"
        )
    for where, text in _made(args, found):
        with writing(where, "or choose another"):
            write_whole(where, text.encode())


def _outputs(args: argparse.Namespace) -> list[Target]:
    page = begins(b"<!DOCTYPE html>", b"diffae-bench trend")
    return [
        Target("--file", args.file, always),  # appending reads it first
        Target("--page", args.page, page),
        Target("--badge", args.badge, json_with("schemaVersion", "label", "message")),
        *(
            Target("--github-action-benchmark", path, json_with("name", "unit", "value"))
            for path in _for_action(args).values()
        ),
    ]


def _for_action(args: argparse.Namespace) -> dict[str, Path]:
    """The paths of the files of --github-action-benchmark, by the direction that is better in them."""
    prefix = args.github_action_benchmark
    names = {HIGHER: "bigger", LOWER: "smaller"} if prefix else {}
    return {direction: Path(f"{prefix}-{name}.json") for direction, name in names.items()}


def _made(args: argparse.Namespace, found: Sequence[Any]) -> Iterator[tuple[Path, str]]:
    """The outputs to make from the history file, and their paths."""
    from reports.trend.exports import badge, for_action

    if args.page:
        from reports.trend.page import render  # which needs Matplotlib

        yield args.page, render(found)
    if args.badge:
        yield args.badge, badge(found[-1], args.badge_metric, args.badge_system)
    for direction, where in _for_action(args).items():
        yield where, for_action(found[-1], direction)


def _commit(text: str) -> str:
    from reports.trend.entries import COMMIT

    if not COMMIT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{short(repr(text), 40)} is not a commit's hash")
    return text


def _parser() -> Parser:
    parser = Parser(prog("reports.history"), __doc__)
    add = parser.add_argument
    add("runs", nargs="*", type=path, metavar="RUN", help="the folder of a finished run")
    add("--file", type=path, required=True, metavar="FILE", help="history.jsonl; made if need be")
    measured = "what RUN measured, where it was not made in a checkout of this software"
    add("--commit", type=_commit, metavar="SHA", help=measured)
    add("--page", type=path, metavar="FILE", help="write the page of the trend")
    add("--badge", type=path, metavar="FILE", help="write a badge's endpoint")
    add("--badge-metric", default="", metavar="METRIC", help="its metric, e.g. ssim")
    add("--badge-system", default="", metavar="SYSTEM", help="its system, e.g. DiffAE")
    files = "write the two files of that action"
    add("--github-action-benchmark", type=word, metavar="PREFIX", help=files)
    return parser


if __name__ == "__main__":
    run(main)
