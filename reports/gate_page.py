"""The verdicts of the gate as a page of Markdown: what fails first, the worst of it at the top."""

import math
from collections import Counter
from collections.abc import Sequence

from tabulate import tabulate

from reports.gate import NEW, NO_VERDICT, SAME, UNRESOLVED, VERDICTS, Comparison
from reports.markdown import escape
from reports.numbers import metric_label, number_text, steps_text, to_error
from reports.records import Record

SHOWN, FOLDED = 40, 500
SILENT = (UNRESOLVED, NEW, SAME)  # verdicts that say nothing to act on
HEADERS = ("verdict", "number", "base", "new", "change", "margin", "p", "")


def render(
    found: Sequence[Comparison],
    failing: Sequence[Comparison],
    base: str,
    new: str,
    everything: bool = False,
) -> str:
    """The page. Rows that say nothing are only counted, unless `everything` is asked for."""
    title = f"Regression gate: {len(failing)} worse" if failing else "Regression gate: passed"
    listed = [c for c in ordered(found) if everything or c.verdict not in SILENT]
    shown = listed if everything else listed[:SHOWN]
    parts = [f"# {title}", f"{escape(new)} against {escape(base)}: {_counts(found)}."]
    parts += [_lost(found)] if any(c.pairing_lost for c in found) else []
    parts += [_table(shown)] if shown else []
    if len(shown) < len(found):
        parts.append(
            f"{len(found) - len(shown):,} of {len(found):,} rows not listed; --all lists every one."
        )
    if any(c.verdict == UNRESOLVED for c in found):
        parts.append(
            "Unresolved: the number of images is too small to show or to exclude a loss above the margin."
        )
    return "\n\n".join(parts)


def summary(found: Sequence[Comparison], page: str) -> str:
    """`page` for a place that can fold: followed by the rows that say nothing, out of sight."""
    silent = [c for c in ordered(found) if c.verdict in SILENT][:FOLDED]
    if not silent:
        return page + "\n"
    head = f"<details><summary>{len(silent):,} rows that say nothing</summary>"
    return f"{page}\n\n{head}\n\n{_table(silent)}\n\n</details>\n"


def refusal(reason: str) -> str:
    """The page of a comparison that could not be made."""
    return f"# Regression gate: not compared\n\n{escape(reason)}\n"


def ordered(found: Sequence[Comparison]) -> list[Comparison]:
    """By verdict, then the most certain, then the largest loss for its margin and error first."""
    return sorted(found, key=lambda c: (VERDICTS.index(c.verdict), _or(c.p, 2.0), -_size(c)))


def name(record: Record) -> str:
    """What a record measures, in words."""
    at = steps_text(record)
    parts = (record.benchmark, record.system, record.setting, at, metric_label(record.metric))
    return ", ".join(part for part in parts if part)


def annotation(c: Comparison) -> str:
    """A GitHub workflow command that marks a failing number."""
    text = f"{name(c.record)}: {' '.join(part for part in change(c)[:3] if part)}"
    text = text if c.new is not None else f"{text} became no value"
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(character, code)
    return f"::error title=Regression gate ({c.verdict})::{text}"


def change(c: Comparison) -> tuple[str, str, str]:
    """The base's value, the new one and their difference ± its error, to the digits that the error leaves."""
    if c.base is None or c.new is None or c.error is None:
        base, new = ("" if v is None else number_text(v, c.record.metric) for v in (c.base, c.new))
        return base, new, ""
    difference = c.new - c.base
    exact = c.error.stderr == 0
    to = abs(difference) if exact else c.error.stderr
    if not to:
        return number_text(c.base, c.record.metric), number_text(c.new, c.record.metric), "0"
    sign = "+" if difference >= 0 else ""
    error = "" if exact else f" ± {to_error(to, to)}"
    return to_error(c.base, to), to_error(c.new, to), f"{sign}{to_error(difference, to)}{error}"


def _counts(found: Sequence[Comparison]) -> str:
    counts = Counter(c.verdict for c in found)
    each = (f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict])
    return f"{len(found):,} numbers, {', '.join(each)}"


def _lost(found: Sequence[Comparison]) -> str:
    count = sum(c.pairing_lost for c in found)
    return (
        f"**The pairing is lost** for {count:,} numbers: both runs have the same protocol and seed, but the base has no "
        "influences of the same images. Their errors are those of independent runs, and only a large loss is seen."
    )


def _table(rows: Sequence[Comparison]) -> str:
    return tabulate([_row(c) for c in rows], HEADERS, tablefmt="pipe", disable_numparse=True)


def _row(c: Comparison) -> list[str]:
    base, new, difference = change(c)
    judged = c.error is not None and c.verdict not in NO_VERDICT
    margin, p = (f"{c.margin:.2g}", f"{c.p:.2g}") if judged else ("", "")
    how = "paired" if c.paired else "pairing lost" if c.pairing_lost else c.note
    return [c.verdict, escape(name(c.record)), base, new, difference, margin, p, escape(how)]


def _size(c: Comparison) -> float:
    """The loss above the margin, in standard errors; as a share of the base's value where it is exact."""
    if c.error is None:
        return 0.0
    scale = c.error.stderr or abs(c.base or 0)
    return _or((c.loss - c.margin) / scale if scale else c.loss, 0.0)


def _or(number: float, instead: float) -> float:
    return instead if math.isnan(number) else number
