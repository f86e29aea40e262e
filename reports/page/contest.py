"""The best system by one metric, and the systems that cannot be distinguished from it.

Two systems are compared on the images that both share.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reports.records.comparable import is_floor
from reports.records.metrics import comparable_n, with_stand_ins
from reports.records.record import NEITHER, Record
from reports.records.specs import TableSpec
from reports.tables import contests
from reports.tables.contests import Gap, is_measured, loss, of_headline, own_best
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

# How sure a verdict is, in a word or two.
CLEAR, LEVEL, ALONE, SAID, NOTHING = "clear", "within noise", "alone", "described", "not measured"
BEHIND, BELOW_NAIVE = "behind a reference", "worse than naive"
MOST_REFERENCES, MOST_NAMES = 3, 4  # in a sentence


@dataclass(frozen=True)
class Contest:
    """The best of several systems, each at its own best setting, and the others by their distance
    from it.

    `of_other_n` are not ranked: their metric depends on n, and their n differs. `scale` are
    references shown beside the best, each once.
    """

    best: Record
    others: tuple[Gap, ...]
    of_other_n: tuple[Record, ...] = ()
    scale: tuple[Record, ...] = ()

    @property
    def level(self) -> list[Gap]:
        """The systems that cannot be distinguished from the best."""
        return [gap for gap in self.others if gap.within_noise]

    @property
    def systems(self) -> list[Record]:
        """The best system and the others."""
        return [self.best, *(gap.record for gap in self.others)]

    def is_behind(self, reference: Record) -> bool:
        """Whether a reference has a better number than the best system."""
        return loss(reference) < loss(self.best)

    def beats_one(self, reference: Record) -> bool:
        """Whether a reference has a better number than any of the systems."""
        return any(loss(reference) < loss(system) for system in self.systems)


def headlined(found: Merged) -> Iterator[tuple[TableSpec, list[Record]]]:
    """The first table with a headline of each benchmark, and its records at their largest T."""
    seen: set[str] = set()
    for spec in sorted(found.specs, key=lambda spec: spec.order):
        records = at_largest_steps(choose(spec, found.records))
        if records and spec.headline and records[0].benchmark not in seen:
            seen.add(records[0].benchmark)
            yield spec, records


def headline_contests(
    spec: TableSpec, records: Iterable[Record], found: Merged
) -> tuple[list[Record], list[Contest]]:
    """The records of a table's headline, and the contest of each of its metrics that has one."""
    rivals = of_headline(spec, records, found.known)
    metrics = with_stand_ins(spec.headline, found.known)
    held = (contest([r for r in rivals if r.metric == metric], found) for metric in metrics)
    return rivals, [one for one in held if one is not None]


def headline_metric(found: Merged, table: str, records: Iterable[Record]) -> str:
    """The first headline metric of `table` that was measured; empty if none was."""
    wanted = next((spec.headline for spec in found.specs if spec.source == table), ())
    return first_metric(found, records, *wanted)


def first_metric(found: Merged, records: Iterable[Record], *wanted: str) -> str:
    """The first of `wanted`, or of its stand-ins, that was measured; empty if none was."""
    return contests.first_metric(records, wanted, found.known)


def contest(records: Iterable[Record], found: Merged) -> Contest | None:
    """The contest of these records of one metric.

    None if none of them has a value and a better direction.
    """
    alike = [r for r in records if is_measured(r) and not contest_of(r) and r.direction != NEITHER]
    rivals = [r for r in alike if not r.reference]
    if not rivals:
        return None
    n = _n_of_most(rivals, found)
    own = own_best(r for r in rivals if comparable_n(r, found.known) == n)
    best, *others = sorted(own, key=loss)
    present = {best.system, *(r.system for r in others)}
    apart = own_best(r for r in rivals if r.system not in present)
    scale = [r for r in alike if r.reference and comparable_n(r, found.known) == n]
    gaps = (gap_between(best, r, found) for r in others)
    return Contest(best, tuple(gaps), tuple(apart), tuple(_references(scale, best)))


