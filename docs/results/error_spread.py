"""Are the standard errors correct? Every number is measured many times, on people drawn anew.

    OMP_NUM_THREADS=1 python docs/results/error_spread.py --replicates 200 --out runs/error-spread --write

A replicate has people that no other has, each with several like pictures, and other noise; only what
an error takes as given is kept (`GIVEN`). So the standard deviation of a number over replicates is
what its standard error estimates. Systems and feature networks cost nothing (`tests/helpers`):
this tests whether the errors are correct, not how large they are. There is a file for each
replicate: the same command continues after an interruption. `--write` renews the table of
`error_spread.md`; `tests/benchmarks/test_error_spread.py` judges fewer replicates by `judged`.
"""

import argparse
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from measure import table
from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
import colours
from people import SPLITS, Cells, People, Tokens

from benchmarks import evaluate
from benchmarks.core.registry import REGISTRY

PEOPLE = {"train": 60, "valid": 20, "test": 60}
EVERY = 10_000  # all images that there are
SETTINGS: dict[str, object] = {
    "reconstruction.images": EVERY,
    "probes.train": EVERY,
    "probes.valid": EVERY,
    "probes.test": EVERY,
    "identity.images": EVERY,
    "interpolation.pairs": EVERY,
    "latent.images": EVERY,
    "latent.training": EVERY,
    "latent.moved": EVERY,
    "fewshot.reference": EVERY,
    "fewshot.pool": 150,
    "fewshot.samples": 50,
    "fewshot.seeds": 3,
    "fewshot.binary_k": 20,
    "fewshot.pu_positives": 20,
    "fewshot.frechet_error": True,
    "samples.count": 130,
    "unconditional.reference": EVERY,
    "unconditional.frechet_error": True,
    "variation.images": EVERY,
    "denoising.images": EVERY,
    "denoising.timesteps": [300, 700],
    "memorisation.train": EVERY,
    "representation.labels": [16, 64],
    "representation.coded": EVERY,
}
# Not cost, which is of no images, nor edits, whose errors tests/benchmarks/metrics/test_edits.py simulates.
BENCHMARKS = [name for name in REGISTRY.own if name not in ("cost", "edits")]
TRAINING, SEED = "the training images", "the seed"
# What the errors of a benchmark take as given, as docs/numbers.md says.
GIVEN = {
    "probes": (TRAINING, SEED),
    "identity": (TRAINING, SEED),
    "memorisation": (TRAINING,),
    "latent": (TRAINING,),
}
# Of these tables of benchmarks above the numbers are of the training images themselves.
OF_TRAINING = {"latent": "latent_space"}
LOW, HIGH = 0.8, 1.25
# Rows whose ratio is meant to be elsewhere: a pattern of their names, the limits, and the reason.
NAMED = (
    (
        r"interpolation, .* ppl_",
        (0.5, HIGH),
        "The unit is a pair of images. Here 60 people are in 100 pairs, each in several; in a run whose pairs are few "
        "beside its people the error is right.",
    ),
    (
        r"variation, .* z_sem varies, ",
        (0.55, HIGH),
        "The unit is a group of images that exchange their codes, and here each person is in several groups.",
    ),
    (
        r"fewshot, cells, .* acceptance_rate",
        (0.55, HIGH),
        "Seeds draw the labelled images from the run's training images, which the error takes as given and which are "
        "others in each replicate.",
    ),
    (
        r"(reconstruction|latent|fewshot|unconditional), .* [rip]?[kf]d_effnet$",
        (LOW, 2.0),
        "A jackknife of a distance is conservative (Efron and Stein, 1981), most where both sets are of one "
        "distribution: real images, autoencoding, good reconstructions. Two equal sets seldom seem different.",
    ),
    (
        r"representation, .* (\d+ labels, auroc|code_length)$",
        (LOW, 1.8),
        "An error over images and over fits counts what an image does to one fit in both: at most twice the variance.",
    ),
    (
        r"representation, cells, .* participation$",
        (LOW, 2.5),
        "Here a code has 48 numbers, a third of the 140 people, so that the rank itself is a third too low.",
    ),
    (
        r"latent, cells, viv$",
        (LOW, 2.0),
        "60 people are few for the eigenvalues of maps of 48 numbers, and without some of them they are fewer: a "
        "jackknife counts that too.",
    ),
)
ROW = ["benchmark", "system", "setting", "metric"]
START = "<!-- table -->"


class Ratio(NamedTuple):
    """Stated error over spread, and the ends of its 95 % interval."""

    stated: float
    spread: float
    ratio: float
    low: float
    high: float
    replicates: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("runs/error-spread"))
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found = ratios(measured(args.replicates, args.out, BENCHMARKS))
    text = table(rows(found), [*ROW, "stated", "spread", "ratio", "95 % interval", "named"])
    print(text, *outside(found), sep="\n")
    if args.write:
        page = Path(__file__).with_suffix(".md")
        before = page.read_text().partition(START)[0]
        listed = [
            f"{i}. {low} to {high}: {why}" for i, (_, (low, high), why) in enumerate(NAMED, 1)
        ]
        parts = [START, f"{args.replicates} replicates.", text, "Named rows:", "\n".join(listed)]
        page.write_text(before + "\n\n".join(parts) + "\n")


