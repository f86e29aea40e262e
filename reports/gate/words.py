"""The findings of the gate as sentences: one per number; numbers that fail together share one."""

import math
import re
from collections.abc import Iterable, Sequence

from reports.gate.verdicts import MISSING, Comparison
from reports.records.metrics import METRICS, Metrics
from reports.records.reading import few, grouped, joined, number_of, short
from reports.records.record import Record
from reports.tables.numbers import metric_label, number_text, steps_text, to_error

LONGEST_NAME = 60  # characters of a system, setting or metric
OTHERS = 3  # members of a group that are named after its worst
SURE = 1e-12  # a smaller p is given as a bound


def name(record: Record) -> str:
    """What a record measures, in words: all of its parts, separated by commas."""
    r, metric = record, metric_label(record.metric)
    return joined(r.benchmark, r.system, r.setting, steps_text(r), metric)


def subject(record: Record) -> str:
    """The same as the beginning of a sentence: `DiffAE: SSIM of reconstruction, x_T inverted, at T
    = 100`.
    """
    labels = metric_label(record.metric), record.benchmark, record.system
    kind, benchmark, system = (short(text, LONGEST_NAME) for text in labels)
    return joined(f"{system}: {kind} of {benchmark}", _where(record))


def sentence(c: Comparison, metrics: Metrics = METRICS) -> str:
    """How a number changed, with the digits that show the change, and the error of the change."""
    assert c.base is not None  # a new number has no verdict that is told
    if c.new is None:
        text, why = number_text(c.base, c.record.metric, metrics), short(c.note, 200)
        return f"{subject(c.record)} is missing (was {text}){why and ': '}{why}"
    if not (math.isfinite(c.base) and math.isfinite(c.new)):
        return f"{subject(c.record)} went from {c.base:.4g} to {c.new:.4g}: {c.note}"
    change = c.new - c.base
    verb = "rose" if change > 0 else "fell"
    size, error = two_digits(abs(change)), c.error.stderr if c.error else 0
    by = f"{size} ± {two_digits(error)}" if error else size
    ends = f"from {brief(c.base, abs(change))} to {brief(c.new, abs(change))}"
    return f"{subject(c.record)} {verb} {ends}, by {by}"


def because(c: Comparison) -> str:
    """The reason for the verdict: beyond the margin, and beyond chance if chance plays a part."""
    if c.error is None or c.base is None or c.new is None:
        return ""
    margin = f"more than the margin {two_digits(c.margin)}"
    if not c.error.stderr:
        return f"{margin}; the difference has no random error"
    return f"{margin} and more than chance ({p_text(c.p)})"


def p_text(p: float) -> str:
    """`p = 2e-5`; a p that is almost zero is given as a bound."""
    return f"p below {_tidy(f'{SURE:.0e}')}" if p < SURE else f"p = {_tidy(f'{p:.1g}')}"


def brief(number: float, change: float) -> str:
    """`number` rounded to the second digit of `change`, so that it has just the digits that show
    the change.
    """
    if not math.isfinite(number) or number == 0 or not 0 < change < math.inf:
        return _tidy(f"{number:.4g}")
    if abs(number) >= 1e-4:
        return _tidy(to_error(number, change))
    digits = math.floor(math.log10(abs(number))) - math.floor(math.log10(change)) + 1
    return _tidy(f"{number:.{min(max(digits, 1), 9)}e}")


def two_digits(size: float) -> str:
    """A size with two significant digits: 0.015, 0.0008, 2.1e-5, 1,234."""
    return _tidy(f"{size:.2g}") if size < 10 else brief(size, size)


# ----------------------------------------------------------------------------------------------
# Groups


def groups(ordered: Iterable[Comparison]) -> list[list[Comparison]]:
    """Numbers grouped by metric, system and benchmark; missing ones by system and benchmark."""

    def group_of(c: Comparison) -> tuple[str, ...]:
        kind = (MISSING, c.note) if c.verdict == MISSING else (c.verdict, c.record.metric)
        return (c.record.benchmark, c.record.system, *kind)

    return list(grouped(ordered, group_of).values())


def sentences(group: Sequence[Comparison], metrics: Metrics = METRICS) -> str:
    """A group as one or two sentences: its first number, which is the worst, and where the others are."""
    first, *others = group
    if first.verdict == MISSING and others:
        return _missing(group)
    reason = because(first)
    text = sentence(first, metrics) + (f": {reason}" if reason else "") + "."
    if not others:
        return text
    names = few([_where(c.record) or "without a setting" for c in others], OTHERS)
    cases = number_of(len(others), "more case")
    return f"{text} The same metric is worse in {cases}: {'; '.join(names)}."


def _missing(group: Sequence[Comparison]) -> str:
    r, note = group[0].record, group[0].note
    kinds = dict.fromkeys(short(metric_label(c.record.metric), LONGEST_NAME) for c in group)
    names = ", ".join([*kinds][: OTHERS + 1]) + (", ..." if len(kinds) > OTHERS + 1 else "")
    where = f"{short(r.system, LONGEST_NAME)}: {len(group):,} numbers of {short(r.benchmark, LONGEST_NAME)}"
    return f"{where} are missing ({names}){note and ': '}{short(note, 200)}."


def _where(record: Record) -> str:
    at = steps_text(record)
    return joined(short(record.setting, LONGEST_NAME), f"at {at}" if at else "")


def _tidy(text: str) -> str:
    """`2e-5` for `2e-05`."""
    return re.sub(r"e([-+])0*(?=\d)", lambda match: "e" + match[1].strip("+"), text)
