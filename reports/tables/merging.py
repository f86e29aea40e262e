"""Several runs in one table: labels of systems, repeated seeds, and which numbers are comparable.

    read([a, b])

- Runs whose settings differ in nothing but the seed, and runs with the same given name, are one thing: their numbers become
  means with the spread between runs.
- A system that two things have keeps its name if its numbers are the same in both, and is shown once; otherwise the name
  of the run follows that of the system.
- A number that was measured differently from those of the first run beside it has a note, and is ranked with none of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from diffae.system.errors import UserError
from reports.records.metrics import METRICS, Metric, Metrics
from reports.records.reading import short
from reports.records.record import Record, record_key
from reports.records.run_folder import Run, read_run
from reports.records.settings import changes
from reports.records.specs import TableSpec
from reports.records.uncertainty import Uncertainty
from reports.tables.build import build_tables
from reports.tables.contests import Headline, headlined
from reports.tables.layout import Table
from reports.tables.protocol_diff import noted
from reports.tables.run_groups import RunGroup, pooled, run_groups_of
from reports.tables.run_record import RunRecord


@dataclass(frozen=True)
class Merged:
    """The numbers of one or several runs for one set of tables and one page.

    `rows` are those of the runs' records.csv, and `times` the numbers of the machine. `known`
    defines their metrics. `remarks` are notes on the runs for the reader.
    """

    run_groups: tuple[RunGroup, ...]
    rows: tuple[Record, ...]
    times: tuple[Record, ...]
    specs: tuple[TableSpec, ...]
    known: Metrics
    remarks: tuple[str, ...]

    @cached_property
    def records(self) -> tuple[Record, ...]:
        return (*self.rows, *self.times)

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The systems of all records, those that are only references last."""
        competing = (r.system for r in self.records if not r.reference)
        return tuple(dict.fromkeys((*competing, *(r.system for r in self.records))))

    @property
    def sources(self) -> list[Run]:
        return [source for run_group in self.run_groups for source in run_group.sources]

    @property
    def where(self) -> str:
        """The folders, for messages."""
        return ", ".join(str(source.folder) for source in self.sources)

    @cached_property
    def folders(self) -> tuple[Run, ...]:
        """The runs, labelled by their names on the page."""
        return tuple(
            _labelled(source, group) for group in self.run_groups for source in group.sources
        )

    @cached_property
    def protocols(self) -> dict[str, Mapping[str, Any]]:
        return {key: fields for g in self.run_groups for key, fields in g.protocols.items()}

    @cached_property
    def tables(self) -> list[Table]:
        """The overview, the tables of the rows, and those of the times.

        Raises UserError if none can be made.
        """
        try:
            return [*self.tables_of(self.rows), *self.tables_of(self.times)[1:]]
        except ValueError as error:
            raise UserError(f"{self.where}: {short(error, 200)}") from None

    @cached_property
    def headlines(self) -> list[Headline]:
        """What is told of each benchmark: who is best."""
        return list(headlined(self.specs, self.records, self.known, self.uncertainty))

    def tables_of(self, records: Sequence[Record]) -> list[Table]:
        """The overview and the tables of some of the records. Raises ValueError if none can be made."""
        return build_tables(records, self.specs, self.known, self.uncertainty)

    def uncertainty(self, record: Record) -> Uncertainty:
        """The uncertainty of a number; empty if unknown, and for a mean over several runs."""
        run, key = self.run_groups[0].name, record_key(record)
        if isinstance(record, RunRecord):
            run, key = record.run, record.origin
        (sources,) = (group.sources for group in self.run_groups if group.name == run)
        return sources[0].uncertainties.get(key, ()) if len(sources) == 1 else ()


def read(folders: Iterable[Path]) -> Merged:
    """Read finished run folders. Raises UserError naming the file that is invalid."""
    return merge([read_run(folder) for folder in folders])


def merge(sources: Sequence[Run]) -> Merged:
    """Put runs side by side.

    Raises UserError if one was given twice, or if runs of one name were not measured alike.
    """
    _check_distinct(sources)
    run_groups, known = run_groups_of(sources), METRICS | _metrics(sources)
    rows: Sequence[Record] = sources[0].rows
    times: Sequence[Record] = sources[0].times
    specs: Sequence[TableSpec] = sources[0].specs
    if len(sources) > 1:
        named = {spec.name: spec for source in reversed(sources) for spec in source.specs}
        specs = list(named.values())
        rows, times = (
            _side_by_side(run_groups, [pooled(group, what) for group in run_groups], known)
            for what in ("rows", "times")
        )
    remarks = tuple(_remarks(run_groups))
    return Merged(run_groups, tuple(rows), tuple(times), tuple(specs), known, remarks)


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
                    f"{source.folder}: metric {name} is defined differently in an earlier run"
                )
    return found


def _labelled(run: Run, group: RunGroup) -> Run:
    own = run.folder.resolve().name
    name = group.name or own
    return replace(run, label=name if len(group.sources) == 1 else f"{name}/{own}")


def _remarks(run_groups: Sequence[RunGroup]) -> Iterator[str]:
    """The settings of each other thing that differ from the first's."""
    first = run_groups[0].sources[0].settings
    for run_group in run_groups[1:]:
        other = run_group.sources[0].settings
        found = list(changes(first, other))
        if not found and first.get("data_sha256") != other.get("data_sha256"):
            found.append("other images")
        if found:
            yield f"{run_group.name} is not measured as {run_groups[0].name}: {'; '.join(found)}"


# ----------------------------------------------------------------------------------------------
# Systems of several runs


def _side_by_side(
    run_groups: Sequence[RunGroup], parts: Sequence[Sequence[RunRecord]], known: Metrics
) -> tuple[RunRecord, ...]:
    """The records of all things, with distinct names and with notes on what was measured differently."""
    names, protocols = [t.name for t in run_groups], [t.protocols for t in run_groups]
    parts = list(noted(names, protocols, parts, known))
    told, seen = _told_apart(run_groups, parts), set()
    found: list[RunRecord] = []
    for run_group, part in zip(run_groups, parts, strict=True):
        for record in part:
            if record.system in told:
                record = replace(record, system=f"{record.system} ({run_group.name})")
            key = (record.table, record_key(record))
            if key not in seen:
                found.append(record)
            seen.add(key)
    return tuple(found)


def _told_apart(run_groups: Sequence[RunGroup], parts: Sequence[Sequence[RunRecord]]) -> set[str]:
    """The systems that several things have, with different numbers."""
    told: set[str] = set()
    first: dict[str, tuple[RunGroup, dict[Any, Any]]] = {}
    for run_group, part in zip(run_groups, parts, strict=True):
        ours: dict[str, dict[Any, Any]] = {}
        for r in part:
            number = (r.value, r.stderr, r.n, r.contest)
            ours.setdefault(r.system, {})[r.table, record_key(r)] = number
        for system, numbers in ours.items():
            other, theirs = first.setdefault(system, (run_group, numbers))
            if other is not run_group and not _same_system(other, theirs, run_group, numbers):
                told.add(system)
    return told


def _same_system(a: RunGroup, theirs: Mapping, b: RunGroup, ours: Mapping) -> bool:
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
