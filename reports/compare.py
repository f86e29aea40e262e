"""The regression gate: compare a run with a baseline.

    python -m reports.compare BASE NEW                 two run folders; BASE may be a small committed copy
    python -m reports.compare BASE NEW --junit gate.xml --page gate.md --json gate.json

Exit status:

    0   no regression
    1   a number became worse by more than its margin and by more than noise, is no longer finite, or is gone
    2   the runs cannot be compared, or a flag is wrong: one line on stderr says why
    3   the gate itself failed

What failed is on stdout in words (as Markdown), in $GITHUB_STEP_SUMMARY where that is set, with all rows folded behind it,
and as annotations on GitHub. The files and the summary are written for status 2 and 3 too,
with the reason.
`diffae-bench docs numbers` says what it means.
"""

import argparse
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from diffae.cli import prog
from diffae.errors import UserError
from diffae.files import Target, always, begins, json_with, refuse_outputs
from reports.command import path, word

REFUSED, FAILED, PIPE_CLOSED = 2, 3, 141
LONGEST_LINE = 2_000  # of an error


class _Unwritable(Exception):
    """A report could not be written; the message says which."""


def main(arguments: list[str] | None = None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal need not know every letter
    args = _parser().parse_args(arguments)
    try:
        refuse_outputs(_outputs(args), (args.base, args.new, args.margins))
    except UserError as refused:  # before anything is written, a reason too
        _say(f"error: {refused}")
        return REFUSED
    try:
        return _gate(args)
    except BrokenPipeError:  # whoever read the page has seen enough
        sys.stdout = open(os.devnull, "w")
        return PIPE_CLOSED
    except (
        Exception
    ) as error:  # the last resort: a crash must not look like a regression, which is status 1
        reason = f"the gate itself failed: {type(error).__name__}: {str(error)[:200]}"
        _say(f"error: {' '.join(reason.split())}\n{traceback.format_exc()}")
        return _report_failure(args, reason, FAILED)


def _gate(args: argparse.Namespace) -> int:
    """Compare, report, and return the exit status."""
    # Imported here, so that a dependency that is missing or broken is a failure of the gate as well.
    from reports.gate import FAILING, MISSING, compare
    from reports.gate_page import annotations, as_plain, ordered, summary, terminal
    from reports.junit import write_junit
    from reports.metrics import METRICS
    from reports.reading import Refused, short
    from reports.run_folder import read_margins, read_run

    try:
        base, new = read_run(args.base), read_run(args.new)
        measured = {r.metric for run in (base, new) for r in run.records.values()}
        margins = read_margins(args.margins, measured, new.metrics | base.metrics)
        found = compare(base, new, margins, args.alpha)
    except Refused as reason:
        _say(f"error: {short(reason, LONGEST_LINE)}")
        return _report_failure(args, str(reason), REFUSED)
    failing = [c for c in ordered(found) if c.verdict in FAILING]
    if args.allow_missing:
        failing = [c for c in failing if c.verdict != MISSING]
    base_name, new_name = args.names or (str(args.base), str(args.new))
    told = (found, failing, base_name, new_name)
    known = {**METRICS, **new.metrics, **base.metrics}
    page = terminal(*told, everything=args.all, known=known)
    try:
        _write("standard output", lambda: print(page, flush=True))
        if args.junit:
            _write(args.junit, lambda: write_junit(args.junit, found, failing))
        _write_others(args, summary(*told, known=known), as_plain(found, failing, known))
    except _Unwritable as error:
        _say(f"error: {error}")
        return REFUSED
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for annotation in annotations(failing, known):
            print(annotation)
    return 1 if failing else 0


# ----------------------------------------------------------------------------------------------
# Where things are written


def _outputs(args: argparse.Namespace) -> list[Target]:
    junit = begins(b"<?xml", b'<testsuites name="regression gate"')
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    return [
        Target("--junit", args.junit, junit),
        Target("--page", args.page, begins(b"# Regression gate")),
        Target("--json", args.json, json_with("passed", "regressed", "numbers")),
        Target("GITHUB_STEP_SUMMARY", Path(summary) if summary else None, always),
    ]


def _report_failure(args: argparse.Namespace, reason: str, status: int) -> int:
    """Write a comparison that was not made to the JUnit file and the summary; returns `status`."""
    try:
        from reports.gate_page import refusal
        from reports.junit import write_refusal
    except ImportError:  # that is what failed
        return status
    try:
        if args.junit:
            _write(args.junit, lambda: write_refusal(args.junit, reason))
        nothing = {"passed": False, "regressed": 0, "numbers": 0, "counts": {}, "failed": []}
        _write_others(args, refusal(reason), nothing | {"refused": " ".join(reason.split())})
    except _Unwritable as error:
        _say(f"error: {error}")
    return status


def _write_others(args: argparse.Namespace, page: str, verdict: dict[str, object]) -> None:
    """The page and the verdict where they were asked for, and the page at the end of a job's summary."""
    if args.page:
        _write(args.page, lambda: _put(args.page, page))
    if args.json:
        _write(args.json, lambda: _put(args.json, json.dumps(verdict, indent=1) + "\n"))
    _append_summary(page)


def _put(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="backslashreplace"))


def _append_summary(page: str) -> None:
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return

    def append() -> None:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(page)

    _write(path, append)


def _write(where: object, write: Callable[[], None]) -> None:
    """Raises _Unwritable naming `where`."""
    try:
        write()
    except BrokenPipeError:
        raise
    except OSError as error:
        if where == "standard output":
            sys.stdout = open(os.devnull, "w")  # Python would complain again at its end
        raise _Unwritable(f"{where}: {error.strerror}") from None


def _say(text: str) -> None:
    """A line on standard error, and nothing if that cannot be written: the exit status says enough."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")


# ----------------------------------------------------------------------------------------------
# Flags


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _say(f"error: {message[:300]}")
        sys.exit(REFUSED)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog("reports.compare"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("base", type=path, metavar="BASE", help="the baseline's folder")
    parser.add_argument("new", type=path, metavar="NEW", help="the new run's folder")
    parser.add_argument("--junit", type=path, metavar="FILE", help="write JUnit XML as well")
    parser.add_argument(
        "--page", type=path, metavar="FILE", help="write the page of the job's summary as well"
    )
    parser.add_argument(
        "--json", type=path, metavar="FILE", help="write passed, counts and sentences as JSON"
    )
    parser.add_argument(
        "--names",
        nargs=2,
        type=word,
        metavar=("BASE", "NEW"),
        help="what the page calls the two folders",
    )
    parser.add_argument("--margins", type=path, metavar="FILE", help="default: reports/metrics.py")
    parser.add_argument(
        "--alpha", type=_probability, default=0.05, help="chance of a false alarm (default: 0.05)"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="numbers that NEW lacks do not fail"
    )
    parser.add_argument(
        "--all", action="store_true", help="every number, those that say nothing included"
    )
    return parser


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number between 0 and 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