def _references(records: Sequence[Record], best: Record) -> Iterator[Record]:
    """Each reference once: at the best system's setting if it has that, else at its own best."""
    for system in dict.fromkeys(r.system for r in records):
        ours = [r for r in records if r.system == system]
        yield from own_best([r for r in ours if r.setting == best.setting] or ours)


def _n_of_most(rivals: Iterable[Record], found: Merged) -> int | None:
    """The n of most systems, the largest of several: a metric that depends on n is compared within
    one n only.
    """
    systems = Counter(n for n, _ in {(comparable_n(r, found.known), r.system) for r in rivals})
    return max(systems, key=lambda n: (systems[n], n or 0))


def gap_between(best: Record, other: Record, found: Merged) -> Gap:
    """How far `other` is behind `best`; negative if it is better."""
    return contests.gap_between(best, other, found.uncertainty)


# ----------------------------------------------------------------------------------------------
# In words


def with_error(record: Record, found: Merged) -> str:
    return value_text(record, found.known) + error_text(record, found.known)


def how(record: Record, others: Sequence[Record]) -> str:
    """The setting of a record in parentheses, if the table has several; with the steps, if its
    system has others there.
    """
    measured = [r for r in others if is_measured(r)]
    same = {(r.setting, r.steps) for r in measured if r.system == record.system}
    several = len({r.setting for r in measured}) > 1
    parts = [record.setting * several, steps_text(record) * (len(same) > 1)]
    return f" ({', '.join(filter(None, parts))})" if any(parts) else ""


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
    """The values of references, such as real images, and how they compare with the systems: all that
    are better than one of them, and others up to `MOST_REFERENCES`.
    """
    ordered = sorted(held.scale, key=is_floor, reverse=True)
    better = [r for r in ordered if held.beats_one(r)]
    more = [r for r in ordered if r not in better][: max(MOST_REFERENCES - len(better), 0)]
    each = []
    for r in [r for r in ordered if r in (*better, *more)]:
        word = against(r, held, found)
        each.append(f"{r.system} {with_error(r, found)}{f' ({word})' if word else ''}")
    return [f"For reference: {listed(each)}."] if each else []


def against(reference: Record, held: Contest, found: Merged) -> str:
    """How a reference compares with the systems: `better` (than the best and so than all), `within
    noise` of the best, `better than DDIM`; empty if it is behind all of them.
    """
    level = gap_between(held.best, reference, found).within_noise
    if held.is_behind(reference) and not level:
        return "better"
    worse = [r.system for r in surpassed(reference, held, found)]
    names = listed(worse) if len(worse) <= MOST_NAMES else f"{len(worse)} systems"
    return ", ".join([LEVEL] * level + [f"better than {names}"] * bool(worse))


def surpassed(reference: Record, held: Contest, found: Merged) -> list[Record]:
    """The systems than which a reference is better beyond noise."""
    return [
        r
        for r in held.systems
        if loss(reference) < loss(r) and not gap_between(reference, r, found).within_noise
    ]


def is_surpassed(held: Contest, found: Merged) -> bool:
    """Whether a reference other than real images is better than the best system, beyond noise."""
    return any(
        held.best in surpassed(reference, held, found)
        for reference in held.scale
        if not is_floor(reference)
    )


def of_whom(held: Contest) -> str:
    """`Of A and B, ` if a reference is better: then the best of the systems is not the best of all."""
    if not any(map(held.is_behind, held.scale)):
        return ""
    names = [r.system for r in held.systems]
    return f"Of {listed(names)}, " if len(names) <= MOST_NAMES else f"Of {len(names)} systems, "


def counted(records: Iterable[Record]) -> str:
    """`n = 16`, or `n = 8 to 16`: the images, or other units, behind numbers.

    Empty if no n is known, and of what does not depend on images, such as parameters.
    """
    measured = [r for r in records if is_measured(r) and r.n is not None]
    counts = sorted({r.n or 0 for r in measured if r.direction != NEITHER or r.n != 1})
    ends = dict.fromkeys((*counts[:1], *counts[-1:]))
    return f"n = {' to '.join(f'{n:,}' for n in ends)}" if ends else ""
