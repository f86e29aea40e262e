"""Formatting of numbers: digits by metric, errors, arrows. Plain text for every output format.

`metrics` is the table of metrics: ours, or including those of plug-ins in a run folder.
"""

import math
from collections.abc import Iterable

from reports.records.metrics import METRICS, Metrics
from reports.records.reading import joined
from reports.records.record import FAST, FAST_SOLVER, HIGHER, LOWER, NEITHER, Record
from reports.tables.ranking import is_measured

MISSING = "n/a"
MOST_DECIMALS = 12  # of a number near 0; a power of ten is shorter
Z_95, Z_80 = 1.959964, 0.841621  # of the normal distribution: two-sided 5 %, power 80 %
ARROWS = {HIGHER: " ↑", LOWER: " ↓"}


def metric_label(metric: str, metrics: Metrics = METRICS) -> str:
    """The heading of `metric`: its usual spelling if there is one, else the name itself."""
    if not metric:
        return "any metric"
    return (metrics[metric].label if metric in metrics else "") or metric


def heading(metric: str, records: Iterable[Record], metrics: Metrics = METRICS) -> str:
    """`metric_label` with the unit and the arrow that all measured ones of `records` share."""
    kinds = {(r.unit, r.direction) for r in records if r.value is not None}
    unit, direction = kinds.pop() if len(kinds) == 1 else ("", "")
    return labelled(metric_label(metric, metrics), unit, direction)


def labelled(label: str, unit: str, direction: str) -> str:
    """A metric's label with its unit and arrow: `PSNR (dB) ↑`."""
    return label + (f" ({unit})" if unit else "") + ARROWS.get(direction, "")


def steps_text(record: Record) -> str:
    """T, and the solver if it is not the paper's DDIM; empty if T does not apply."""
    if record.steps is None:
        return ""
    by = "" if record.solver in ("", "ddim") else f" by {solver_name(record.solver)}"
    return f"T = {record.steps}{by}"


def solver_name(solver: str) -> str:
    """The name of a solver as flags and settings have it: `fast` of a record's "ab2-v"."""
    return FAST if solver == FAST_SOLVER else solver


def value_texts(record: Record, metrics: Metrics = METRICS) -> tuple[str, str, str]:
    """The value to the digits of its error, or `n/a`; what follows ±, and what is in brackets.

    That is the standard error; of the mean of several runs the standard deviation between them, and in
    brackets the standard error of one.
    """
    if record.value is None:
        return MISSING, "", ""
    first, second = (record.spread, record.stderr) if record.pooled else (record.stderr, None)
    text, error = error_pair(record.value, first, record.metric, metrics)
    return text, error, error_pair(record.value, second, record.metric, metrics)[1]


def published_text(record: Record, metrics: Metrics = METRICS) -> str:
    """The published value with the paper's usual decimals, more if it has more."""
    if record.published is None:
        return ""
    digits = _published_digits(record, metrics)
    return f"{record.published:g}" if digits is None else f"{record.published:,.{digits}f}"


def _published_digits(record: Record, metrics: Metrics) -> int | None:
    """The decimals that the paper prints for this metric; None if this value has more."""
    metric = metrics.get(record.published_metric or record.metric)
    if metric is None or record.published is None:
        return None
    digits = metric.digits if metric.paper_digits is None else metric.paper_digits
    exact = digits is not None and round(record.published, digits) == record.published
    return digits if exact else None


def difference_text(record: Record, metrics: Metrics = METRICS) -> str:
    """Ours minus the published value, with the paper's decimals.

    Empty if the two must not be compared, or if the metrics differ or have no better direction.
    """
    if record.published is None or record.value is None or not math.isfinite(record.value):
        return ""
    is_other = record.published_metric not in ("", record.metric)
    if is_other or record.not_comparable or record.direction not in ARROWS:
        return ""
    digits, difference = _published_digits(record, metrics), record.value - record.published
    if digits is None:
        return f"{difference:+.2g}"
    text = with_decimals(difference, digits)
    return text if difference < 0 else f"+{text}"


def reference_text(record: Record, metrics: Metrics = METRICS) -> str:
    """The published value and the difference to it: `0.991, +0.005`.

    Without the difference, in parentheses, if the two must not be compared: `(0.991)`.
    """
    text = joined(published_text(record, metrics), difference_text(record, metrics))
    return f"({text})" if text and record.not_comparable else text


def value_note(record: Record) -> str:
    """The footnote of a measured number; for a missing one, the reason."""
    return record.note or ("no reason recorded" if record.value is None else "")


def reference_note(record: Record, metrics: Metrics = METRICS) -> str:
    """Why a published number must not be compared; empty if it may be."""
    if record.published is None or not record.not_comparable:
        return ""
    metric = record.published_metric or record.metric
    name = "" if metric == record.metric else f"published {metric_label(metric, metrics)}: "
    return name + record.not_comparable


