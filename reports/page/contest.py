"""The best system by one metric, and the systems that cannot be distinguished from it.

Two systems are compared on the images that both share.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reports.records.comparable import is_floor
from reports.records.metrics import comparable_n, with_stand_ins
from reports.records.record import HIGHER, NEITHER, Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import difference_error
from reports.tables.layout import at_largest_steps, choose
from reports.tables.merging import Merged
from reports.tables.numbers import (
    error_text,
    metric_label,
    number_text,
    steps_text,
    to_error,
    value_text,
)
from reports.tables.run_record import contest_of

# How sure a verdict is, in a word.
CLEAR, LEVEL, ALONE, SAID, NOTHING = "clear", "within noise", "alone", "described", "not measured"
MOST_REFERENCES, MOST_NAMES = 3, 4  # in a sentence
TWO_SIDED = 0.975  # quantile of a two-sided test at the 5 % level


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
        return self.noise is not None and abs(self.behind) <= self.noise


@dataclass(frozen=True)
class Contest:
    """The best of several systems, each at its own best setting, and the others by their distance
    from it.

    `of_other_n` are not ranked: their metric depends on n, and their n differs. `scale` are
    references shown beside the best.
    """

    best: Record
    others: tuple[Gap, ...]
    of_other_n: tuple[Record, ...] = ()
    scale: tuple[Record, ...] = ()

    @property
    def level(self) -> list[Gap]:
        """The systems that cannot be distinguished from the best."""
        return [gap for gap in self.others if gap.within_noise]

    def is_behind(self, reference: Record) -> bool:
        """Whether a reference has a better number than the best system."""
        return loss(reference) < loss(self.best)


def headlined(found: Merged) -> Iterator[tuple[TableSpec, list[Record]]]:
    """The first table with a headline of each benchmark, and its records at their largest T."""
    seen: set[str] = set()
    for spec in sorted(found.specs, key=lambda spec: spec.order):
        records = at_largest_steps(choose(spec, found.records))
        if records and spec.headline and records[0].benchmark not in seen:
            seen.add(records[0].benchmark)
            yield spec, records


def headline_metric(found: Merged, table: str, records: Iterable[Record]) -> str:
    """The first headline metric of `table` that was measured; empty if none was."""
    wanted = next((spec.headline for spec in found.specs if spec.source == table), ())
    return first_metric(found, records, *wanted)


def first_metric(found: Merged, records: Iterable[Record], *wanted: str) -> str:
    """The first of `wanted`, or of its stand-ins, that was measured; empty if none was."""
    measured = {record.metric for record in records}
    names = with_stand_ins(filter(None, wanted), found.known)
    return next((name for name in names if name in measured), "")


def contest(records: Iterable[Record], found: Merged) -> Contest | None:
    """The contest of these records of one metric.

    None if none of them has a value and a better direction.
    """
    alike = [r for r in records if is_measured(r) and not contest_of(r) and r.direction != NEITHER]
    rivals = [r for r in alike if not r.reference]
    if not rivals:
        return None
    n = _n_of_most(rivals, found)
    own = _own_best(r for r in rivals if comparable_n(r, found.known) == n)
    best, *others = sorted(own, key=loss)
    present = {best.system, *(r.system for r in others)}
    apart = _own_best(r for r in rivals if r.system not in present)
    scale = (r for r in alike if r.reference and comparable_n(r, found.known) == n)
    return Contest(
        best, tuple(gap_between(best, r, found) for r in others), tuple(apart), tuple(scale)
    )


def _n_of_most(rivals: Iterable[Record], found: Merged) -> int | None:
    """The n of most systems, the largest of several: a metric that depends on n is compared within
    one n only.
    """
    systems = Counter(n for n, _ in {(comparable_n(r, found.known), r.system) for r in rivals})
    return max(systems, key=lambda n: (systems[n], n or 0))


def _own_best(records: Iterable[Record]) -> list[Record]:
    """The best number of each system."""
    best: dict[str, Record] = {}
    for record in records:
        best[record.system] = min(best.get(record.system, record), record, key=loss)
    return list(best.values())


def is_measured(record: Record) -> bool:
    return record.value is not None and not math.isnan(record.value)


def loss(record: Record) -> float:
    """The value with the sign with which lower is better; NaN if there is none."""
    value = math.nan if record.value is None else record.value
    return -value if record.direction == HIGHER else value


def gap_between(best: Record, other: Record, found: Merged) -> Gap:
    """How far `other` is behind `best`; negative if it is better."""
    a, b = found.uncertainty(best), found.uncertainty(other)
    error = difference_error(a, b)
    behind = loss(other) - loss(best)
    if math.isnan(behind):  # both are infinite
        behind = 0.0
    noise = error.quantile(TWO_SIDED) if error else None
    return Gap(other, behind, error.stderr if error else None, noise)


# ----------------------------------------------------------------------------------------------
# In words


def with_error(record: Record, found: Merged) -> str:
    return value_text(record, found.known) + error_text(record, found.known)


def how(record: Record, others: Sequence[Record]) -> str:
    """The setting and steps of a record in parentheses, if its system has others in the table."""
    same = {(r.setting, r.steps) for r in others if r.system == record.system and is_measured(r)}
    parts = [part for part in (record.setting, steps_text(record)) if part]
    return f" ({', '.join(parts)})" if len(same) > 1 and parts else ""


def gap_text(gap: Gap, found: Merged) -> str:
    """`0.0123 ± 0.0011`: the difference to the best, with its error if known."""
    if not gap.stderr:
        return number_text(gap.behind, gap.record.metric, found.known)
    return f"{to_error(gap.behind, gap.stderr)} ± {to_error(gap.stderr, gap.stderr)}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def apart(rivals: Sequence[Record], held: Contest, found: Merged) -> list[str]:
    """A sentence on systems that are not compared: those of a different n or protocol."""
    said = []
    if held.of_other_n:
        counts = [f"{r.system} (n = {r.n:,})" for r in held.of_other_n]
        metric, n = metric_label(held.best.metric, found.known), held.best.n
        said.append(f"Not compared, for {metric} depends on n, here {n:,}: {listed(counts)}.")
    if any(contest_of(r) and is_measured(r) and not r.reference for r in rivals):
        said.append("Others were measured by a different protocol and are not compared.")
    return said


def for_reference(held: Contest, found: Merged) -> list[str]:
    """The values of references, such as real images, and how they compare with the best system."""
    if len({r.system for r in held.scale}) < len(held.scale):
        return []
    each = []
    for r in sorted(held.scale, key=is_floor, reverse=True)[:MOST_REFERENCES]:
        word = against_best(r, held, found)
        each.append(f"{r.system} {with_error(r, found)}{f' ({word})' if word else ''}")
    return [f"For reference: {listed(each)}."] if each else []


def against_best(reference: Record, held: Contest, found: Merged) -> str:
    """`within noise` of the best system, `better` than it, or nothing."""
    if gap_between(held.best, reference, found).within_noise:
        return LEVEL
    return "better" if held.is_behind(reference) else ""


def of_whom(held: Contest) -> str:
    """`Of A and B, ` if a reference is better: then the best of the systems is not the best of all."""
    if not any(map(held.is_behind, held.scale)):
        return ""
    names = [held.best.system, *(gap.record.system for gap in held.others)]
    return f"Of {listed(names)}, " if len(names) <= MOST_NAMES else f"Of {len(names)} systems, "
