"""The Frechet distance between two sets of features, each taken as a Gaussian.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium",
2017, eq. 6:

    d^2 = |mu_a - mu_b|^2 + tr(S_a) + tr(S_b) - 2 tr sqrt(S_a S_b)

With S_b = L L', the eigenvalues of S_a S_b are those of the symmetric L' S_a L, so the last trace
needs no matrix square root. The distance is biased upwards at small n and the bias grows when
images repeat: a bootstrap, which repeats them, is wrong here. `jackknife` leaves blocks out
instead.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property, reduce
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffae.data import npz
from diffae.system.errors import UserError
from diffae.system.whole import write_whole

UNKNOWN = 0
ROWS = 4096  # converted to float64 at once
LARGEST = 1e100  # the largest number accepted from a file

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of a set of features in float64, on the device of the features.

    `n` is the number of images, `mean` [d] and `scatter` [d, d] the sum of centred outer products.
    If n is UNKNOWN (statistics that others saved), `scatter` holds the covariance itself.
    """

    n: int
    mean: Tensor
    scatter: Tensor

    @staticmethod
    def from_features(features: Tensor | Array) -> Moments:
        """Moments of N x d features, ROWS rows at a time. Raises UserError if one is not finite."""
        starts = range(0, max(len(features), 1), ROWS)
        return reduce(Moments.merge, (_moments(features[i : i + ROWS]) for i in starts))

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together (Chan, Golub and LeVeque, 1979)."""
        if UNKNOWN in (self.n, other.n):
            raise ValueError("statistics of an unknown number of images cannot be combined")
        n = self.n + other.n
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.n / n)
        between = torch.outer(delta, delta) * (self.n * other.n / n)
        return Moments(n, mean, self.scatter + other.scatter + between)

    def without(self, block: Moments) -> Moments:
        """The moments of what remains when `block`, a subset of this set, is left out."""
        if self.n <= block.n:
            raise ValueError(f"cannot take {block.n} images out of {self.n}")
        return self.merge(Moments(-block.n, block.mean, -block.scatter))

    def covariance(self) -> Tensor:
        """The unbiased covariance (divided by n - 1), as in NumPy and pytorch-fid."""
        if self.n == UNKNOWN:
            return self.scatter
        if self.n < 2:
            raise UserError("a Frechet distance needs at least two images on each side")
        return self.scatter / (self.n - 1)

    @property
    def full_rank(self) -> bool:
        """Whether the covariance can have full rank; assumed for statistics of unknown n."""
        return self.n == UNKNOWN or self.n > len(self.mean)

    @cached_property
    def factor(self) -> Tensor:
        """L [d, r] with L L' = covariance: Cholesky where it exists, else from the eigenvectors."""
        covariance = self.covariance()
        if self.full_rank:
            try:
                return torch.linalg.cholesky(covariance)
            except torch.linalg.LinAlgError:
                pass
        values, vectors = torch.linalg.eigh(covariance)
        # without the null space of a singular covariance, which is rounding noise
        kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
        return vectors[:, kept] * values[kept].sqrt()


def refuse_not_finite(features: Tensor | Array) -> None:
    """Raises UserError if features [n, d] hold a number that is infinite or NaN."""
    finite = features.isfinite() if isinstance(features, Tensor) else np.isfinite(features)
    if not finite.all():
        raise UserError("features to compare: one is infinite or NaN")


def _moments(rows: Tensor | Array) -> Moments:
    x = (rows if isinstance(rows, Tensor) else torch.tensor(rows)).double()
    refuse_not_finite(x)
    mean = x.mean(0)
    centred = x - mean
    return Moments(len(x), mean, centred.T @ centred)


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Frechet distance, >= 0 up to rounding (about 1e-8 of the trace).

    b is factored, unless a has the lower rank, so that no square root is taken of eigenvalues that are
    rounding noise.
    """
    if not a.full_rank and (b.full_rank or a.n < b.n):
        a, b = b, a
    covariance = a.covariance()
    roots = torch.linalg.eigvalsh(b.factor.T @ covariance @ b.factor).clamp(min=0).sqrt()
    delta = a.mean - b.mean
    traces = covariance.trace() + b.covariance().trace()
    return float(delta @ delta + traces - 2 * roots.sum())


def write_statistics(path: Path, moments: Moments) -> None:
    """Write `mu` and `sigma`, which pytorch-fid and others read, and `n` if it is known."""
    mean, covariance = moments.mean.cpu().numpy(), moments.covariance().cpu().numpy()
    arrays: dict[str, Any] = {"mu": mean, "sigma": covariance}
    if moments.n != UNKNOWN:
        arrays["n"] = moments.n
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(path, content.getvalue())


def is_statistics(path: Path) -> bool:
    """Whether `path` is a file of statistics, by the headers of its arrays."""
    try:
        dimensions(path)
    except UserError:
        return False
    return True


def read_statistics(path: Path) -> Moments:
    """Read statistics written here or by others. Raises UserError naming the file."""
    dimensions(path)
    mean, covariance = (npz.array(path, name).astype(np.float64) for name in ("mu", "sigma"))
    n = float(npz.array(path, "n").item()) if "n" in npz.names(path) else float(UNKNOWN)
    if not (np.abs(mean).max() < LARGEST and np.abs(covariance).max() < LARGEST):
        raise UserError(f"{path}: mu or sigma hold numbers that are not finite or far too large")
    asymmetry, variances = np.abs(covariance - covariance.T).max(), covariance.diagonal()
    if asymmetry > 1e-3 * variances.max() or variances.min() < 0:
        raise UserError(f"{path}: sigma is not a covariance: not symmetric, or negative variances")
    if n != UNKNOWN and not (n.is_integer() and 1 <= n < 1e15):
        raise UserError(f"{path}: n is {n:g}, no number of images")
    scatter = covariance if n == UNKNOWN else covariance * (n - 1)
    return Moments(int(n), torch.from_numpy(mean), torch.from_numpy(scatter))


def dimensions(path: Path) -> int:
    """The number of features that a file of statistics is of, by the headers of its arrays.

    Raises UserError naming the file if they are not of statistics.
    """
    held = npz.names(path)
    if not {"mu", "sigma"} <= held:
        raise UserError(f"{path}: not statistics of features: an npz file with mu and sigma")
    shapes: dict[str, tuple[int, ...]] = {}
    for name in {"mu", "sigma", "n"} & held:
        with npz.opened(path, name) as (header, _):
            shapes[name] = header.shape
        if header.dtype.kind not in "fiu":
            raise UserError(f"{path}: {name} is {header}, and statistics are real numbers")
    mean, covariance = shapes["mu"], shapes["sigma"]
    if len(mean) != 1 or covariance != 2 * mean or not mean[0]:
        raise UserError(f"{path}: mu {mean} and sigma {covariance} are not d and d x d numbers")
    if prod(shapes.get("n", ())) != 1:
        raise UserError(f"{path}: n has the shape {shapes['n']}, and is one number")
    return mean[0]


def bias_note(n: int, dim: int) -> str:
    """A note on the bias of a distance over n images in `dim` dimensions; empty if n is large enough."""
    if n == UNKNOWN or n > dim:
        return ""
    return (
        f"with so few images ({n:,} for {dim:,} dimensions) a Frechet distance is too high for every model; compare only "
        "those of as many images"
    )
