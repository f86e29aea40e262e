"""Are the standard errors correct? Every number is measured many times on fresh draws.

    OMP_NUM_THREADS=1 python docs/results/error_spread.py --replicates 24 --out runs/error-spread

A replicate has portraits that no other has (another drawing seed), other noise, other labelled
images and other training images for the probes; the checkpoint is the packaged one. So the standard
deviation of a number over replicates is what its standard error estimates. Sizes are tiny: this
tests whether the errors are correct, not how large they are. Prints the table of `error_spread.md`.
There is a file for each benchmark of each replicate: the same command continues after an
interruption, and measures again what was removed.
"""

import argparse
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from measure import table
from scipy.stats import chi2

from benchmarks.run import main as run
from diffae.data.portraits import write_dataset
from reports.records.record import Record, read_records, record_key, write_records

BENCHMARKS = "reconstruction probes identity interpolation fewshot unconditional variation denoising memorisation"
PORTRAITS, SIZE = 1_000, 32
SETTINGS = """
    data.fit_images=400
    samples.count=80 samples.steps=2
    reconstruction.images=40 reconstruction.steps=2
    probes.train=500 probes.valid=100 probes.test=280
    identity.images=20 identity.strengths=0.3 identity.steps=2
    interpolation.pairs=20 interpolation.steps=2
    fewshot.reference=250 fewshot.pool=160 fewshot.samples=40 fewshot.seeds=2 fewshot.steps=2
    fewshot.binary_k=20 fewshot.pu_positives=20 fewshot.pu_unlabeled=200
    unconditional.reference=200
    variation.images=12 variation.draws=4 variation.steps=2
    denoising.images=64 denoising.timesteps=100,500
    memorisation.train=200
"""
MEANS = ("mean", "prevalence-weighted mean")
FEWEST = 3  # replicates needed for a spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("runs/error-spread"))
    args = parser.parse_args()
    for number in range(args.replicates):
        folder = args.out / f"replicate-{number:03d}"
        if todo := [name for name in BENCHMARKS.split() if not (folder / f"{name}.csv").exists()]:
            measure(folder, todo, number + 1)
    found = [
        read_records(path)
        for name in BENCHMARKS.split()
        for path in sorted(args.out.glob(f"*/{name}.csv"))
    ]
    headers = ["benchmark", "row", "setting", "metric", "stated", "spread", "ratio"]
    print(table(list(rows(found)), [*headers, "95 % interval", "replicates"]))


def measure(folder: Path, benchmarks: list[str], seed: int) -> None:
    """Run one replicate: draw portraits, run on them, and keep only the run's numbers."""
    scratch = folder.with_name(folder.name + "-scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    data = scratch / "portraits"
    write_dataset(data, PORTRAITS, SIZE, seed=10_000 + seed, workers=1)
    os.environ["DIFFAE_CACHE"] = str(scratch / "cache")
    settings = [f"--set={setting}" for setting in SETTINGS.split()]
    where = ["--data", str(data), "--seed", str(seed), "--out", str(scratch / "run")]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        run([*benchmarks, "--systems", "diffae", "--profile", "quick", *settings, *where])
    folder.mkdir(parents=True, exist_ok=True)
    measured = read_records(scratch / "run" / "records.csv")
    for name in benchmarks:
        write_records(folder / f"{name}.csv", [r for r in measured if r.benchmark == name])
    shutil.rmtree(scratch)


def rows(replicates: list[list[Record]]) -> Iterator[list[str]]:
    """One row for each number with a standard error, or for numbers that differ only in attribute
    or class.
    """
    numbers: dict[tuple[str, ...], dict[str, list[Record]]] = {}
    for records in replicates:
        for record in {record_key(r): r for r in records}.values():  # some are in two tables
            again = record.steps is None and record.setting.startswith("pu/")  # as binary/
            if record.value is not None and record.stderr and not again:
                of_row = numbers.setdefault(_row(record), {})
                of_row.setdefault(record.setting, []).append(record)
    for key, of_row in numbers.items():
        found = [one for one in of_row.values() if len(one) >= FEWEST]
        if not found:
            continue
        stated = np.mean([math.sqrt(np.mean(np.square([r.stderr for r in one]))) for one in found])
        spread = np.mean([np.std([r.value for r in one], ddof=1) for one in found])
        fewest, ratio = min(map(len, found)), float(stated / spread)
        interval = _interval(ratio, fewest) if len(found) == 1 else f"{len(found)} numbers"
        yield [*key, f"{stated:.3g}", f"{spread:.3g}", f"{ratio:.2f}", interval, str(fewest)]


def _row(record: Record) -> tuple[str, ...]:
    """The subject of a row of the table: attributes, and classes of few-shot samples, share one."""
    setting = record.setting
    if record.benchmark == "probes" and setting not in MEANS:
        setting = "an attribute"
    elif record.benchmark == "identity" and " " in setting:
        setting = f"an attribute, strength {setting.rsplit(' ', 1)[1]}"
    elif record.benchmark == "fewshot":
        setting = f"{setting.split('/')[0]}, a class"
    return record.benchmark, record.system, setting, record.metric


def _interval(ratio: float, count: int) -> str:
    """The interval of the ratio, from the spread of a standard deviation over `count` normal values."""
    low, high = (math.sqrt(chi2.ppf(q, count - 1) / (count - 1)) for q in (0.025, 0.975))
    return f"{ratio * low:.2f} to {ratio * high:.2f}"


if __name__ == "__main__":
    main()
