"""How many dimensions a code uses, by its singular values: `rankme` and `participation`.

    rankme          exp of the entropy of the singular values' shares (Garrido et al. 2023)
    participation   (sum of l)^2 / sum of l^2, of the covariance's eigenvalues l

Both are between 1 and min(n, d) and grow with n: codes are compared at one n, which is printed. Their
errors are jackknives, over images or persons, by first-order perturbation of the eigenvalues.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import entr

from benchmarks.metrics.codes.data import Codes, Floats, Ints
from benchmarks.metrics.codes.errors import estimate_of_pairs, rows_and_halves
from benchmarks.metrics.codes.number import several
from benchmarks.metrics.sets.jackknife import influences
from diffae.system.errors import UserError
from reports.records.estimate import Estimate

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


def _estimate(codes: Codes, choices: Spectrum, _: int) -> dict[str, Estimate]:
    x, who = codes.values, codes.who
    if not np.ptp(x, axis=0).any():
        raise UserError("all codes are the same")

    rows_of_parts = rows_and_halves(codes)
    spectra = [_spectrum(x[rows], choices.centred) for rows in rows_of_parts]
    estimates = {}
    for name, statistic in {"rankme": rankme, "participation": participation}.items():
        parts = [
            (*_with_influences(statistic, spectrum, who[rows]), rows)
            for spectrum, rows in zip(spectra, rows_of_parts, strict=True)
        ]
        estimates[name] = estimate_of_pairs(parts, codes, f"n = {len(x):,}")
    return estimates


def _with_influences(
    statistic: Callable[[Floats], Floats], spectrum: tuple[Floats, Floats], who: Ints
) -> tuple[float, Floats]:
    """A statistic of a spectrum, and the influence of each of its rows, which belong to persons."""
    values, parts = spectrum
    _, member, count = np.unique(who, return_inverse=True, return_counts=True)
    sums = np.add.reduceat(parts[np.argsort(member)], np.cumsum(count) - count)
    value = float(statistic(values))
    each = influences(value, statistic((values - sums).clip(LEAST)), count / len(who))
    k, n = len(count), len(who)
    each *= np.sqrt((k - 1) / k * n / (n - 1))  # `influences_of_groups` has its inverse, of persons
    return value, (each / count)[member]


GROUPS = (several(("rankme", "participation"), _estimate, Spectrum, one_scale=True),)
