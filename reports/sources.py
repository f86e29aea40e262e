"""What tables are made of: the numbers of finished run folders, with what their run.json says of them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.brought import metrics_in, tables_in
from reports.metrics import Metric
from reports.reading import Refused, short
from reports.records import Record, read_records
from reports.run_folder import read_notes
from reports.specs import TableSpec
from reports.uncertainty import Uncertainty, read_uncertainties


@dataclass(frozen=True)
class Source:
    """A run folder that a person named, perhaps with a `label` of their own. `times` are the numbers of the machine."""

    folder: Path
    label: str
    records: tuple[Record, ...]
    times: tuple[Record, ...]
    specs: tuple[TableSpec, ...]
    metrics: dict[str, Metric]
    settings: dict[str, Any]
    protocols: dict[str, dict[str, Any]]

    @property
    def profile(self) -> str:
        """The profile's name and how it was changed; empty where run.json does not say."""
        profile = self.settings.get("profile")
        if not isinstance(profile, dict):
            return ""
        limit, changed = profile.get("limit"), profile.get("changed")
        parts = [str(profile.get("name", ""))]
        parts += [] if limit is None else [f"counts limited to {limit}"]
        parts += [f"with another {', '.join(map(str, changed))}"] if changed else []
        return short(", ".join(parts), 200)


def read_source(folder: Path, label: str = "") -> Source:
    """Read a run folder. Raises Refused naming the file that is not as it should be, and if the run is not complete."""
    path, notes = folder / "run.json", read_notes(folder)
    records = read_records(folder / "records.csv")
    if not records:
        raise Refused(f"{folder / 'records.csv'}: no rows")
    times = folder / "times.csv"
    return Source(
        folder,
        label,
        tuple(records),
        tuple(read_records(times)) if os.path.lexists(times) else (),
        tables_in(path, notes),
        metrics_in(path, notes),
        _object(path, notes, "settings"),
        _object(path, notes, "protocols"),
    )


def uncertainties_of(source: Source) -> dict[str, Uncertainty]:
    """The influences that a run kept, by `record_key`; none where it has no such file."""
    path = source.folder / "influences.npz"
    return read_uncertainties(path) if os.path.lexists(path) else {}


def _object(path: Path, notes: dict[str, Any], name: str) -> dict[str, Any]:
    found = notes.get(name, {})
    if not isinstance(found, dict):
        raise Refused(f"{path}: {name} is no object")
    return found
