"""Which numbers may be compared, how far one is behind another, and who leads.

At which setting each system is taken, and what is told of a benchmark: contests.py.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TypeVar

from reports.records.metrics import METRICS, Metrics
from reports.records.reading import grouped
from reports.records.record import HIGHER, LOWER, Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import UNKNOWN, Uncertainty, error_between, paired

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


def comparable_n(number: Record, known: Metrics = METRICS) -> int | None:
    """The n that a number must have to be compared with this one; None if n does not matter."""
    return number.n if number.metric in known and known[number.metric].depends_on_n else None


def of_like_n(records: Sequence[Record], known: Metrics) -> list[Record]:
    """The records of a table without the references that no system can be held against: their metric
    depends on n, and no system has theirs.
    """
    counts: dict[str, set[int | None]] = {}
    for r in records:
        if not r.reference and r.value is not None:
            counts.setdefault(r.metric, set()).add(comparable_n(r, known))

    def is_alike(r: Record) -> bool:
        n = comparable_n(r, known)
        return not r.reference or n is None or n in counts.get(r.metric, {n})

    return list(filter(is_alike, records))


def choose(spec: TableSpec, records: Iterable[Record]) -> list[Record]:
    """The records that `spec` shows, each once."""
    ours = (r for r in records if r.table == spec.source and spec.shows(r.setting))
    chosen = list(dict.fromkeys(ours))
    return at_largest_steps(chosen) if spec.largest_steps else chosen


def at_largest_steps(records: Sequence[Record]) -> list[Record]:
    """Each system at its largest T; one without T (a latent size) uses its system's."""
    series = attrgetter("system", "setting", "dataset", "split")
    largest: dict[object, int] = {}
    for r in records:
        if r.steps is not None:
            largest[series(r)] = max(largest.get(series(r), r.steps), r.steps)
    kept = (r for r in records if r.steps in (None, largest.get(series(r))))
    return [replace(r, steps=largest.get(series(r))) for r in kept]


def own_best(records: Iterable[R]) -> list[R]:
    """The best number of each system, of records of one metric: the setting at which it is taken."""
    best: dict[str, R] = {}
    for record in records:
        best[record.system] = min(best.get(record.system, record), record, key=loss)
    return list(best.values())


# ----------------------------------------------------------------------------------------------
# Differences


@dataclass(frozen=True)
class Gap:
    """How far `record` is behind another number, negative if it is better: `stderr` of the difference
    (None: unknown), and the `noise`, up to which chance may explain it.
    """

    record: Record
    behind: float
    stderr: float | None
    noise: float | None
    paired: bool = False

    @property
    def within_noise(self) -> bool:
        return not self.behind or (self.noise is not None and abs(self.behind) <= self.noise)


def gap_between(best: Record, other: Record, uncertainty: UncertaintyOf) -> Gap:
    """How far `other` is behind `best`; negative if it is better."""
    ours, theirs = uncertainty(best), uncertainty(other)
    error = error_between(best, other, ours, theirs)
    behind = loss(other) - loss(best)
    if math.isnan(behind):  # both are infinite
        behind = 0.0
    if error is None:
        return Gap(other, behind, None, None)
    return Gap(other, behind, error.stderr, error.quantile(TWO_SIDED), paired(ours, theirs))


def ranked(rivals: Iterable[Record], uncertainty: UncertaintyOf) -> tuple[Record, list[Gap]]:
    """The best number, and how far each of the others is behind it, in this order."""
    best, *others = sorted(rivals, key=loss)
    return best, [gap_between(best, other, uncertainty) for other in others]


# ----------------------------------------------------------------------------------------------
# Bold type


def groups_of(
    records: Iterable[Record], fields: Sequence[str], known: Metrics
) -> list[list[Record]]:
    """Records that agree in metric, data and `fields`, differ in the system, and may be compared."""
    apart = (field for field in fields if field != "system")
    same = attrgetter("contest", "metric", "dataset", "split", *apart)
    rivals = filter(_competes, records)
    return list(grouped(rivals, lambda r: (same(r), comparable_n(r, known))).values())


def _competes(record: Record) -> bool:
    measured = record.value is not None and math.isfinite(record.value)
    return not record.reference and measured and record.direction in (HIGHER, LOWER)


def leading(rivals: Sequence[Record], uncertainty: UncertaintyOf) -> list[Record]:
    """The best number and those within noise of it; none if no number is beyond noise."""
    best, gaps = ranked(rivals, uncertainty)
    level = [gap.record for gap in gaps if gap.within_noise]
    return [best, *level] if len(level) < len(gaps) else []


def sure_best(rivals: Iterable[Record], uncertainty: UncertaintyOf, known: Metrics) -> list[Record]:
    """The best of some numbers of one metric, if it is beyond noise of each other one; none if the
    error of a difference is not known, or if the numbers were not measured alike or are of one
    system.
    """
    rivals = list(filter(_competes, rivals))
    if len({(r.contest, comparable_n(r, known)) for r in rivals}) != 1:
        return []
    if len({r.system for r in rivals}) == 1:
        return []
    best, gaps = ranked(rivals, uncertainty)
    sure = [gap.noise is not None and not gap.within_noise for gap in gaps]
    return [best] if all(sure) else []
