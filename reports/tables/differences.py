"""Differences between systems and between runs, with their errors: paired over the images that both
share.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from reports.records.metrics import Metrics
from reports.records.record import Record, record_key
from reports.records.uncertainty import Error, error_between, paired
from reports.tables.build import Merged
from reports.tables.contests import headlines
from reports.tables.layout import Cell, Panel, Table, contests, label
from reports.tables.numbers import heading, number_text, steps_text, to_error
from reports.tables.ranking import choose, own_best

NAME = "differences"
HEADERS = ("benchmark", "number", "A", "B", "B − A", "95 % interval", "how")
CAPTION = (
    "The headline of each benchmark, B minus A, ± the standard error of the difference. Within a run each system is "
    "taken at its best setting. Paired: both are of the same "
    "images and noise, whose part cancels; partly: some of it is shared (the real images of a Frechet distance, say); "
    "else they are independent. An interval without 0 is a difference at the 5 % level, taken alone: of twenty that are "
    "none, one looks like one."
)
MOST_DECIMALS = 6


@dataclass(frozen=True)
class Difference:
    """B - A of two numbers; `how` says whether their errors are paired."""

    a: Record
    b: Record
    value: float
    error: Error | None
    how: str


def table_of_differences(merged: Merged) -> Table | None:
    """The table, or None if there is nothing to compare. Means of several runs are left out."""
    found, known = list(_differences(merged)), merged.known
    if not found:
        return None
    rows = tuple(_row(difference, known) for difference in found)
    records = tuple(_record(difference) for difference in found)
    panel = Panel("", HEADERS, rows)
    return Table(NAME, "Differences", CAPTION, (panel,), records, frozenset(), known)


def _differences(merged: Merged) -> Iterator[Difference]:
    name, known = merged.run_groups[0].name, merged.known
    alone = (r for r in merged.rows if not r.pooled)
    records = [r if r.origin else replace(r, run=name, origin=record_key(r)) for r in alone]
    for spec in sorted(merged.specs, key=lambda spec: spec.order):
        for contest in contests(spec, headlines(spec, choose(spec, records), known), known):
            yield from (_difference(a, b, merged) for a, b in _pairs(contest))


def _pairs(rivals: list[Record]) -> Iterator[tuple[Record, Record]]:
    """Each number with the same one of an earlier run. Of those that no earlier run has, each system
    at its best setting with the first system at its own.
    """
    first: dict[str, Record] = {}
    taken = own_best(rivals)
    for rival in rivals:
        twin = first.setdefault(rival.origin, rival)
        if twin is not rival:
            yield twin, rival
        elif rival in taken[1:]:
            yield taken[0], rival


def _difference(a: Record, b: Record, merged: Merged) -> Difference:
    """B minus A, paired over what both share."""
    assert a.value is not None and b.value is not None
    ours = [merged.uncertainty(r) for r in (a, b)]
    error = error_between(a, b, *ours)
    units = [{part.units for part in uncertainty} for uncertainty in ours]
    how = "paired" if paired(*ours) else "partly" if units[0] & units[1] else "independent"
    return Difference(a, b, b.value - a.value, error, how)


def _row(d: Difference, known: Metrics) -> tuple[Cell, ...]:
    number, sign = heading(d.a.metric, [d.a], known), "+" if d.value > 0 else ""
    if d.error is None or not d.error.stderr:
        text, interval = f"{sign}{number_text(d.value, d.a.metric, known)}", ""
    else:
        low, high = (d.value + d.error.quantile(p) for p in (0.025, 0.975))
        to = d.error.stderr
        text = f"{sign}{_to(to, d.value)} ± {_to(to, to)}"
        interval = f"{_to(to, low)} to {_to(to, high)}"
    names = _names(d)
    return tuple(map(label, (d.a.benchmark, number, *names, text, interval, d.how)))


def _to(error: float, number: float) -> str:
    """`number` rounded to the second digit of `error`, like all numbers of a row."""
    last = 1 - math.floor(math.log10(error))
    return f"{number:,.{max(0, last)}f}" if last <= MOST_DECIMALS else to_error(number, error)


def _names(d: Difference) -> tuple[str, str]:
    """The names of A and B; what both have in common is said once."""
    a, b = _name(d.a), _name(d.b)
    return (a, b) if a != b else (f"{a} ({d.a.run})", f"{b} ({d.b.run})")


def _name(record: Record) -> str:
    return ", ".join(part for part in (record.system, record.setting, steps_text(record)) if part)


def _record(d: Difference) -> Record:
    """The difference as a row of the CSV file: B's, with A in its note."""
    low, high = ((d.value + d.error.quantile(p) if d.error else None) for p in (0.025, 0.975))
    numbers = [r.n for r in (d.a, d.b) if r.n is not None]
    return replace(
        d.b, value=d.value, stderr=d.error.stderr if d.error else None, ci_low=low, ci_high=high,
        n=min(numbers, default=None), published=None, published_metric="", published_source="", not_comparable="",
        note=f"minus {_names(d)[0]}; {d.how}",
    )  # fmt: skip
