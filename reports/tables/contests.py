"""Which numbers compete, the setting at which each system is taken, and what chance may explain.

The terminal, the page, bold type, `tables/differences.md`, the history and `Results.summary` all
call these functions, so that they name the same settings, values and differences.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from reports.records.metrics import Metrics, comparable_n, with_stand_ins
from reports.records.record import HIGHER, LOWER, Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import UNKNOWN, Uncertainty, error_between
from reports.tables.run_record import contest_of

TWO_SIDED = 0.975  # quantile of a two-sided test at the 5 % level
R = TypeVar("R", bound=Record)
UncertaintyOf = Callable[[Record], Uncertainty]


def unknown(record: Record) -> Uncertainty:
    """The uncertainty of a number of which nothing but its standard error is known."""
    return UNKNOWN


def is_measured(record: Record) -> bool:
    return record.value is not None and not math.isnan(record.value)


def loss(record: Record) -> float:
    """The value with the sign with which lower is better; NaN if there is none."""
    value = math.nan if record.value is None else record.value
    return -value if record.direction == HIGHER else value


# ----------------------------------------------------------------------------------------------
# Settings


def first_metric(records: Iterable[Record], wanted: Iterable[str], known: Metrics) -> str:
    """The first of `wanted`, or of its stand-ins, that was measured; empty if none was."""
    measured = {record.metric for record in records}
    names = with_stand_ins(filter(None, wanted), known)
    return next((name for name in names if name in measured), "")


def of_headline(spec: TableSpec, records: Iterable[Record], known: Metrics) -> list[Record]:
    """The measured records of a table's headline metrics, in the first of its headline settings that
    its first metric was measured in.

    A setting such as "Male " begins the names of several strengths of an edit: the largest.
    """
    metrics = with_stand_ins(spec.headline, known)
    shown = [r for r in records if r.metric in metrics and is_measured(r)]
    first = first_metric(shown, spec.headline, known)
    settings = dict.fromkeys(r.setting for r in shown if r.metric == first)
    for wanted in spec.headline_settings:
        if not wanted:
            return shown
        named = [wanted] if wanted in settings else [s for s in settings if s.startswith(wanted)]
        if named:
            told = max(named, key=lambda setting: strength_of(setting)[1] or 0)
            return [r for r in shown if r.setting == told]
    return shown


def strength_of(setting: str) -> tuple[str, float | None]:
    """`("Male", 0.3)` of the setting "Male 0.3"; no strength if the setting is not an edit."""
    attribute, _, number = setting.rpartition(" ")
    try:
        return attribute, float(number)
    except ValueError:
        return setting, None


def own_best(records: Iterable[R]) -> list[R]:
    """The best number of each system, of records of one metric: the setting at which it is taken."""
    best: dict[str, R] = {}
    for record in records:
        best[record.system] = min(best.get(record.system, record), record, key=loss)
    return list(best.values())


def own_headlines(
    overview: Iterable[Record], specs: Iterable[TableSpec], known: Metrics
) -> list[Record]:
    """Of the records of the overview, each system's number by each metric at the setting at which it
    is taken.
    """
    by_source: dict[str, TableSpec] = {}
    for spec in specs:
        by_source.setdefault(spec.source, spec)
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in filter(is_measured, overview):
        groups.setdefault((record.table, record.metric), []).append(record)
    found: list[Record] = []
    for (table, _), records in groups.items():
        own = by_source.get(table)
        found += own_best(of_headline(own, records, known) if own else records)
    return found


# ----------------------------------------------------------------------------------------------
# Differences


@dataclass(frozen=True)
class Gap:
    """How far `record` is behind the best: `stderr` of the difference (None: unknown), and the
    `noise`, up to which chance may explain it.
    """

    record: Record
    behind: float
    stderr: float | None
    noise: float | None

    @property
    def within_noise(self) -> bool:
        return not self.behind or (self.noise is not None and abs(self.behind) <= self.noise)


def gap_between(best: Record, other: Record, uncertainty: UncertaintyOf) -> Gap:
    """How far `other` is behind `best`; negative if it is better."""
    error = error_between(best, other, uncertainty(best), uncertainty(other))
    behind = loss(other) - loss(best)
    if math.isnan(behind):  # both are infinite
        behind = 0.0
    noise = error.quantile(TWO_SIDED) if error else None
    return Gap(other, behind, error.stderr if error else None, noise)


# ----------------------------------------------------------------------------------------------
# Bold type


def groups_of(
    records: Iterable[Record], fields: Sequence[str], known: Metrics
) -> list[list[Record]]:
    """Records that agree in metric, data and `fields`, differ in the system, and may be compared."""
    same = ("metric", "dataset", "split", *(field for field in fields if field != "system"))
    found: dict[tuple[object, ...], list[Record]] = {}
    for record in filter(_competes, records):
        alike = (contest_of(record), comparable_n(record, known))
        key = (*alike, *(getattr(record, field) for field in same))
        found.setdefault(key, []).append(record)
    return list(found.values())


def _competes(record: Record) -> bool:
    measured = record.value is not None and math.isfinite(record.value)
    return not record.reference and measured and record.direction in (HIGHER, LOWER)


def leading(rivals: Sequence[Record], uncertainty: UncertaintyOf) -> list[Record]:
    """The best number and those within noise of it; none if no number is beyond noise."""
    best = min(rivals, key=loss)
    kept = [r for r in rivals if gap_between(best, r, uncertainty).within_noise]
    return kept if len(kept) < len(rivals) else []
