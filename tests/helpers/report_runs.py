"""Run folders with given numbers, for tests of tables."""

from pathlib import Path

import page_runs

from reports.records.record import Record

TABLE1 = "table1_reconstruction"
PROTOCOL = {"benchmark": "reconstruction", "ssim": "zero padding", "n": 32, "seed": 0}
SETTINGS = {"seed": 0, "data": "portraits", "profile": {"name": "quick", "sections": {}}}


def number(system: str, metric: str, value: float | None, **changes) -> Record:
    """A number of Table 1."""
    given = {"table": TABLE1, "setting": "x_T inverted", "steps": 100, "solver": "ddim", "n": 32}
    return page_runs.number(metric=metric, value=value, system=system, **(given | changes))


def write_run(folder: Path, records, times=(), settings=SETTINGS, protocols=None) -> Path:
    """Write a run folder of `records`; the protocol of all is `p0` unless others are given."""
    notes = {"settings": settings, "protocols": protocols or {"p0": PROTOCOL}}
    return page_runs.write_run(folder, records, None, times, **notes)
