"""Are the standard errors correct? Every number is measured many times on fresh draws.

    OMP_NUM_THREADS=1 python docs/results/error_spread.py --replicates 24 --out runs/error-spread

A replicate has portraits that no other has (another drawing seed), other noise, other labelled
images and other training images for the probes; the checkpoint is the packaged one. So the standard
deviation of a number over replicates is what its standard error estimates. Sizes are tiny: this
tests whether the errors are correct, not how large they are. Prints the table of `error_spread.md`.
There is a file for each replicate: the same command continues after an interruption.
"""

import argparse
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
from measure import run_quick, table
from scipy.stats import chi2

from diffae.data.portraits import write_dataset
from reports.records.record import Record, read_records, record_key

PORTRAITS, SIZE = 1_000, 32
SETTINGS = """
    data.fit_images=400
    samples.count=80 samples.steps=2
    reconstruction.images=40 reconstruction.steps=2
    probes.train=500 probes.valid=100 probes.test=280
    identity.images=20 identity.strengths=0.3 identity.steps=2
    interpolation.pairs=20 interpolation.steps=2
    fewshot.reference=250 fewshot.pool=160 fewshot.samples=40 fewshot.seeds=2 fewshot.steps=2
    fewshot.binary_k=20 fewshot.pu_positives=20 fewshot.pu_unlabeled=200 fewshot.frechet_error=true
    unconditional.reference=200 unconditional.frechet_error=true
    variation.images=12 variation.draws=4 variation.steps=2
    denoising.images=64 denoising.timesteps=100,500
    memorisation.train=200
    latent.images=40 latent.training=100 latent.moved=40 latent.noise=0.3 latent.bits=3 latent.neighbours=3 latent.steps=2
"""
MEANS = ("mean", "prevalence-weighted mean")
FEWEST = 3  # replicates needed for a spread
ROW = ["benchmark", "row", "setting", "metric"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("runs/error-spread"))
    args = parser.parse_args()
    files = [args.out / f"replicate-{number:03d}.csv" for number in range(args.replicates)]
    for seed, file in enumerate(files, start=1):
        if not file.exists():
            measure(file, seed)
    headers = [*ROW, "stated", "spread", "ratio", "95 % interval", "replicates"]
    print(table(list(rows([read_records(file) for file in files])), headers))


def measure(file: Path, seed: int) -> None:
    """Run one replicate: draw portraits, run on them, and keep only the run's numbers."""
    scratch = file.with_suffix("")
    shutil.rmtree(scratch, ignore_errors=True)
    data = scratch / "portraits"
    write_dataset(data, PORTRAITS, SIZE, seed=10_000 + seed, workers=1)
    os.environ["DIFFAE_CACHE"] = str(scratch / "cache")
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        run_quick(SETTINGS, seed, scratch / "run", "--data", str(data))
    os.replace(scratch / "run" / "records.csv", file)
    shutil.rmtree(scratch)


def rows(replicates: Sequence[list[Record]]) -> Iterator[list[str]]:
    """One row for each number with a standard error, or for numbers that differ only in attribute
    or class.
    """
    frame = pd.DataFrame(
        [
            [*_row(record), record.setting, record.value, record.stderr]
            for records in replicates
            for record in {record_key(r): r for r in records}.values()  # some are in two tables
            if record.value is not None and record.stderr
            if record.steps is not None or not record.setting.startswith("pu/")  # as binary/
        ],
        columns=[*ROW, "name", "value", "stderr"],
    )
    numbers = frame.groupby([*ROW, "name"], sort=False).agg(
        stated=("stderr", lambda errors: math.sqrt(np.mean(np.square(errors)))),
        spread=("value", "std"),
        count=("value", "size"),
    )
    numbers = numbers[numbers["count"] >= FEWEST]
    for key, found in numbers.groupby(level=ROW, sort=False):
        stated, spread, fewest = (
            found["stated"].mean(),
            found["spread"].mean(),
            found["count"].min(),
        )
        ratio = stated / spread
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
