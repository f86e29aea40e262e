"""The regression gate: compare a run with a baseline.

    python -m reports.compare BASE NEW                 two run folders; BASE may be a small committed copy
    python -m reports.compare BASE NEW --junit gate.xml --page gate.md

Exit status:

    0   no regression
    1   a number became worse by more than its margin and by more than chance, is no longer finite, or is missing
    2   the runs cannot be compared, or a flag is wrong: one line on stderr says why
    3   the gate itself failed

Failures are printed on stdout as Markdown sentences. On GitHub the same text, with all numbers in folded tables, is added
to the job's summary ($GITHUB_STEP_SUMMARY). The summary and the files of --junit and --page are written for status 2
and 3 too, with the reason. `diffae-bench docs numbers` explains the verdicts.
"""

import argparse
import os
import traceback
from contextlib import suppress
from pathlib import Path

from diffae.system.cli import Parser, path, printable, prog, run, say
from diffae.system.errors import UserError, words
from diffae.system.files import OutputPath, begins, refuse_outputs, writing
from diffae.system.whole import write_whole

FAILED = 3


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return the exit status. Raises UserError if nothing can be compared."""
    args = _parser().parse(arguments)
    refuse_outputs(_outputs(args), (args.base, args.new, args.margins))
    try:
        return _gate(args)
    except UserError as error:
        _report_failure(args, str(error))
        raise
    except BrokenPipeError:  # the reader closed the pipe
        raise
    except Exception as error:  # a crash must not look like a regression, which is status 1
        reason = f"the gate itself failed: {type(error).__name__}: {words(error)[:200]}"
        say(f"error: {printable(reason)}\n{traceback.format_exc()}")
        _report_failure(args, reason)
        return FAILED


def _gate(args: argparse.Namespace) -> int:
    """Compare, report, and return the exit status."""
    # Imported here, so that a dependency that is missing or broken is a failure of the gate as well.
    from reports.gate.junit import junit
    from reports.gate.page import Findings, ordered, summary, terminal
    from reports.gate.verdicts import FAILING, MISSING, compare
    from reports.records.metrics import METRICS
    from reports.records.run_folder import read_margins, read_run

    base, new = read_run(args.base), read_run(args.new)
    measured = {r.metric for run in (base, new) for r in run.records.values()}
    brought = new.metrics | base.metrics
    margins = read_margins(args.margins, measured, brought)
    comparisons = compare(base, new, margins, args.alpha)
    failing = [c for c in ordered(comparisons) if c.verdict in FAILING]
    if args.allow_missing:
        failing = [c for c in failing if c.verdict != MISSING]
    findings = Findings(comparisons, failing, str(args.base), str(args.new), METRICS | brought)
    with writing(Path("standard output"), "or give --page FILE"):
        print(terminal(findings, args.all), flush=True)
    _write(args, junit(findings), summary(findings))
    return 1 if failing else 0


# ----------------------------------------------------------------------------------------------
# Output


def _outputs(args: argparse.Namespace) -> list[OutputPath]:
    junit = begins(b"<?xml", b'<testsuites name="regression gate"')
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    return [
        OutputPath("--junit", args.junit, junit),
        OutputPath("--page", args.page, begins(b"# Regression gate")),
        OutputPath("GITHUB_STEP_SUMMARY", Path(summary) if summary else None, Path.exists),
    ]


def _report_failure(args: argparse.Namespace, reason: str) -> None:
    """Report a comparison that was not made in the files and the summary."""
    try:
        from reports.gate.junit import junit_of_refusal
        from reports.gate.page import refusal
    except ImportError:  # this import is what failed
        return
    line = " ".join(reason.split())
    _write(args, junit_of_refusal(line), refusal(line))


def _write(args: argparse.Namespace, junit: bytes, page: str) -> None:
    """Write the requested files, and append the page to the job's summary.

    Raises UserError naming a file that cannot be written.
    """
    text = page.encode(errors="backslashreplace")
    for where, content in ((args.junit, junit), (args.page, text)):
        if where:
            with writing(where, "or choose another"):
                write_whole(where, content)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with writing(Path(summary), "or unset GITHUB_STEP_SUMMARY"):
            with open(summary, "ab") as file:
                file.write(text)


# ----------------------------------------------------------------------------------------------
# Flags


def _parser() -> Parser:
    parser = Parser(prog("reports.compare"), __doc__)
    add = parser.add_argument
    add("base", type=path, metavar="BASE", help="the baseline's folder")
    add("new", type=path, metavar="NEW", help="the new run's folder")
    add("--junit", type=path, metavar="FILE", help="write the verdicts as JUnit XML")
    add("--page", type=path, metavar="FILE", help="write the report as Markdown")
    margins = "CSV file with the columns metric,margin,of,why (default: the margins of the package)"
    add("--margins", type=path, metavar="FILE", help=margins)
    add("--alpha", type=_probability, default=0.05, help="chance of a false alarm (default: 0.05)")
    add("--allow-missing", action="store_true", help="do not fail if NEW lacks numbers of BASE")
    add("--all", action="store_true", help="print all numbers, not only failures")
    return parser


def _probability(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number between 0 and 1")


if __name__ == "__main__":
    run(main)
