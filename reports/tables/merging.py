"""Several runs in one table: labels of systems, repeated seeds, and which numbers are comparable.

    merge([read_run(a), read_run(b)])

- Runs whose settings differ in nothing but the seed, and runs with the same given name, are one thing: their numbers become
  means with the spread between runs.
- A system that two things have keeps its name if its numbers are the same in both, and is shown once; otherwise the name
  of the run follows that of the system.
- A number that was measured differently from those of the first run beside it has a note, and is ranked with none of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffae.system.errors import UserError
from reports.records.metrics import METRICS, Metric, Metrics
from reports.records.record import Record, record_key
from reports.records.run_folder import Run
from reports.records.settings import changes
from reports.records.specs import TableSpec
from reports.tables.protocol_diff import noted
from reports.tables.run_groups import Thing, pooled, shown, things_of
from reports.tables.run_record import Shown


@dataclass(frozen=True)
class Merged:
    """The numbers of several runs for one set of tables.

    `remarks` are notes on the runs for the reader.
    """

    things: tuple[Thing, ...]
    records: tuple[Record, ...]
    times: tuple[Record, ...]
    specs: tuple[TableSpec, ...]
    metrics: dict[str, Metric]
    remarks: tuple[str, ...]

    @property
    def shown(self) -> list[Shown]:
        """The records, each with its run."""
        return [
            r if isinstance(r, Shown) else shown(r, run=self.things[0].name) for r in self.records
        ]

    @property
    def sources(self) -> list[Run]:
        return [source for thing in self.things for source in thing.sources]


def merge(sources: Sequence[Run]) -> Merged:
    """Put runs side by side.

    Raises UserError if one was given twice, or if runs of one name were not measured alike.
    """
    _check_distinct(sources)
    things, metrics = things_of(sources), _metrics(sources)
    if len(sources) == 1:
        records, times = sources[0].rows, sources[0].times
    else:
        records, times = (
            _side_by_side(things, [pooled(thing, what) for thing in things], METRICS | metrics)
            for what in ("rows", "times")
        )
    specs = {spec.name: spec for source in reversed(sources) for spec in source.specs}
    remarks = tuple(_remarks(things))
    return Merged(things, records, times, tuple(specs.values()), metrics, remarks)


def _check_distinct(sources: Sequence[Run]) -> None:
    seen: set[Path] = set()
    for source in sources:
        if (path := source.folder.resolve()) in seen:
            raise UserError(f"{source.folder}: the same run is given twice")
        seen.add(path)


def _metrics(sources: Sequence[Run]) -> dict[str, Metric]:
    """The metrics of plug-ins in all runs. Raises UserError if two define one name differently."""
    found: dict[str, Metric] = {}
    for source in sources:
        for name, metric in source.metrics.items():
            if found.setdefault(name, metric) != metric:
                raise UserError(
                    f"{source.folder}: metric {name} is another one than in a run before it"
                )
    return found


def _remarks(things: Sequence[Thing]) -> Iterator[str]:
    """The settings of each other thing that differ from the first's."""
    first = things[0].sources[0].settings
    for thing in things[1:]:
        other = thing.sources[0].settings
        found = list(changes(first, other))
        if not found and first.get("data_sha256") != other.get("data_sha256"):
            found.append("other images")
        if found:
            yield f"{thing.name} is not measured as {things[0].name}: {'; '.join(found)}"


# ----------------------------------------------------------------------------------------------
# Systems of several runs


def _side_by_side(
    things: Sequence[Thing], parts: Sequence[Sequence[Shown]], known: Metrics
) -> tuple[Shown, ...]:
    """The records of all things, with distinct names and with notes on what was measured differently."""
    names, protocols = [t.name for t in things], [t.protocols for t in things]
    parts = list(noted(names, protocols, parts, known))
    told, seen = _told_apart(things, parts), set()
    found: list[Shown] = []
    for thing, part in zip(things, parts, strict=True):
        for record in part:
            if record.system in told:
                record = replace(record, system=f"{record.system} ({thing.name})")
            key = (record.table, record_key(record))
            if key not in seen:
                found.append(record)
            seen.add(key)
    return tuple(found)


def _told_apart(things: Sequence[Thing], parts: Sequence[Sequence[Shown]]) -> set[str]:
    """The systems that several things have, with different numbers."""
    told: set[str] = set()
    first: dict[str, tuple[Thing, dict[Any, Any]]] = {}
    for thing, part in zip(things, parts, strict=True):
        ours: dict[str, dict[Any, Any]] = {}
        for r in part:
            number = (r.value, r.stderr, r.n, r.contest)
            ours.setdefault(r.system, {})[r.table, record_key(r)] = number
        for system, numbers in ours.items():
            other, theirs = first.setdefault(system, (thing, numbers))
            if other is not thing and not _same_system(other, theirs, thing, numbers):
                told.add(system)
    return told


def _same_system(a: Thing, theirs: Mapping, b: Thing, ours: Mapping) -> bool:
    """Whether two systems are the same, by their numbers.

    Without common numbers, by the weights of their runs.
    """
    here, there = _measured(theirs), _measured(ours)
    if any(here[table] != there[table] for table in here.keys() & there.keys()):
        return False
    shared = [key for key in theirs if key in ours]
    if any(theirs[key][0] is not None for key in shared):
        return all(theirs[key] == ours[key] for key in shared)
    weights, others = (t.sources[0].settings.get("weights") or {} for t in (a, b))
    common = weights.keys() & others.keys()
    return bool(common) and all(weights[name] == others[name] for name in common)


def _measured(numbers: Mapping[tuple[str, str], tuple[object, ...]]) -> dict[str, bool]:
    """For each table, whether it has a number and not only reasons for missing ones."""
    found: dict[str, bool] = {}
    for (table, _), (value, *_) in numbers.items():
        found[table] = found.get(table, False) or value is not None
    return found
