"""How many dimensions a code uses, by its singular values: `rankme` and `participation`.

    rankme          exp of the entropy of the singular values' shares (Garrido et al. 2023)
    participation   (sum of l)^2 / sum of l^2, of the covariance's eigenvalues l

Both are between 1 and min(n, d) and grow with n: codes are compared at one n, which is printed. Their
errors are infinitesimal jackknives (Efron, 1982), from first-order perturbation of the eigenvalues.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.metrics.codes.data import Codes, Floats, Found
from benchmarks.metrics.codes.errors import of_pairs
from benchmarks.metrics.codes.number import Number
from diffae.system.errors import UserError


@dataclass(frozen=True)
class Spectrum:
    """Whether the mean is taken away first; uncentred, the mean is a direction of its own."""

    centred: bool = True


def _spectrum(x: Floats, centred: bool) -> tuple[Floats, Floats]:
    """The eigenvalues [r] above 0 of the second moments of x [n, d], centred or not, times n; and the
    part [n, r] of each row in them, which is their derivative by the row's weight.
    """
    x = x - x.mean(0) if centred else x
    wide = x.shape[0] < x.shape[1]
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    parts = values * vectors**2 if wide else np.square(x @ vectors)
    return values[values > 0], parts[:, values > 0]


def rankme(x: Floats, how: Spectrum) -> tuple[float, Floats]:
    """exp of the entropy of the singular values of x [n, d], as shares of their sum; and the influence
    [n] of each row.
    """
    values, parts = _spectrum(x, how.centred)
    roots = np.sqrt(values)
    shares = roots / roots.sum()
    rank = np.exp(-(shares * np.log(shares)).sum())
    return float(rank), parts @ (-rank * np.log(rank * shares) / (2 * roots.sum() * roots))


def participation(x: Floats, how: Spectrum) -> tuple[float, Floats]:
    """The participation ratio of the spectrum of x [n, d], and the influence [n] of each row."""
    values, parts = _spectrum(x, how.centred)
    total, squares = values.sum(), np.square(values).sum()
    return float(total**2 / squares), parts @ (2 * total / squares * (1 - total * values / squares))


def _measured(
    codes: Codes, how: Spectrum, _: int, of: Callable[[Floats, Spectrum], tuple[float, Floats]]
) -> Found:
    x = codes.values
    if not np.ptp(x, axis=0).any():
        raise UserError("all codes are the same")
    return of_pairs(lambda rows: of(x[rows], how), codes, f"n = {len(x):,}")


NUMBERS = {
    "rankme": Number(Spectrum, partial(_measured, of=rankme)),
    "participation": Number(Spectrum, partial(_measured, of=participation)),
}
