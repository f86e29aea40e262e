"""Runs with known differences for the gate: in memory, and as folders."""

from pathlib import Path

import numpy as np
from run_folders import write_folder

from reports.records.record import HIGHER, LOWER, NEITHER, Record, record_key
from reports.records.run_folder import Run
from reports.records.uncertainty import error, of_mean

RNG = np.random.default_rng(0)
SSIM = RNG.normal(0.95, 0.02, 200)
KEY = ("DiffAE", "", "ssim")
DIRECTIONS = {
    "ssim": HIGHER,
    "mse": LOWER,
    "fd_effnet": LOWER,
    "auroc": HIGHER,
    "pixel_std": NEITHER,
    "latent_dim": NEITHER,
}


def make_run(scores: dict, *, seed: int = 0, protocol: dict | None = None, **settings) -> Run:
    """A run of means: `scores` maps (system, setting, metric) to values per image, or to one number."""
    rows, uncertainties = [], {}
    for (system, setting, metric), values in scores.items():
        one = values is None or np.isscalar(values)
        uncertainty = () if one else of_mean(values, f"images of seed {seed}")
        found, value = error(uncertainty), None if values is None else float(np.mean(values))
        half = found.quantile(0.975) if found else None
        record = Record(
            "reconstruction", "table", system, "portraits", "test", setting, None, metric, value,
            stderr=found.stderr if found else None, direction=DIRECTIONS[metric], protocol=f"p{seed}",
            ci_low=value - half if found else None, ci_high=value + half if found else None,
            n=None if one else len(values), note="no value" if values is None else "",
        )  # fmt: skip
        rows.append(record)
        if uncertainty:
            uncertainties[record_key(record)] = uncertainty
    fields = {"benchmark": "reconstruction", "ssim": "zero padding", "seed": seed} | (
        protocol or {}
    )
    return Run(Path("run"), tuple(rows), uncertainties, {f"p{seed}": fields}, settings)


def write_run(folder: Path, scores: dict, **more) -> Path:
    """The same as a run folder."""
    run = make_run(scores, **more)
    notes = {"protocols": run.protocols, "settings": run.settings}
    return write_folder(folder, run.rows, run.uncertainties, **notes)
