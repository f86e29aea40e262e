"""Records of given numbers, and run folders of them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from reports.records.metrics import METRICS
from reports.records.record import LOWER, Record, write_records
from reports.records.run_folder import SCHEMA
from reports.records.uncertainty import Uncertainty, error, of_mean, write_uncertainties


def number(table: str, metric: str, value: float | None, **changes) -> Record:
    direction = METRICS[metric].direction if metric in METRICS else LOWER
    base = Record(
        "reconstruction", table, "DiffAE", "portraits", "test", "", None, metric, value,
        n=50, direction=direction, protocol="p0",
    )  # fmt: skip
    return replace(base, **changes)


def measured(record: Record, values: np.ndarray, units="images") -> tuple[Record, Uncertainty]:
    """`record` with the mean of `values` and its error, and the influences."""
    uncertainty = of_mean(values, units)
    found = error(uncertainty)
    assert found is not None
    half, mean = found.quantile(0.975), float(values.mean())
    whole = replace(
        record, value=mean, stderr=found.stderr, ci_low=mean - half, ci_high=mean + half
    )
    return whole, uncertainty


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


def change_notes(folder: Path, **notes) -> Path:
    """Change fields of a run's run.json."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | notes))
    return folder
