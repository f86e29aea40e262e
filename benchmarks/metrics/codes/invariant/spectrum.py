"""How many dimensions a code uses, by its singular values: `rankme` and `participation`.

    rankme          exp of the entropy of the singular values' shares (Garrido et al. 2023)
    participation   (sum of l)^2 / sum of l^2, of the covariance's eigenvalues l

Both are between 1 and min(n, d) and grow with n: codes are compared at one n, which is printed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.metrics.codes.data import Codes, Floats, Found
from benchmarks.metrics.codes.errors import jackknife
from benchmarks.metrics.codes.number import Number
from diffae.system.errors import UserError


@dataclass(frozen=True)
class Spectrum:
    """Whether the mean is taken away first; uncentred, the mean is a direction of its own."""

    centred: bool = True


def _eigenvalues(x: Floats, centred: bool) -> Floats:
    """The eigenvalues of the second moments of x [n, d], centred or not, times n."""
    x = x - x.mean(0) if centred else x
    square = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    return np.linalg.eigvalsh(square).clip(0)


def rankme(x: Floats, how: Spectrum) -> float:
    """exp of the entropy of the singular values of x [n, d], as shares of their sum."""
    values = np.sqrt(_eigenvalues(x, how.centred))
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def participation(x: Floats, how: Spectrum) -> float:
    """The participation ratio of the spectrum of x [n, d]."""
    values = _eigenvalues(x, how.centred)
    return float(values.sum() ** 2 / np.square(values).sum())


def _measured(
    codes: Codes, how: Spectrum, _: int, of: Callable[[Floats, Spectrum], float]
) -> Found:
    x = codes.values
    if not np.ptp(x, axis=0).any():
        raise UserError("all codes are the same")
    return jackknife(lambda rows: of(x[rows], how), codes, f"n = {len(x):,}")


NUMBERS = {
    "rankme": Number(Spectrum, partial(_measured, of=rankme)),
    "participation": Number(Spectrum, partial(_measured, of=participation)),
}
