"""The regression gate: compare a run with a baseline.

    python -m reports.compare BASE NEW                 two run folders; BASE may be a small committed copy
    python -m reports.compare BASE NEW --junit gate.xml

Exit status 0: no regression. 1: a number became worse by more than its margin and by more than noise, or is
gone. 2: the runs cannot be compared. The verdicts are on stdout as Markdown, in $GITHUB_STEP_SUMMARY where that
is set, and as annotations on GitHub. docs/numbers.md says what they mean.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from reports.gate import (
    FAILING,
    MISSING,
    SAME,
    UNRESOLVED,
    VERDICTS,
    Comparison,
    Refused,
    compare,
    read_margins,
    read_run,
)
from reports.junit import write_junit
from reports.markdown import escape
from reports.numbers import error_digits, metric_label, number_text
from reports.records import Record

SHOWN = 40


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        margins = read_margins(args.margins)
        found = compare(read_run(args.base), read_run(args.new), margins, args.alpha)
    except Refused as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2
    failing = [c for c in found if c.verdict in FAILING]
    if args.allow_missing:
        failing = [c for c in failing if c.verdict != MISSING]
    page = render(found, failing, str(args.base), str(args.new), everything=args.all)
    try:
        print(page, flush=True)
        if args.junit:
            write_junit(args.junit, found, failing)
        if os.environ.get("GITHUB_STEP_SUMMARY"):
            with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as file:
                file.write(page + "\n")
    except BrokenPipeError:  # whoever read the page has seen enough
        sys.stderr.close()
        return 141
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for comparison in failing:
            print(annotation(comparison))
    return 1 if failing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("base", type=Path, metavar="BASE", help="the baseline's folder")
    parser.add_argument("new", type=Path, metavar="NEW", help="the new run's folder")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML as well")
    parser.add_argument("--margins", type=Path, metavar="FILE", help="default: reports/margins.csv")
    parser.add_argument(
        "--alpha", type=_probability, default=0.05, help="chance of a false alarm (default: 0.05)"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="numbers that NEW lacks do not fail"
    )
    parser.add_argument("--all", action="store_true", help=f"every row, not the first {SHOWN}")
    return parser


def _probability(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value


# ----------------------------------------------------------------------------------------------
# Text


def render(
    found: Sequence[Comparison],
    failing: Sequence[Comparison],
    base: str,
    new: str,
    everything: bool = False,
) -> str:
    """The verdicts as a page of Markdown: what fails first, rows that are the same only counted."""
    counts = Counter(c.verdict for c in found)
    title = f"Regression gate: {len(failing)} worse" if failing else "Regression gate: passed"
    listed = [c for c in found if everything or c.verdict != SAME]
    listed.sort(key=lambda c: (VERDICTS.index(c.verdict), c.p))
    shown = listed if everything else listed[:SHOWN]
    parts = [
        f"# {title}",
        f"{escape(new)} against {escape(base)}: {len(found)} numbers, "
        + ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
        + ".",
    ]
    if shown:
        headers = ["verdict", "number", "base", "new", "change", "margin", "p", ""]
        parts.append(tabulate([_row(c) for c in shown], headers, tablefmt="pipe"))
    if len(shown) < len(listed):
        parts.append(f"{len(listed) - len(shown)} more; --all shows every row.")
    if counts[UNRESOLVED]:
        parts.append(
            "Unresolved: the number of images is too small to show or to exclude a loss above the margin."
        )
    return "\n\n".join(parts)


def name(record: Record) -> str:
    """What a record measures, in words."""
    at = "" if record.steps is None else f"T = {record.steps}"
    parts = (record.benchmark, record.system, record.setting, at, metric_label(record.metric))
    return ", ".join(part for part in parts if part)


def _row(c: Comparison) -> list[str]:
    metric = c.record.metric
    base, new = ("" if v is None else number_text(v, metric) for v in (c.base, c.new))
    change = margin = p = ""
    if c.base is not None and c.new is not None:
        change = f"{c.new - c.base:+.2g}"
        if c.error is not None:
            change += f" ± {error_digits(c.error.stderr, c.new - c.base, metric)}"
        margin, p = f"{c.margin:.2g}", f"{c.p:.2g}"
    kind = "paired" if c.paired else c.note
    return [c.verdict, escape(name(c.record)), base, new, change, margin, p, escape(kind)]


def annotation(c: Comparison) -> str:
    """A GitHub workflow command that marks a failing number."""
    text = f"{name(c.record)}: {c.base} became {c.new}"
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(character, code)
    return f"::error title=Regression gate ({c.verdict})::{text}"


if __name__ == "__main__":
    sys.exit(main())
