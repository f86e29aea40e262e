"""Input of the page: the numbers of finished run folders, and their settings."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from diffae.system.errors import UserError
from diffae.system.files import read_text
from reports.records.metrics import METRICS, Metrics, comparable_n
from reports.records.reading import short
from reports.records.record import Record, record_key
from reports.records.run_folder import SAMPLES, Run, read_run
from reports.records.specs import TableSpec
from reports.records.uncertainty import Uncertainty
from reports.tables.build import all_tables, safe_cell
from reports.tables.layout import Table
from reports.tables.merging import Merged, RunGroup, merge


@dataclass(frozen=True)
class Found:
    """All that the page shows.

    `folders` are its runs, labelled by their names on the page; `records` are the numbers and times
    of all folders; `remarks` say how runs differ.
    """

    folders: tuple[Run, ...]
    records: tuple[Record, ...]
    specs: tuple[TableSpec, ...]
    tables: tuple[Table, ...]
    uncertainties: Mapping[tuple[str, str], Uncertainty]
    protocols: Mapping[str, Mapping[str, Any]]
    known: Metrics
    remarks: tuple[str, ...] = ()

    def n_of(self, record: Record) -> int | None:
        """The n within which a number is compared.

        None if any n will do (`reports.records.metrics.comparable_n`).
        """
        return comparable_n(record, self.known)

    def uncertainty(self, record: Record) -> Uncertainty:
        """The uncertainty of a number; empty if unknown, and for a mean over several runs."""
        return self.uncertainties.get((_run_of(record), record_key(record)), ())


def outlying_image(found: Found, units: int, *pair: Record) -> str:
    """The image whose difference of scores is furthest from the mean difference, by the run's
    samples.csv.

    Empty if the file does not say, or if the number of its images is not that of the units of the
    difference.
    """
    a, b = ({} if len(found.folders) > 1 else _scores(found.folders[0], r) for r in pair)
    differences = {name: b[name] - a[name] for name in a if name in b}
    if len(differences) != units:
        return ""
    mean = fmean(differences.values())
    return short(max(differences, key=lambda name: abs(differences[name] - mean)))


def _scores(folder: Run, record: Record) -> dict[str, float]:
    """The scores of a record's images by their file names; empty if there are none."""
    what = ("benchmark", "system", "dataset", "split", "setting", "steps", "solver")
    wanted = [
        safe_cell("" if getattr(record, n) is None else str(getattr(record, n))) for n in what
    ]
    try:
        rows = csv.DictReader(read_text(folder.folder / SAMPLES).splitlines())
        ours = [row for row in rows if [row[name] for name in what] == wanted]
        return {row["file"]: float(row[record.metric]) for row in ours}
    except (UserError, KeyError, ValueError, TypeError, csv.Error):
        return {}


def read(paths: Sequence[Path]) -> Found:
    """Read finished run folders. Raises UserError naming the file that is invalid."""
    return found_in(merge([read_run(path) for path in paths]))


def found_in(merged: Merged) -> Found:
    """The input of a page of these runs. Raises UserError naming the file that is invalid."""
    known = METRICS | merged.metrics
    where = ", ".join(str(source.folder) for source in merged.sources)
    tables = all_tables(merged.records, merged.times, merged.specs, known, where)
    return Found(
        tuple(
            _named(run_group, source)
            for run_group in merged.run_groups
            for source in run_group.sources
        ),
        (*merged.records, *merged.times),
        merged.specs,
        tuple(tables),
        dict(_uncertainties(merged)),
        {
            key: fields
            for run_group in merged.run_groups
            for key, fields in run_group.protocols.items()
        },
        known,
        merged.remarks,
    )


def _named(run_group: RunGroup, run: Run) -> Run:
    """A run with its name on the page."""
    own = run.folder.resolve().name
    name = run_group.name or own
    return replace(run, label=name if len(run_group.sources) == 1 else f"{name}/{own}")


def _run_of(record: Record) -> str:
    return getattr(record, "run", "")


def _uncertainties(merged: Merged) -> Iterator[tuple[tuple[str, str], Uncertainty]]:
    """Uncertainties by the run and the key that a number has among those of all runs."""
    for run_group in merged.run_groups:
        if len(run_group.sources) > 1:
            continue
        own = run_group.sources[0].uncertainties
        for record in merged.records:
            if _run_of(record) not in ("", run_group.name):
                continue
            if uncertainty := own.get(_key_in(run_group, record)):
                yield (_run_of(record), record_key(record)), uncertainty


def _key_in(run_group: RunGroup, record: Record) -> str:
    """The key of a number in its own run, in which no run's name is appended to its system."""
    plain = record.system.removesuffix(f" ({run_group.name})")
    return record_key(replace(record, system=plain))
