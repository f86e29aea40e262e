"""Metrics and tables of plug-ins in run.json, so that a run folder can be read without them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from diffae.system.errors import UserError
from reports.records.metrics import METRICS, NAME, SHIPPED, Metric
from reports.records.plain import T, from_plain, to_plain
from reports.records.reading import short
from reports.records.specs import TableSpec


def described(metrics: Iterable[str], tables: Iterable[TableSpec]) -> dict[str, Any]:
    """The entries `metrics` (those that do not ship, by name) and `tables` of a run.json."""
    brought = sorted(name for name in {*metrics} - SHIPPED if name in METRICS)
    return {
        "metrics": {name: to_plain(METRICS[name]) for name in brought},
        "tables": [to_plain(spec) for spec in tables],
    }


def metrics_in(path: Path, notes: Mapping[str, Any]) -> dict[str, Metric]:
    """The metrics of plug-ins in the run.json at `path`, which holds `notes`.

    Built-in metrics keep their definition.

    Raises UserError naming the file and what is wrong in it.
    """
    rows = notes.get("metrics", {})
    if not isinstance(rows, dict):
        raise UserError(f"{path}: metrics is not an object")
    found = {}
    for name, row in rows.items():
        if not NAME.fullmatch(name):
            raise UserError(f"{path}: {short(repr(name), 40)} cannot be a metric's name")
        if name not in SHIPPED:
            found[name] = _made(Metric, row, f"{path}: metric {name}")
    return found


def tables_in(path: Path, notes: Mapping[str, Any]) -> tuple[TableSpec, ...]:
    """The tables in a run.json. Raises UserError naming the file and what is wrong in it."""
    specs = notes.get("tables", [])
    if not isinstance(specs, list):
        raise UserError(f"{path}: tables is not a list")
    return tuple(_made(TableSpec, spec, f"{path}: tables") for spec in specs)


def _made(kind: type[T], content: object, where: str) -> T:
    try:
        return from_plain(kind, content)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
