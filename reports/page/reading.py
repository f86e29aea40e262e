"""What the page is made of: the numbers of finished run folders, one or several side by side, and what these say of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reports.layout import Table
from reports.merging import Merged, Thing, merge
from reports.metrics import METRICS, Metrics
from reports.reading import read_json
from reports.records import Record, record_key
from reports.run_folder import INFLUENCES, RUN
from reports.sources import Source, read_source
from reports.specs import TableSpec
from reports.tables import all_tables
from reports.uncertainty import Uncertainty, read_uncertainties


@dataclass(frozen=True)
class Folder:
    """A run folder: its `name` on the page, where it is, and its run.json."""

    name: str
    path: Path
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """All that the page shows. `records` are the numbers and times of all folders; `remarks` say how runs differ."""

    folders: tuple[Folder, ...]
    records: tuple[Record, ...]
    specs: tuple[TableSpec, ...]
    tables: tuple[Table, ...]
    uncertainties: Mapping[tuple[str, str], Uncertainty]
    protocols: Mapping[str, Mapping[str, Any]]
    known: Metrics
    remarks: tuple[str, ...] = ()

    def uncertainty(self, record: Record) -> Uncertainty:
        """Empty where it is not known; so is that of a mean over several runs."""
        return self.uncertainties.get((_run_of(record), record_key(record)), ())


def read(paths: Sequence[Path]) -> Found:
    """Read finished run folders. Raises Refused naming the file that is not as it should be."""
    return found_in(merge([read_source(path) for path in paths]))


def found_in(merged: Merged) -> Found:
    """What a page of these runs shows. Raises Refused naming the file that is not as it should be."""
    known = METRICS | merged.metrics
    where = ", ".join(str(source.folder) for source in merged.sources)
    tables = all_tables(merged.records, merged.times, merged.specs, known, where)
    return Found(
        tuple(_folder(thing, source) for thing in merged.things for source in thing.sources),
        (*merged.records, *merged.times),
        merged.specs,
        tuple(tables),
        dict(_uncertainties(merged)),
        {key: fields for thing in merged.things for key, fields in thing.protocols.items()},
        known,
        merged.remarks,
    )


def _folder(thing: Thing, source: Source) -> Folder:
    alone = len(thing.sources) == 1
    name = thing.name or source.folder.resolve().name
    return Folder(
        name if alone else f"{name}/{source.folder.resolve().name}",
        source.folder,
        read_json(source.folder / RUN),
    )


def _run_of(record: Record) -> str:
    return getattr(record, "run", "")


def _uncertainties(merged: Merged) -> Iterator[tuple[tuple[str, str], Uncertainty]]:
    """By the run and the key that a number has among those of all runs."""
    for thing in merged.things:
        path = thing.sources[0].folder / INFLUENCES
        if len(thing.sources) > 1 or not path.exists():
            continue
        own = read_uncertainties(path)
        for record in merged.records:
            if _run_of(record) not in ("", thing.name):
                continue
            if uncertainty := own.get(_key_in(thing, record)):
                yield (_run_of(record), record_key(record)), uncertainty


def _key_in(thing: Thing, record: Record) -> str:
    """The key of a number in its own run, where its system has no run's name behind it."""
    plain = record.system.removesuffix(f" ({thing.name})")
    return record_key(replace(record, system=plain))
