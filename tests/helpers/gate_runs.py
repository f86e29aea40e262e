"""Runs with known differences for the gate: in memory, and as folders."""

from pathlib import Path

import numpy as np
from run_folders import measured, number, write_folder

from reports.records.record import record_key
from reports.records.run_folder import Run

RNG = np.random.default_rng(0)
SSIM = RNG.normal(0.95, 0.02, 200)
KEY = ("DiffAE", "", "ssim")


def make_run(scores: dict, *, seed: int = 0, protocol: dict | None = None, **settings) -> Run:
    """A run of means: `scores` maps (system, setting, metric) to values per image, or to one number."""
    rows, uncertainties = [], {}
    for (system, setting, metric), values in scores.items():
        one = values is None or np.isscalar(values)
        record = number(
            "table", metric, values if one else None, system=system, setting=setting, protocol=f"p{seed}",
            n=None if one else len(values), note="no value" if values is None else "",
        )  # fmt: skip
        if not one:
            record, uncertainty = measured(record, values, f"images of seed {seed}")
            uncertainties[record_key(record)] = uncertainty
        rows.append(record)
    fields = {"benchmark": "reconstruction", "ssim": "zero padding", "seed": seed} | (
        protocol or {}
    )
    return Run(Path("run"), tuple(rows), uncertainties, {f"p{seed}": fields}, settings)


def write_run(folder: Path, scores: dict, **more) -> Path:
    """The same as a run folder."""
    run = make_run(scores, **more)
    notes = {"protocols": run.protocols, "settings": run.settings}
    return write_folder(folder, run.rows, run.uncertainties, **notes)
