"""Run folders for the page: one of every benchmark's tables, and one with malicious names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from run_folders import write_folder

from benchmarks.core.registry import REGISTRY
from benchmarks.core.tables import specs
from reports.records.plugin_metadata import described
from reports.records.record import HIGHER, LOWER, NEITHER, Record, record_key
from reports.records.uncertainty import Uncertainty, error, of_mean

HARMFUL = (
    "<script>document.title='harmed'</script>",
    '"><img src=x onerror="document.title=\'harmed\'">',
    "=1+1, 'a' | b % _ $ {{ 7 * 7 }} </script>&amp;",
)
SCORES = np.random.default_rng(0).normal(0.9, 0.02, 50)


def number(table: str, metric: str, value: float | None, **changes) -> Record:
    directions = {"ssim": HIGHER, "auroc": HIGHER, "latent_dim": NEITHER, "parameters": NEITHER}
    base = Record(
        "reconstruction", table, "DiffAE", "portraits", "test", "", None, metric, value,
        n=50, direction=directions.get(metric, LOWER), protocol="p0",
    )  # fmt: skip
    return replace(base, **changes)


def measured(record: Record, values: np.ndarray) -> tuple[Record, Uncertainty]:
    """`record` with the mean of `values` and its error, and the influences."""
    uncertainty = of_mean(values, "images")
    found = error(uncertainty)
    assert found is not None
    half, mean = found.quantile(0.975), float(values.mean())
    whole = replace(
        record, value=mean, stderr=found.stderr, ci_low=mean - half, ci_high=mean + half
    )
    return whole, uncertainty


def write_run(folder: Path, records, uncertainties=None, **notes) -> Path:
    """A finished run folder of these records."""
    records = list(records)
    fields = {"benchmark": "reconstruction", "seed": 0, "transform": {"crop": "center"}}
    about = {
        "protocols": {"p0": fields},
        "settings": {"data": "portraits", "seed": 0, "profile": {"name": "quick"}},
    }
    about |= described((r.metric for r in records), specs(REGISTRY.own)) | notes
    return write_folder(folder, records, uncertainties or {}, **about)


def two_systems(folder: Path, behind: np.ndarray, **notes) -> Path:
    """DiffAE's SSIM on 50 images, and DDIM's, which is `behind` it on each of them."""
    table = "table1_reconstruction"
    pairs = [
        measured(number(table, "ssim", None), SCORES),
        measured(number(table, "ssim", None, system="DDIM"), SCORES - behind),
    ]
    records = [record for record, _ in pairs]
    return write_run(folder, records, {record_key(r): u for r, u in pairs}, **notes)


def harmful(folder: Path) -> Path:
    """A run whose systems, settings, notes, metrics and data have names that must stay text."""
    table = "table1_reconstruction"
    records = [
        number(
            table,
            "ssim",
            0.9 - i / 100,
            system=name,
            setting=name,
            dataset=name,
            note=name,
            stderr=0.01,
        )
        for i, name in enumerate(HARMFUL)
    ]
    records += [
        number("other <b>", HARMFUL[0], 1.5, benchmark="other", system=name, note=name)
        for name in HARMFUL
    ]
    records += [number(table, "ssim", None, system="failing", note=HARMFUL[1])]
    fields = {"benchmark": HARMFUL[0], HARMFUL[1]: HARMFUL[2]}
    failed = [{"benchmark": HARMFUL[1], "system": HARMFUL[0], "reason": HARMFUL[2]}]
    settings = {"data": HARMFUL[0], "profile": {"name": HARMFUL[2]}, "seed": HARMFUL[1]}
    return write_run(
        folder, records, protocols={"p0": fields}, settings=settings, failed=failed,
        arguments=list(HARMFUL), device=HARMFUL[0], seen_in_training={HARMFUL[0]: HARMFUL[1]},
    )  # fmt: skip
