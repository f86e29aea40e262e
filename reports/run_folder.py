"""What the gate reads of a run folder, or of a baseline kept of one: records.csv, influences.npz and run.json.

A folder that is damaged, unfinished or lacks a part is refused, for what is not there cannot fail.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports.brought import metrics_in
from reports.metrics import METRICS, Margin, Metric, Metrics
from reports.reading import Refused, read_json, short
from reports.records import Record, numbered_records, read_csv, record_key
from reports.uncertainty import Uncertainty, error, read_uncertainties

RECORDS, INFLUENCES, RUN, SAMPLES = "records.csv", "influences.npz", "run.json", "samples.csv"
SCHEMA = 1  # of a run folder: raised where what is in its files means something else
SAME_ERROR = 1e-3  # a standard error from influences in float32 against the one in records.csv


@dataclass(frozen=True)
class Run:
    """What the gate reads of a run folder. `settings` are what a person asked for, by name; `metrics` those that do not
    ship, as the run folder describes them."""

    folder: Path
    records: dict[str, Record]
    uncertainties: dict[str, Uncertainty]
    protocols: dict[str, dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    has_influences: bool = True
    metrics: dict[str, Metric] = field(default_factory=dict)


def read_notes(folder: Path) -> dict[str, Any]:
    """The run.json of a finished run. Raises Refused, naming the file, of another schema or of a run that is not complete."""
    path = folder / RUN
    notes = read_json(path)
    check_schema(path, notes)
    if notes.get("complete") is not True:
        raise Refused(f"{path}: the run is not complete; run its command again to finish it")
    return notes


def check_schema(path: Path, notes: Mapping[str, Any]) -> None:
    """Raise Refused unless the run.json at `path`, which holds `notes`, is of this version."""
    if (found := notes.get("schema")) != SCHEMA:
        version = "of no schema" if found is None else f"of schema {short(found, 40)}"
        raise Refused(f"{path}: {version}, and this version reads {SCHEMA}; measure again")


def read_run(folder: Path) -> Run:
    """Read a run folder, or a baseline kept of one. Raises Refused naming the file that is not as it should be."""
    numbered = numbered_records(folder / RECORDS)
    if not numbered:
        raise Refused(f"{folder / RECORDS}: no rows")
    notes = read_notes(folder)
    protocols = _objects(folder / RUN, notes, "protocols")
    for record, where in numbered:
        if record.protocol and record.protocol not in protocols:
            known = f"{RUN} has no protocol {short(record.protocol, 40)}"
            raise Refused(f"{folder / RECORDS}, {where}: {known}")
    path = folder / INFLUENCES
    has_influences = path.exists() or path.is_symlink()
    uncertainties = read_uncertainties(path) if has_influences else {}
    records = {record_key(record): record for record, _ in numbered}
    _check_errors(path, records, uncertainties)
    settings = notes.get("settings", {})
    if not isinstance(settings, dict):
        raise Refused(f"{folder / RUN}: settings is no object")
    metrics = metrics_in(folder / RUN, notes)
    return Run(folder, records, uncertainties, protocols, settings, has_influences, metrics)


def _objects(path: Path, notes: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    found = notes.get(name)
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise Refused(f"{path}: no {name}; give the folder of a finished run")
    return found


def _check_errors(
    path: Path, records: Mapping[str, Record], uncertainties: Mapping[str, Uncertainty]
) -> None:
    """Influences of another run, or none where the row has an error of theirs, are not this run's."""
    for key, uncertainty in uncertainties.items():
        ours, record = error(uncertainty), records.get(key)
        if (
            record is None
            or record.value is None
            or not math.isfinite(record.value)
            or ours is None
        ):
            continue
        stderr = record.stderr
        if stderr is None or abs(ours.stderr - stderr) > SAME_ERROR * max(ours.stderr, stderr):
            raise Refused(
                f"{path}: not of this records.csv: a standard error of {ours.stderr:.3g} where "
                f"the row has {stderr if stderr is None else f'{stderr:.3g}'} ({short(key, 200)})"
            )


# ----------------------------------------------------------------------------------------------
# Margins


def read_margins(
    path: Path | None = None, measured: Iterable[str] = (), brought: Metrics | None = None
) -> dict[str, Margin]:
    """Margins by metric: those of the table of metrics and of what runs have `brought`, or from a CSV file.

    Raises Refused naming the file and line of what is wrong, and of a metric that has neither a margin in the table
    nor is among those `measured`: a margin of a misspelt metric would count for nothing.
    """
    rows = {**METRICS, **(brought or {})}
    ours = {name: row.margin for name, row in rows.items() if row.margin is not None}
    if path is None:
        return ours
    known, found = set(ours) | set(measured), {}
    for name, (margin, where) in _margins(path):
        if name in found:
            raise Refused(f"{path}, {where}: {name} is there twice")
        if name not in known:
            raise Refused(f"{path}, {where}: no metric {short(name, 40)!r} was measured")
        found[name] = margin
    return found


def _margins(path: Path) -> Iterable[tuple[str, tuple[Margin, str]]]:
    rows = read_csv(path, ("metric", "margin", "of", "why"))
    for (name, size, of, why), where in rows[1:]:
        yield name, (_margin(size, of, why, f"{path}, {where}"), where)


def _margin(size: str, of: str, why: str, where: str) -> Margin:
    try:
        number = float(size)
    except ValueError:
        number = math.nan
    if of not in ("value", "share") or not 0 <= number < math.inf:
        raise Refused(f"{where}: a margin is a number from 0 up, of 'value' or of 'share'")
    return Margin(number, why, is_share=of == "share")
