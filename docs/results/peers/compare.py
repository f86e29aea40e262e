"""How fast are we on the same work as other libraries? One thread, alternating, the best of three rounds.

    python docs/results/peers/compare.py [WORDS OF A ROW ...] [--rounds 3] [--small]

It needs the packages that tests need; a row whose package is missing says so.
Times are processor seconds of one thread. Before a row is timed its numbers are compared, by the
tolerance that the row states. `--small` takes small sizes, as the tests do, whose times mean
nothing. Without words all rows are measured, and `numbers.csv` is written. Run it on an idle machine.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch

from benchmarks.metrics import ssim
from benchmarks.metrics.sets import kernel
from benchmarks.metrics.sets.frechet import Moments, frechet_distance
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from benchmarks.metrics.sets.manifold import overlaps
from probes.linear import feature_moments, fit_lbfgs, normalise

sys.path.insert(0, str(Path(__file__).parents[1]))
from measure import in_turn

Numbers = Callable[[], Any]
TABLE = Path(__file__).with_name("numbers.csv")


@dataclass(frozen=True)
class Row:
    """The same work by both; `within` is how far their numbers may differ, relatively."""

    work: str
    package: str
    theirs: Numbers
    ours: Numbers
    within: float
    note: str = ""

    def differ(self) -> float:
        """The largest relative difference of the numbers."""
        theirs, ours = (
            np.asarray(call(), dtype=np.float64).ravel() for call in (self.theirs, self.ours)
        )
        return float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-12)))


def features(n: int, d: int, seed: int) -> np.ndarray:
    """Rectified, correlated and of unequal width, like those of Inception: float32 [n, d]."""
    draw = np.random.default_rng(seed)
    mixed = draw.normal(size=(n, d)) @ (np.eye(d) + draw.normal(size=(d, d)) / d)
    return np.maximum(mixed + 0.1 * seed, 0).astype(np.float32) * np.geomspace(
        0.1, 1, d, dtype=np.float32
    )


def images(n: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Photograph-like images in [0, 1] and noisy ones, float32 N x 3 x side x side."""
    torch.manual_seed(0)
    coarse = torch.rand(n, 3, side // 16 + 2, side // 16 + 2)
    a = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return a, (a + 0.05 * torch.randn_like(a)).clamp(0, 1)


def rows(small: bool = False) -> list[Row]:
    """All rows."""
    return [
        *of_probes(*((400, 12, 3) if small else (20_000, 512, 40))),
        *of_sets(*((60, 16) if small else (10_000, 2_048)), *((4, 20) if small else (100, 1_000))),
        *of_overlaps(*((80, 12) if small else (5_000, 512))),
        *of_images(*((2, 40) if small else (8, 256))),
    ]


# ----------------------------------------------------------------------------------------------
# Linear probes


def of_probes(n: int, d: int, attributes: int) -> list[Row]:
    draw = np.random.default_rng(0)
    x = torch.from_numpy(draw.normal(size=(n, d)).astype(np.float32))
    truth = torch.from_numpy(draw.normal(size=(d, attributes)).astype(np.float32)) / d**0.5
    y = x @ truth + torch.from_numpy(draw.logistic(size=(n, attributes)).astype(np.float32)) > 0

    def theirs() -> np.ndarray:
        from sklearn.linear_model import LogisticRegression

        seen = normalise(x, *feature_moments(x)).numpy()
        fits = [
            LogisticRegression(tol=1e-5, max_iter=1_000).fit(seen, y[:, k])
            for k in range(attributes)
        ]
        return np.stack([fit.decision_function(seen[:100]) for fit in fits], 1) + 10

    def ours() -> np.ndarray:
        return fit_lbfgs(x, y).logits(x[:100]).numpy() + 10

    return [
        Row(
            f"{attributes} linear probes, {n:,} x {d:,}",
            "scikit-learn",
            theirs,
            ours,
            1e-3,
            "one fit each",
        )
    ]


# ----------------------------------------------------------------------------------------------
# Distances between sets


def of_sets(n: int, d: int, subsets: int, size: int) -> list[Row]:
    x, y = features(n, d, 0), features(n, d, 1)
    half, other = x[: n // 2], y[: n // 2]

    def frechet() -> float:
        from pytorch_fid.fid_score import calculate_frechet_distance
        from scipy import linalg

        root = linalg.sqrtm  # SciPy no longer takes `disp`
        with mock.patch.object(linalg, "sqrtm", lambda matrix, disp: (root(matrix), None)):
            moments = [
                f(side, **how)
                for side in (x, y)
                for f, how in ((np.mean, {"axis": 0}), (np.cov, {"rowvar": False}))
            ]
            return float(calculate_frechet_distance(*moments))

    def of_subsets(count: int, size: int) -> list[float]:
        from torch_fidelity.metric_kid import kid_features_to_metric

        sides = (torch.from_numpy(side).double() for side in (half, other))
        flags = {"kid_subsets": count, "kid_subset_size": size, "verbose": False}
        return list(kid_features_to_metric(*sides, **flags).values())

    def mean_and_spread(distances: np.ndarray) -> list[float]:
        return [distances.mean(), distances.std()]

    def unbiased() -> float:
        sides = (Side.of(side, blocks_of(len(side))) for side in (half, other))
        estimate = kernel.between(*sides).whole()
        assert estimate.stderr  # the error is among what is computed
        return estimate.value

    fid = partial(Row, f"Frechet distance from features, 2 x {n:,} x {d:,}", "pytorch-fid", frechet)
    kid = f"KID, {len(half):,} x {d:,}"
    return [
        fid(lambda: frechet_distance(*map(Moments.from_features, (x, y))), 1e-5),
        Row(
            f"{kid}: all pairs, with its error",
            "torch-fidelity",
            lambda: of_subsets(subsets, size)[0],
            unbiased,
            0.2,
            f"{subsets} subsets of {size:,}, no error",
        ),
        Row(
            f"{kid}: {subsets} subsets of {size:,}",
            "torch-fidelity",
            lambda: of_subsets(subsets, size),
            lambda: mean_and_spread(kernel.subset_distances(half, other, subsets, size)),
            1e-9,
            "in float64",
        ),
    ]


def of_overlaps(n: int, d: int) -> list[Row]:
    x, y = features(n, d, 0), features(n, d, 0)[::-1] + features(n, d, 2) / 8
    work = f"precision, recall, density, coverage with errors, {n:,} x {d:,}"
    return [overlap_row(work, x, y), overlap_row(f"{work}, one side scaled by .9", x, 0.9 * x)]


def overlap_row(work: str, x: np.ndarray, y: np.ndarray) -> Row:
    """Density and coverage, which prdc takes with our k; the four of ours are computed together."""

    def theirs() -> list[float]:
        from prdc import compute_prdc

        with contextlib.redirect_stdout(io.StringIO()):
            overlap = compute_prdc(x, y, 5)
        return [overlap[name] for name in ("density", "coverage")]

    def ours() -> list[float]:
        reference, samples = (Side.of(side, blocks_of(len(side))) for side in (x, y))
        estimates = overlaps(samples, reference).whole()
        return [estimates[name].value for name in ("density", "coverage")]

    return Row(work, "prdc", theirs, ours, 1e-3, "no errors")


# ----------------------------------------------------------------------------------------------
# Images


def of_images(n: int, side: int) -> list[Row]:
    a, b = images(n, side)
    signed = [2 * x.double() - 1 for x in (a, b)]

    def skimage() -> list[float]:
        from skimage.metrics import structural_similarity

        how = {
            "data_range": 1.0,
            "channel_axis": 0,
            "gaussian_weights": True,
            "use_sample_covariance": False,
        }
        return [
            structural_similarity(*pair, **how)
            for pair in zip(a.double().numpy(), b.double().numpy(), strict=True)
        ]

    def ours() -> np.ndarray:
        return ssim.ssim_valid(*signed).numpy()

    work = f"SSIM, {n} pairs of {side} px, float64"
    return [Row(work, "scikit-image", skimage, ours, 1e-9)]


# ----------------------------------------------------------------------------------------------
# Table


def measured(row: Row, rounds: int) -> dict[str, object]:
    """One line of the table. Raises ValueError if the numbers are not the same."""
    try:
        release = f"{row.package} {version(row.package)}"
        if not (apart := row.differ()) <= row.within:
            raise ValueError(f"{row.work}: differs from {row.package} by {apart:.2g}")
    except ModuleNotFoundError as error:
        return {"work": row.work, "peer": row.package, "note": f"not measured: {error}"}
    times = in_turn({"theirs": row.theirs, "ours": row.ours}, rounds, time.process_time)
    theirs, ours = min(times["theirs"]), min(times["ours"])
    seconds = {"their seconds": f"{theirs:.3g}", "our seconds": f"{ours:.3g}"}
    said = {"theirs / ours": f"{theirs / ours:.2f}", "differ by": f"{apart:.1g}", "note": row.note}
    return {"work": row.work, "peer": release, **seconds, **said}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="of the rows to measure (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [r for r in rows() if all(w in f"{r.work} {r.package}" for w in args.words)]
    lines = []
    for row in chosen:
        lines.append(measured(row, args.rounds))
        print(lines[-1], flush=True)
    if not args.words:
        pd.DataFrame(lines).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
