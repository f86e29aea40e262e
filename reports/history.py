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

from pathlib import Path

from diffae.system.cli import Parser, path, prog, run, word
from diffae.system.errors import UserError
from diffae.system.files import Target, always, begins, json_with, refuse_outputs, writing
from diffae.system.whole import write_whole
from reports.records.reading import short
from reports.records.record import HIGHER, LOWER


def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse(arguments)
    from reports.trend.entries import COMMIT, add, badge, entry_of, for_action, read_history

    if args.commit is not None and not COMMIT.fullmatch(args.commit):
        raise UserError(f"--commit: {short(repr(args.commit), 40)} is not a commit's hash")
    if args.commit and len(args.runs) != 1:
        raise UserError("--commit says what one run measured; give one RUN with it")
    prefix, names = args.github_action_benchmark, {HIGHER: "bigger", LOWER: "smaller"}
    by_direction = {d: Path(f"{prefix}-{name}.json") for d, name in names.items() if prefix}
    ours = json_with("name", "unit", "value")
    page = begins(b"<!DOCTYPE html>", b"diffae-bench trend")
    targets = [
        Target("--file", args.file, always),  # appending reads it first
        Target("--page", args.page, page),
        Target("--badge", args.badge, json_with("schemaVersion", "label", "message")),
        *(Target("--github-action-benchmark", where, ours) for where in by_direction.values()),
    ]
    refuse_outputs(targets, args.runs)
    if entries := [entry_of(folder, args.commit or "") for folder in args.runs]:
        with writing(args.file, "or choose another --file"):
            count = add(args.file, entries)
        already = ", the others are there already" if count < len(entries) else ""
        print(f"{args.file}: {count} of {len(entries)} runs added{already}")
    found = read_history(args.file)
    if not found:
        raise UserError(f"{args.file}: no run is in it; give the folder of one")
    newest = found[-1]
    if len(found) == 1:
        count = len(newest.numbers)
        print(f"{args.file}: one run so far, {count} headlines; add the next commit's")
    if args.page:
        from reports.trend.page import render  # which needs Matplotlib

        _write(args.page, render(found))
    if args.badge:
        _write(args.badge, badge(newest, args.badge_metric, args.badge_system))
    for direction, where in by_direction.items():
        _write(where, for_action(newest, direction))


def _write(where: Path, text: str) -> None:
    with writing(where, "or choose another"):
        write_whole(where, text.encode())


def _parser() -> Parser:
    parser = Parser(prog("reports.history"), __doc__)
    add = parser.add_argument
    add("runs", nargs="*", type=path, metavar="RUN", help="the folder of a finished run")
    add("--file", type=path, required=True, metavar="FILE", help="history.jsonl; made if need be")
    measured = "what RUN measured, where it was not made in a checkout of this software"
    add("--commit", metavar="SHA", help=measured)
    add("--page", type=path, metavar="FILE", help="write the page of the trend")
    add("--badge", type=path, metavar="FILE", help="write a badge's endpoint")
    add("--badge-metric", default="", metavar="METRIC", help="its metric, e.g. ssim")
    add("--badge-system", default="", metavar="SYSTEM", help="its system, e.g. DiffAE")
    files = "write the two files of that action"
    add("--github-action-benchmark", type=word, metavar="PREFIX", help=files)
    return parser


if __name__ == "__main__":
    run(main)
