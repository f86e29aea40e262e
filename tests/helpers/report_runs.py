"""Run folders with given numbers, for tests of tables."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from run_folders import write_folder

from benchmarks.core.registry import REGISTRY
from benchmarks.core.tables import specs
from reports.records.plugin_metadata import described
from reports.records.record import HIGHER, LOWER, Record

TABLE1 = "table1_reconstruction"
PROTOCOL = {"benchmark": "reconstruction", "ssim": "zero padding", "n": 32, "seed": 0}
SETTINGS = {"seed": 0, "data": "portraits", "profile": {"name": "quick", "sections": {}}}


def number(system: str, metric: str, value: float | None, **changes) -> Record:
    """A number of Table 1."""
    given = {
        "benchmark": "reconstruction", "table": TABLE1, "dataset": "portraits", "split": "test", "setting": "x_T inverted",
        "steps": 100, "solver": "ddim", "n": 32, "protocol": "p0", "direction": HIGHER if metric == "ssim" else LOWER,
    }  # fmt: skip
    return Record(system=system, metric=metric, value=value, **(given | changes))


def write_run(
    folder: Path,
    records: Iterable[Record],
    times: Iterable[Record] = (),
    settings: Mapping = SETTINGS,
    protocols: Mapping | None = None,
    complete: bool = True,
) -> Path:
    """Write a run folder of `records`; the protocol of all is `p0` unless others are given."""
    records, times = list(records), list(times)
    notes = {"settings": settings, "complete": complete}
    notes |= {"protocols": protocols or {"p0": PROTOCOL}}
    notes |= described((r.metric for r in (*records, *times)), specs(REGISTRY.own))
    return write_folder(folder, records, times=times, **notes)
