"""Write a run folder of given numbers."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from reports.records.record import Record, write_records
from reports.records.run_folder import SCHEMA
from reports.records.uncertainty import Uncertainty, write_uncertainties


def write_folder(
    folder: Path,
    records: Iterable[Record],
    uncertainties: Mapping[str, Uncertainty] | None = None,
    times: Iterable[Record] = (),
    **notes,
) -> Path:
    """A finished run of these numbers; `notes` are of its run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "records.csv", records)
    if times := list(times):
        write_records(folder / "times.csv", times)
    if uncertainties is not None:
        write_uncertainties(folder / "influences.npz", uncertainties)
    content = {"schema": SCHEMA, "complete": True} | notes
    (folder / "run.json").write_text(json.dumps(content))
    return folder
