"""Which numbers may be compared, how far one is behind another, and who leads.

At which setting each system is taken, and what is told of a benchmark: contests.py.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TypeVar

from reports.records.metrics import METRICS, Metrics
from reports.records.reading import grouped
from reports.records.record import HIGHER, LOWER, Record, error_between
from reports.records.specs import TableSpec

TWO_SIDED = 0.975  # quantile of a two-sided test at the 5 % level
FEWEST = 5  # images, or other units, of a number that decides who is best
# What a difference decides, in a word or two.
CLEAR, LEVEL, UNDECIDED = "clear", "within noise", "not decided"
INVERTED = "x_T inverted"  # the setting in which the code holds the noise of the whole image
INVERSION = "inversion_steps"  # the field of a protocol that says it of an edit or an interpolation
CODE, WITH_NOISE = "code", "code and inverted noise"  # groups by what a code holds
R = TypeVar("R", bound=Record)


def is_measured(record: Record) -> bool:
    return record.value is not None and not math.isnan(record.value)


def loss(record: Record) -> float:
    """The value with the sign with which lower is better; NaN if there is none."""
    value = math.nan if record.value is None else record.value
    return -value if record.direction == HIGHER else value


def comparable_n(number: Record, metrics: Metrics = METRICS) -> int | None:
    """The n that a number must have to be compared with this one; None if n does not matter."""
    return number.n if number.metric in metrics and metrics[number.metric].depends_on_n else None


def has_inverted_noise(record: Record) -> bool:
    """Whether the code of a number holds an inverted x_T, as many numbers as the image has: its setting
    or its protocol says so.
    """
    return INVERTED in record.setting or record.measured_by.get(INVERSION) is not None


def by_code(records: Iterable[R]) -> dict[str, list[R]]:
    """The groups within which numbers compete, by what the code holds; the first is the main one.

    ==============================================  =========================  =======================
    among the numbers that may be compared          the main group             a second group
    ==============================================  =========================  =======================
    none has inverted noise                         all: CODE                  none
    some have inverted noise                        those without it: CODE     the others: WITH_NOISE
    all have inverted noise                         all: WITH_NOISE            none
    a system has both                               its number without it      its number with it
    ==============================================  =========================  =======================

    Each group has a best of its own. The code of a number with inverted noise is as large as the image,
    so that such a number is never better than one of a smaller code.
    """
    groups = grouped(records, lambda r: WITH_NOISE if has_inverted_noise(r) else CODE)
    return {name: groups[name] for name in (CODE, WITH_NOISE) if name in groups}


def sizes_of_codes(rows: Iterable[Record], metric: str = "latent_dim") -> dict[str, list[Record]]:
    """The sizes of the codes of each system, in numbers or in another `metric`."""
    sizes = (r for r in rows if r.metric == metric and r.value)
    return grouped(sizes, lambda r: r.system)


def size_of_code(record: Record, sizes: Mapping[str, Sequence[Record]]) -> float | None:
    """The size of the code behind a number: that of its setting, or else the only size that the system's
    codes with inverted noise have, or those without it, like the number.
    """
    ours = sizes.get(record.system, ())
    alike = [r for r in ours if has_inverted_noise(r) == has_inverted_noise(record)]
    own = [r for r in alike if r.setting == record.setting] or alike
    values = {r.value for r in own}
    return values.pop() if len(values) == 1 else None


def of_like_n(records: Sequence[Record], metrics: Metrics) -> list[Record]:
    """The records of a table without the references that no system can be held against: their metric
    depends on n, and no system has theirs.
    """
    counts: dict[str, set[int | None]] = {}
    for r in records:
        if not r.reference and r.value is not None:
            counts.setdefault(r.metric, set()).add(comparable_n(r, metrics))

    def is_alike(r: Record) -> bool:
        n = comparable_n(r, metrics)
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
    """The best number of each system, of records of one metric: the setting at which it is taken.

    A system that has numbers with and without inverted noise is taken without it.
    """
    best: dict[str, R] = {}
    for record in records:
        rival = best.get(record.system, record)
        best[record.system] = min(rival, record, key=lambda r: (has_inverted_noise(r), loss(r)))
    return list(best.values())


# ----------------------------------------------------------------------------------------------
# Differences


@dataclass(frozen=True)
class Gap:
    """How far `record` is behind another number, negative if it is better: `stderr` of the difference
    (None: unknown), and the `noise`, up to which chance may explain it. With `is_of_few`, one of the
    two numbers is of fewer than `FEWEST` units.
    """

    record: Record
    behind: float
    stderr: float | None
    noise: float | None
    paired: bool = False
    is_of_few: bool = False

    @property
    def standing(self) -> str:
        """What the difference decides: CLEAR, LEVEL or UNDECIDED. Bold type, chips, sentences and the
        words of the terminal all follow from this.
        """
        if not self.behind:
            return LEVEL
        if self.noise is None or self.is_of_few:
            return UNDECIDED
        return LEVEL if abs(self.behind) <= self.noise else CLEAR

    @property
    def is_clear(self) -> bool:
        return self.standing == CLEAR


def gap_between(best: Record, other: Record, metrics: Metrics = METRICS) -> Gap:
    """How far `other` is behind `best`; negative if it is better."""
    behind = loss(other) - loss(best)
    if math.isnan(behind):  # both are infinite
        behind = 0.0
    if _is_exact(best, metrics) and _is_exact(other, metrics):
        return Gap(other, behind, None, 0.0)
    is_of_few = min(_units(best), _units(other)) < FEWEST
    error = error_between(best, other)
    if error is None:
        return Gap(other, behind, None, None, is_of_few=is_of_few)
    noise = error.quantile(TWO_SIDED)
    is_paired = best.estimate.is_paired_with(other.estimate)
    return Gap(other, behind, error.stderr, noise, is_paired, is_of_few)


def _is_exact(record: Record, metrics: Metrics) -> bool:
    """Whether a number is counted, not estimated: then any difference is real."""
    return record.metric in metrics and metrics[record.metric].is_exact


def _units(record: Record) -> float:
    """The images, or other units, behind a number: of several sources the fewest.

    Seeds, and draws of labelled images, do not count, for Student's t of their degrees of freedom
    already says how little a few of them tell.
    """
    influences = record.estimate.influences
    if influences:
        images = (s for s in influences if not s.units.startswith(("seeds", "draws")))
        return min((len(source.values) for source in images), default=math.inf)
    return math.inf if record.n is None else record.n


def ranked(rivals: Iterable[Record], metrics: Metrics = METRICS) -> tuple[Record, list[Gap]]:
    """The best number, and how far each of the others is behind it, in this order."""
    best, *others = sorted(rivals, key=loss)
    return best, [gap_between(best, other, metrics) for other in others]


# ----------------------------------------------------------------------------------------------
# Bold type


def groups_of(
    records: Iterable[Record], fields: Sequence[str], metrics: Metrics
) -> list[list[Record]]:
    """Records that agree in metric, data and `fields`, differ in the system, and may be compared."""
    apart = (field for field in fields if field != "system")
    same = attrgetter("contest", "metric", "dataset", "split", *apart)
    rivals = filter(_competes, records)
    alike = grouped(rivals, lambda r: (same(r), comparable_n(r, metrics), has_inverted_noise(r)))
    return list(alike.values())


def _competes(record: Record) -> bool:
    measured = record.value is not None and math.isfinite(record.value)
    return not record.reference and measured and record.direction in (HIGHER, LOWER)


def leading(rivals: Sequence[Record], metrics: Metrics = METRICS) -> list[Record]:
    """The numbers in bold, of those that compete in one group: the only rule of bold type.

    Each system is taken at its own best number. Bold are the best of these and what is not clearly
    behind it, at every setting; nothing if no other system is clearly behind the best.
    """
    best, gaps = ranked(own_best(rivals), metrics)
    systems = {r.system for r in not_behind(best, gaps)}
    rows = (r for r in rivals if r.system in systems)
    return [r for r in rows if r == best or not gap_between(best, r, metrics).is_clear]


def not_behind(best: Record, gaps: Sequence[Gap]) -> list[Record]:
    """The best number and those that are not clearly behind it; none if no number is."""
    level = [gap.record for gap in gaps if not gap.is_clear]
    return [best, *level] if len(level) < len(gaps) else []
