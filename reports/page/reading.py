"""What the page is made of: the records of finished run folders, and what these say of them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reports.brought import metrics_in, tables_in
from reports.layout import Table
from reports.metrics import METRICS, Metrics
from reports.reading import Refused, read_json, short
from reports.records import Record, read_records, record_key
from reports.run_folder import RECORDS, RUN, read_run
from reports.specs import TableSpec
from reports.tables import build_tables
from reports.uncertainty import Uncertainty

TIMES = "times.csv"


@dataclass(frozen=True)
class Folder:
    """A run folder: its `name` on the page, where it is, and its run.json."""

    name: str
    path: Path
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """All that the page shows. `records` are the numbers and times of all folders."""

    folders: tuple[Folder, ...]
    records: tuple[Record, ...]
    specs: tuple[TableSpec, ...]
    tables: tuple[Table, ...]
    uncertainties: Mapping[str, Uncertainty]
    protocols: Mapping[str, Mapping[str, Any]]
    known: Metrics

    def uncertainty(self, record: Record) -> Uncertainty:
        return self.uncertainties.get(record_key(record), ())


@dataclass(frozen=True)
class _Part:
    """One folder's share."""

    folder: Folder
    records: list[Record]
    times: list[Record]
    uncertainties: Mapping[str, Uncertainty]
    protocols: Mapping[str, Mapping[str, Any]]
    specs: tuple[TableSpec, ...]
    known: Metrics


def read(paths: Sequence[Path]) -> Found:
    """Read finished run folders. Raises Refused naming the file that is not as it should be."""
    if not paths:
        raise Refused("no run folder was given")
    parts = [_read(path, name) for path, name in zip(paths, names_of(paths), strict=True)]
    if len(parts) > 1:
        parts = _told_apart(parts)
    known = {name: row for part in parts for name, row in part.known.items()}
    specs = tuple({spec.name: spec for part in parts for spec in part.specs}.values())
    records = [record for part in parts for record in part.records]
    times = [record for part in parts for record in part.times]
    try:
        tables = build_tables(records, specs, known)
        tables += build_tables(times, specs, known)[1:]  # the first is the overview
    except ValueError as error:
        raise Refused(f"{', '.join(map(str, paths))}: {short(error, 200)}") from None
    return Found(
        tuple(part.folder for part in parts),
        (*records, *times),
        specs,
        tuple(tables),
        {key: value for part in parts for key, value in part.uncertainties.items()},
        {key: value for part in parts for key, value in part.protocols.items()},
        known,
    )


def names_of(paths: Sequence[Path]) -> list[str]:
    """What to call each folder: the shortest end of its path that no other has."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise Refused(f"{paths[0]}: the same run folder is given twice")


def _read(path: Path, name: str) -> _Part:
    run = read_run(path)
    notes = read_json(path / RUN)
    times = read_records(path / TIMES) if os.path.lexists(path / TIMES) else []
    return _Part(
        Folder(name, path, notes),
        read_records(path / RECORDS),
        times,
        run.uncertainties,
        run.protocols,
        tables_in(path / RUN, notes),
        METRICS | metrics_in(path / RUN, notes),
    )


def _told_apart(parts: Sequence[_Part]) -> list[_Part]:
    """The same with the run's name after that of each system that another run has too."""
    owners: dict[str, set[str]] = {}
    for part in parts:
        for record in (*part.records, *part.times):
            owners.setdefault(record.system, set()).add(part.folder.name)
    shared = {system for system, runs in owners.items() if len(runs) > 1}
    return [_renamed(part, shared) for part in parts]


def _renamed(part: _Part, shared: set[str]) -> _Part:
    def one(record: Record) -> Record:
        if record.system not in shared:
            return record
        return replace(record, system=f"{record.system} ({part.folder.name})")

    pairs = [(record, one(record)) for record in part.records]
    moved = dict(_moved(pairs, part.uncertainties))
    times = [one(record) for record in part.times]
    return replace(part, records=[new for _, new in pairs], times=times, uncertainties=moved)


def _moved(
    pairs: Sequence[tuple[Record, Record]], uncertainties: Mapping[str, Uncertainty]
) -> Iterator[tuple[str, Uncertainty]]:
    for old, new in pairs:
        if uncertainty := uncertainties.get(record_key(old)):
            yield record_key(new), uncertainty