def footnote(notes: dict[str, int], text: str) -> int:
    """The number of a note in a table: in the order of first mention; equal notes share one."""
    return notes.setdefault(text, len(notes) + 1)


def number_text(number: float, metric: str, metrics: Metrics = METRICS) -> str:
    """`number` with the decimals of `metric`, scientific if they would show one digit or none and
    the metric is not `unbiased`, whose numbers near 0 are chance.

    A metric without digits of its own gets four significant ones, whole numbers all of theirs.
    """
    if not math.isfinite(number):
        return str(number)
    digits = _digits(metric, metrics)
    if digits is None:
        whole = number == int(number) or abs(number) >= 1e4
        return f"{number:,.0f}" if whole and abs(number) < 1e15 else f"{number:.4g}"
    if _is_scientific(number, metric, metrics):
        return f"{number:.2e}"
    return with_decimals(number, digits)


def with_decimals(number: float, digits: int) -> str:
    """`number` with so many decimals; with two significant digits where these would show a zero that it
    is not.
    """
    text = f"{round(number, digits) + 0.0:,.{digits}f}"  # no -0.00
    if not number or not math.isfinite(number) or float(text.replace(",", "")):
        return text
    needed = 1 - math.floor(math.log10(abs(number)))
    return f"{number:.{needed}f}" if needed <= MOST_DECIMALS else f"{number:.1e}"


def to_error(value: float, error: float) -> str:
    """`value` rounded to the second digit of `error`, with at least two significant digits."""
    if not math.isfinite(value) or not 0 < error < math.inf:
        return f"{value:.6g}"
    last = math.floor(math.log10(error)) - 1
    if value:
        last = min(last, math.floor(math.log10(abs(value))) - 1)
    if -6 <= last < 12:
        return f"{value:,.{max(0, -last)}f}"
    return _to_place(value, last)


def counted(records: Iterable[Record]) -> str:
    """`n = 16`, or `n = 8 to 16`: the images, or other units, behind numbers.

    Empty if no n is known, and for what does not depend on images, such as parameters.
    """
    measured = [r for r in records if is_measured(r) and r.n is not None]
    counts = sorted({r.n or 0 for r in measured if r.direction != NEITHER or r.n != 1})
    ends = dict.fromkeys((*counts[:1], *counts[-1:]))
    return f"n = {' to '.join(f'{n:,}' for n in ends)}" if ends else ""


def duration(seconds: float) -> str:
    """`20 s`, `5 min`, `3.2 h`, `120 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours = seconds / 3600
    return f"{seconds / 60:.0f} min" if hours < 1.5 else f"{hours:,.{int(hours < 99.95)}f} h"


def detectable_change(stderr: float | None) -> float | None:
    """The difference of two systems that two independent runs detect, at the 5 % level, in 4 of 5
    cases.

    (1.96 + 0.84) sqrt(2) standard errors of one run; half of the differences of 1.96 sqrt(2) would
    not be detected.
    """
    return None if stderr is None else (Z_95 + Z_80) * math.sqrt(2) * stderr


def _is_scientific(number: float, metric: str, metrics: Metrics) -> bool:
    row = metrics.get(metric)
    if row is None or not row.digits or row.unbiased:
        return False
    return 0 < abs(number) < 10 ** (1 - row.digits)


def _digits(metric: str, metrics: Metrics) -> int | None:
    return metrics[metric].digits if metric in metrics else None


def error_pair(
    value: float, error: float | None, metric: str, metrics: Metrics = METRICS
) -> tuple[str, str]:
    """A value and its error ("" if it is None), both to the same last digit.

    That is the last of the metric's decimals, or the second significant digit of the error where these
    would show the error as 0, where the value is in scientific notation, and where the metric has no
    decimals.
    """
    text, digits = number_text(value, metric, metrics), _digits(metric, metrics)
    if error is None:
        return text, ""
    if not (error and math.isfinite(error) and math.isfinite(value)):
        return text, with_decimals(error, digits or 0)
    last = math.floor(math.log10(error)) - 1
    if _is_scientific(value, metric, metrics):
        last = min(last, math.floor(math.log10(abs(value))) - 1)
        return _to_place(value, last), _to_place(error, last)
    if digits is not None and float(f"{error:.{digits}f}"):
        last = -digits
    if -MOST_DECIMALS <= last < 6:
        places = max(0, -last)
        return f"{round(value, places) + 0.0:,.{places}f}", f"{error:,.{places}f}"
    return _to_place(value, last), _to_place(error, last)


def _to_place(number: float, last: int) -> str:
    """`number` in scientific notation, with 10^last as its last digit."""
    digits = math.floor(math.log10(abs(number))) - last if number else 0
    return f"{number:.{min(max(digits, 0), 15)}e}"
