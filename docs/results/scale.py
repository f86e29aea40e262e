"""Time and memory of a run's work outside of its networks, on synthetic features of full size.

    python docs/results/scale.py [--sizes 1000,5000,10000,50000] [--against FOLDER] [MEASURE ...]

Every measurement is a process of its own with one thread. Its time is the CPU time of the work
alone, which other work on the machine hardly changes; its memory is the peak of the process during
it, minus what it had before (imports, and the inputs if they are given as arrays). `--against` is
another checkout, which is measured by the same script, the two in turn. `growth` is the exponent of
time between the two largest sizes: 1 is linear.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import program, table

from benchmarks.metrics.frechet import Moments
from benchmarks.metrics.frechet_jackknife import Side, between, blocks_of
from benchmarks.metrics.nearest import nearest
from probes import fit_adam_paper, fit_best
from probes.scores import influences, summarise
from reports.records.uncertainty import Influence, read_uncertainties, write_uncertainties

FEATURES, CODE, ATTRIBUTES = 2048, 512, 40  # of Inception, of z_sem, of CelebA
Work = Callable[[], object]


# ----------------------------------------------------------------------------------------------
# Measurements


def features(n: int, seed: int, d: int = FEATURES) -> np.ndarray:
    """float32 [n, d] whose variances fall as 1/i, roughly like those of natural images' features."""
    spectrum = np.arange(1, d + 1, dtype=np.float32) ** -0.5
    found = np.random.default_rng(seed).standard_normal((n, d), np.float32)
    found *= spectrum
    return found


def codes_and_labels(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [n, 512], and 40 attributes, rare and frequent, that a linear classifier predicts in part."""
    codes = torch.from_numpy(features(n, seed, CODE))
    of_code = np.random.default_rng(0).standard_normal((CODE, ATTRIBUTES))
    noise = np.random.default_rng(seed + 1).standard_normal((n, ATTRIBUTES))
    signal = codes.numpy() @ of_code / math.sqrt(math.log(CODE)) + 0.5 * noise
    return codes, torch.from_numpy(signal > np.linspace(-1, 2, ATTRIBUTES))


def moments(n: int, folder: Path) -> Work:
    """Moments of features"""
    x = features(n, 1)
    return lambda: Moments.from_features(x)


def distance(n: int, folder: Path) -> Work:
    """Frechet distance of as many to as many, with its jackknife"""
    x, y = features(n, 1), features(n, 2)

    def work() -> object:
        found = between(Side.of(x, blocks_of(n)), Side.of(y, blocks_of(n)))
        return found.whole() if hasattr(found, "whole") else found  # an older checkout's is whole

    return work


def neighbours(n: int, folder: Path) -> Work:
    """Nearest of 3/5 as many for each"""
    x, y = features(n, 1), features(n * 3 // 5, 2)
    return lambda: nearest(x, y)


def probe(n: int, folder: Path) -> Work:
    """40 classifiers of 3/5 as many codes, L-BFGS, 4 penalties"""
    train, valid = codes_and_labels(n * 3 // 5, 1), codes_and_labels(n // 10, 2)
    return lambda: fit_best(*train, *valid, grid=(1e-2, 1e-1, 1.0, 10.0))


def adam(n: int, folder: Path) -> Work:
    """40 classifiers of 3/5 as many codes, the authors' Adam"""
    train = codes_and_labels(n * 3 // 5, 1)
    return lambda: fit_adam_paper(*train, seed=0)


def scores(n: int, folder: Path) -> Work:
    """AUROC, AP, accuracy of 40 classifiers on 3/5 as many, and each image's influence"""
    codes, labels = codes_and_labels(n * 3 // 5, 1)
    logits, truth = codes.numpy()[:, :ATTRIBUTES], labels.numpy()
    names = [str(column) for column in range(ATTRIBUTES)]

    def work() -> None:
        summarise(logits, truth, names)
        influences(logits, truth)

    return work


def influence_file(n: int, folder: Path) -> Work:
    """influences.npz of 123 rows, written and read"""
    rng = np.random.default_rng(0)
    found = {str(row): (Influence("images", rng.standard_normal(n)),) for row in range(123)}

    def work() -> None:
        write_uncertainties(folder / "influences.npz", found)
        read_uncertainties(folder / "influences.npz")

    return work


ALL = (moments, distance, neighbours, probe, adam, scores, influence_file)
MEASURES: dict[str, Callable[[int, Path], Work]] = {one.__name__: one for one in ALL}


# ----------------------------------------------------------------------------------------------
# One process a measurement


def worker(name: str, n: int) -> None:
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        work = MEASURES[name](n, Path(folder))
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        start = time.process_time()
        work()
        seconds = time.process_time() - start
        print(json.dumps([seconds, memory("VmHWM") - before]))


def memory(name: str) -> float:
    """MiB of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def growth(seconds: dict[int, float]) -> str:
    """The exponent of time between the two largest sizes."""
    if len(seconds) < 2:
        return ""
    (a, s), (b, t) = sorted(seconds.items())[-2:]
    return f"{math.log(t / s) / math.log(b / a):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="1000,5000,10000,50000")
    parser.add_argument("--against", type=Path, help="another checkout, the one before")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("measures", nargs="*", choices=MEASURES, default=list(MEASURES))
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.worker:
        worker(args.measures[0], sizes[0])
        return
    here = Path(__file__).resolve().parents[2]
    trees = [here] if args.against is None else [args.against.resolve(), here]
    rows = []
    for name in args.measures:
        taken = {}
        for n in sizes:
            found = []
            for tree in trees:
                words = [__file__, "--worker", name, "--sizes", n]
                found.append(json.loads(program(*words, PYTHONPATH=str(tree))))
                print(f"{tree.name} {name} {n:,}: {found[-1]}", file=sys.stderr, flush=True)
            seconds, peaks = zip(*found, strict=True)
            taken[n] = seconds[-1]
            cells = [*(f"{s:.2f}" for s in seconds), *(f"{m:,.0f}" for m in peaks)]
            rows.append([name, f"{n:,}", *cells, growth(taken) if n == sizes[-1] else ""])
    before = ["before", ""][-len(trees) :]
    units = [f"{unit} {which}".strip() for unit in ("s", "MiB") for which in before]
    print(table(rows, ["", "images", *units, "growth"]))


if __name__ == "__main__":
    main()