def measured(replicates: int, out: Path, tasks: Sequence[str]) -> pd.DataFrame:
    """The rows of all replicates that state an error."""
    parts = []
    for number in range(1, replicates + 1):
        file = out / f"replicate-{number:03d}.csv"
        if not file.exists():
            replicate(number, file, tasks)
        parts.append(pd.read_csv(file, keep_default_na=False, na_values=[""]))
    frame = pd.concat(parts)
    frame[["system", "setting"]] = frame[["system", "setting"]].fillna("")
    return frame.dropna(subset=["value", "stderr"])


def replicate(number: int, file: Path, tasks: Sequence[str]) -> None:
    """Draw people, measure them, and keep the numbers."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        groups.setdefault(GIVEN.get(task, ()), []).append(task)
    groups.setdefault((), []).extend(task for task in OF_TRAINING if task in tasks)
    scratch = file.with_suffix("")
    shutil.rmtree(scratch, ignore_errors=True)
    os.environ["DIFFAE_CACHE"] = str(file.parent / "cache")
    parts = []
    for given, some in groups.items():
        kept = {"train": TRAINING in given, "valid": TRAINING in given}
        seeds = {split: 0 if kept.get(split) else number for split in SPLITS}
        # The folder's name chooses the packaged face embedding.
        folder = People.drawn(PEOPLE, seeds).write(scratch / str(len(parts)) / "portraits")
        how = {"settings": SETTINGS, "seed": 0 if SEED in given else number, "progress": False}
        with colours.no_effnet():  # the store keeps classifiers, which are fitted once
            found = evaluate([Cells(), Tokens()], some, folder, "smoke", cache=SEED in given, **how)
        frame = found.frame().drop_duplicates([*ROW, "steps"])
        of_training = frame["table"] == frame["benchmark"].map(OF_TRAINING)
        split, anew = frame["benchmark"].isin(OF_TRAINING), TRAINING not in given
        parts.append(frame[~split | (of_training == anew)])
    shutil.rmtree(scratch)
    pd.concat(parts)[[*ROW, "value", "stderr", "n"]].to_csv(file, index=False)


def ratios(frame: pd.DataFrame) -> dict[tuple[str, ...], Ratio]:
    """The ratio of every number that states an error in most replicates, but for exact ones without any."""
    count = frame.groupby(ROW).size().max()
    return {
        key: ratio(one["value"].to_numpy(), one["stderr"].to_numpy())
        for key, one in frame.groupby(ROW, sort=False)
        if len(one) > count / 2 and (np.ptp(one["value"]) > 0 or one["stderr"].max() > 0)
    }


def ratio(values: np.ndarray, stated: np.ndarray) -> Ratio:
    """The interval is that of a jackknife over replicates of the logarithm."""

    def of(kept: np.ndarray) -> tuple[float, float]:
        return math.sqrt(np.square(stated[kept]).mean()), float(values[kept].std(ddof=1))

    every = np.arange(len(values))
    error, spread = of(every)
    without = np.log([np.divide(*of(every != i)) for i in every])
    se = math.sqrt((len(every) - 1) * without.var())
    half = student.ppf(0.975, len(every) - 1) * se
    ends = (error / spread * math.exp(sign * half) for sign in (-1, 1))
    return Ratio(error, spread, error / spread, *ends, len(every))


def named(row: tuple[str, ...]) -> int | None:
    """The place of the row's name in `NAMED`."""
    name = ", ".join(row).replace(", , ", ", ")
    return next((i for i, (pattern, *_) in enumerate(NAMED) if re.match(pattern, name)), None)


def outside(found: Mapping[tuple[str, ...], Ratio]) -> list[str]:
    """The rows whose ratio lies outside its limits, with its whole interval."""
    said = []
    for row, r in found.items():
        place = named(row)
        low, high = (LOW, HIGH) if place is None else NAMED[place][1]
        if r.high < low or r.low > high:
            said.append(
                f"{', '.join(row)}: {r.ratio:.2f} ({r.low:.2f} to {r.high:.2f}), not {low} to {high}"
            )
    return said


def rows(found: Mapping[tuple[str, ...], Ratio]) -> list[list[str]]:
    return [
        [
            *row,
            f"{r.stated:.3g}",
            f"{r.spread:.3g}",
            f"{r.ratio:.2f}",
            f"{r.low:.2f} to {r.high:.2f}",
            "" if (place := named(row)) is None else str(place + 1),
        ]
        for row, r in found.items()
    ]


if __name__ == "__main__":
    main()
