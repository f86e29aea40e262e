"""How many dimensions a code uses, by its singular values: `rankme` and `participation`.

    rankme          exp of the entropy of the singular values' shares (Garrido et al. 2023)
    participation   (sum of l)^2 / sum of l^2, of the covariance's eigenvalues l

Both are between 1 and min(n, d) and grow with n: codes are compared at one n, which is printed. Their
errors are jackknives, over images or persons, by first-order perturbation of the eigenvalues.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.special import entr

from benchmarks.metrics.codes.data import Codes, Floats, Found, Ints
from benchmarks.metrics.codes.errors import of_pairs
from benchmarks.metrics.codes.number import Number
from benchmarks.metrics.frechet_jackknife import influences
from diffae.system.errors import UserError

LEAST = 1e-100  # of an eigenvalue, so that shares of nothing are defined


@dataclass(frozen=True)
class Spectrum:
    """Whether the mean is taken away first; uncentred, the mean is a direction of its own."""

    centred: bool = True


def rankme(values: Floats) -> Floats:
    """exp of the entropy of the roots of eigenvalues [..., r], as shares of their sum."""
    roots = np.sqrt(values)
    return np.exp(entr(roots / roots.sum(-1, keepdims=True)).sum(-1))


def participation(values: Floats) -> Floats:
    """The participation ratio of eigenvalues [..., r]."""
    return values.sum(-1) ** 2 / np.square(values).sum(-1)


def _spectrum(x: Floats, centred: bool) -> tuple[Floats, Floats]:
    """The eigenvalues [r] of the second moments of x [n, d], centred or not, times n; and the part
    [n, r] of each row in them, by which they are smaller without it, to first order.
    """
    rows = torch.from_numpy(x - x.mean(0) if centred else x)  # PyTorch is faster than NumPy here
    wide = len(rows) < rows.shape[1]
    values, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    parts = values.clip(0) * vectors**2 if wide else (rows @ vectors).square()
    return values.clip(LEAST).numpy(), parts.numpy()


def _measured(codes: Codes, how: Spectrum, _: int, of: Callable[[Floats], Floats]) -> Found:
    x, who = codes.values, codes.who
    if not np.ptp(x, axis=0).any():
        raise UserError("all codes are the same")

    def jackknife(rows: Ints) -> tuple[float, Floats]:
        values, parts = _spectrum(x[rows], how.centred)
        _, member, count = np.unique(who[rows], return_inverse=True, return_counts=True)
        sums = np.add.reduceat(parts[np.argsort(member)], np.cumsum(count) - count)
        each = influences(float(of(values)), of((values - sums).clip(LEAST)), count / len(rows))
        k, n = len(count), len(rows)
        each *= np.sqrt((k - 1) / k * n / (n - 1))  # `found` has its inverse, of persons
        return float(of(values)), (each / count)[member]

    return of_pairs(jackknife, codes, f"n = {len(x):,}")


NUMBERS = {
    "rankme": Number(Spectrum, partial(_measured, of=rankme), one_scale=True),
    "participation": Number(Spectrum, partial(_measured, of=participation), one_scale=True),
}
