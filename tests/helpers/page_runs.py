"""Run folders for the page: one of every benchmark's tables, and one with malicious names."""

from pathlib import Path

import numpy as np
from run_folders import measured, number, write_folder

from benchmarks.core.registry import REGISTRY, specs
from reports.records.record import Record, record_key
from reports.records.run_folder import described
from reports.records.uncertainty import Uncertainty

HARMFUL = (
    "<script>document.title='harmed'</script>",
    '"><img src=x onerror="document.title=\'harmed\'">',
    "=1+1, 'a' | b % _ $ {{ 7 * 7 }} </script>&amp;",
)
NONE: dict[str, Uncertainty] = {}
SCORES = np.random.default_rng(0).normal(0.9, 0.02, 50)


def fid(system: str, value: float, **changes) -> Record:
    """The FID of a system's samples."""
    changes = {"system": system, "benchmark": "unconditional", "stderr": 0.0} | changes
    return number("table4_unconditional_fid", "fid", value, **changes)


def write_run(folder: Path, records, uncertainties=NONE, times=(), **notes) -> Path:
    """A finished run folder of these records."""
    records = list(records)
    fields = {"benchmark": "reconstruction", "seed": 0, "transform": {"crop": "center"}}
    about = {
        "protocols": {"p0": fields},
        "settings": {"data": "portraits", "seed": 0, "profile": {"name": "quick"}},
    }
    about |= described((r.metric for r in (*records, *times)), specs(REGISTRY.own)) | notes
    return write_folder(folder, records, uncertainties, times, **about)


def write_measured(folder: Path, pairs: list[tuple[Record, Uncertainty]], **notes) -> Path:
    """A finished run folder of records with their influences."""
    uncertainties = {record_key(record): found for record, found in pairs}
    return write_run(folder, [record for record, _ in pairs], uncertainties, **notes)


def two_systems(folder: Path, behind: np.ndarray, **notes) -> Path:
    """DiffAE's SSIM on 50 images, and DDIM's, which is `behind` it on each of them."""
    table = "table1_reconstruction"
    pairs = [
        measured(number(table, "ssim", None), SCORES),
        measured(number(table, "ssim", None, system="DDIM"), SCORES - behind),
    ]
    return write_measured(folder, pairs, **notes)


def harmful(folder: Path) -> Path:
    """A run whose systems, settings, notes, metrics and data have names that must stay text."""
    table = "table1_reconstruction"
    fields = ("system", "setting", "dataset", "note")
    records = [
        number(table, "ssim", 0.9 - i / 100, stderr=0.01, **dict.fromkeys(fields, name))
        for i, name in enumerate(HARMFUL)
    ]
    records += [
        number("other <b>", HARMFUL[0], 1.5, benchmark="other", system=name, note=name)
        for name in HARMFUL
    ]
    records += [number(table, "ssim", None, system="failing", note=HARMFUL[1])]
    protocol = {"benchmark": HARMFUL[0], HARMFUL[1]: HARMFUL[2]}
    failed = [{"benchmark": HARMFUL[1], "system": HARMFUL[0], "reason": HARMFUL[2]}]
    settings = {"data": HARMFUL[0], "profile": {"name": HARMFUL[2]}, "seed": HARMFUL[1]}
    return write_run(
        folder, records, protocols={"p0": protocol}, settings=settings, failed=failed,
        arguments=list(HARMFUL), device=HARMFUL[0], seen_in_training={HARMFUL[0]: HARMFUL[1]},
    )  # fmt: skip
