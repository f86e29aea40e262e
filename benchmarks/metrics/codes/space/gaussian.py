"""How far codes are from normal noise: `viv`, `viv_by_class`, `code_fd`, `epps_pulley`.

    viv           mean over eigenvalues l of the covariance of (pi/2) sqrt(l): what is left of the variance of the
                  velocity of a flow from noise to the codes, over all times. White codes have pi/2
    code_fd       |mu|^2 + sum (sqrt(l) - 1)^2: the Frechet distance from N(0, I), a number of the code
    epps_pulley   n times the squared distance of the characteristic function of random projections from that of
                  N(0, 1), weighted by it, by what normal codes have

VIV is of Diffusing in the Right Space (arXiv 2606.03578); the covariance of maps is S_channel x S_place, found in
turn. Epps and Pulley 1983, as LeJEPA takes it (rbalestr-lab/lejepa@eddffdd univariate/epps_pulley.py).
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from benchmarks.metrics.codes.data import Codes, Floats, Ints
from benchmarks.metrics.codes.errors import jackknife
from benchmarks.metrics.codes.number import single
from benchmarks.metrics.codes.space.scaled import Scaling, grids, has_many_places, of_rows
from diffae.system.errors import UserError
from diffae.system.settings import Range
from reports.records.estimate import Estimate

ROUNDS, TINY = 5, 1e-12
ROWS = 10  # that a dimension needs
FEWEST = 4  # images of a class
POINTS, LAST = 17, 3.0  # of t
SLICES = 16  # at once
OF_NORMAL = 1.0525  # n times the distance of n normal numbers, for every n


class Viv(Scaling):
    """The choices of `viv` and `viv_by_class`."""


class CodeFd(Scaling):
    """The choices of `code_fd`: without scaling the mean and the deviations count."""


@dataclass(frozen=True)
class EppsPulley(Scaling):
    """The choices of `epps_pulley`.

    slices   random directions, of a seed
    divided  whether by what normal codes have, 1.0525
    """

    slices: Annotated[int, Range(1, 10_000)] = 256
    divided: bool = True


# ----------------------------------------------------------------------------------------------
# Velocity irreducible variance


def variances(values: Floats) -> Floats:
    """The eigenvalues of the covariance of maps n x C x T, as that of channels times that of places.

    Each is found with the other fixed, in five rounds; the sum is the variance. Of one place they are those
    of the covariance (n in the denominator).
    """
    x = torch.from_numpy(values - values.mean(0))
    n, C, T = x.shape
    if T == 1:
        return torch.linalg.eigvalsh(_moments(x[..., 0].T) / n).clip(0).numpy()
    total = float(x.square().sum()) / n
    channels, places = _by_factors(x) if has_many_places((C, T)) else _by_axes(x)
    each = torch.outer(channels.clip(0), places.clip(0)).flatten().numpy()
    return each * (total / each.sum())


def _by_axes(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The eigenvalues of the covariances of channels and of places, of centred maps n x C x T."""
    n, C, T = x.shape
    channels, places = torch.ones(C, dtype=x.dtype), torch.ones(T, dtype=x.dtype)
    rows = x
    for _ in range(ROUNDS):
        channels, axes = torch.linalg.eigh(_moments(rows.transpose(0, 1).flatten(1)) / (n * T))
        rows = (axes / (channels.clip(0) + TINY).sqrt()).T @ x
        places, axes = torch.linalg.eigh(_moments(rows.permute(2, 0, 1).flatten(1)) / (n * C))
        rows = x @ (axes / (places.clip(0) + TINY).sqrt())
    return channels, places


def _by_factors(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, but for rounding, in half the time of many places: maps are whitened by the Cholesky factors
    of the covariances, and eigenvalues are computed once.
    """
    n, C, T = x.shape
    by_channel = x.transpose(0, 1).reshape(C, n * T)
    by_place = by_channel.reshape(C * n, T).T
    whitened = by_channel
    for turn in range(ROUNDS):
        channels = _symmetric_moments(whitened.reshape(C, n * T)) / (n * T)
        whitened = _whitened(by_channel, channels).reshape(C * n, T).T
        places = _symmetric_moments(whitened) / (n * C)
        if turn < ROUNDS - 1:
            whitened = _whitened(by_place, places).T
    return torch.linalg.eigvalsh(channels), torch.linalg.eigvalsh(places)


def _whitened(rows: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Rows d x m, of which `covariance` becomes the identity."""
    identity = torch.eye(len(covariance), dtype=rows.dtype)
    try:
        factor = torch.linalg.cholesky(covariance + TINY * identity)
    except torch.linalg.LinAlgError:  # rounding made it negative somewhere
        variances, axes = torch.linalg.eigh(covariance)
        return (axes / (variances.clip(0) + TINY).sqrt()).T @ rows
    return torch.linalg.solve_triangular(factor, rows, upper=False)


def _moments(rows: torch.Tensor) -> torch.Tensor:
    return rows @ rows.T


def _symmetric_moments(rows: torch.Tensor) -> torch.Tensor:
    """The same by NumPy, which computes one half of a product with the transpose."""
    values = rows.numpy()
    return torch.from_numpy(values @ values.T)


def _refuse_few(values: Floats, n: int, codes: str) -> None:
    """Raise UserError unless n maps of C x T numbers have ROWS rows for each axis of theirs."""
    C, T = values.shape[1], values[0, 0].size
    if n * T < ROWS * C or n * C < ROWS * T:
        needed = -(-ROWS * max(C / T, T / C) // 1)
        raise UserError(
            f"not defined for {n:,} {codes} of {C} x {T} numbers; give at least {needed:,.0f}"
        )


def _viv(values: Floats) -> float:
    values = values.reshape(*values.shape[:2], -1)
    return float(np.pi / 2 * np.sqrt(variances(values)).mean())


def viv(codes: Codes, choices: Viv, _: int) -> Estimate:
    """Marginal, of all codes as one class."""
    values, notes = grids(codes, choices)
    _refuse_few(values, len(values), "codes")
    return of_rows(codes, choices, _viv, *notes, f"white codes {np.pi / 2:.4f}")


def viv_by_class(codes: Codes, choices: Viv, _: int) -> Estimate:
    """The mean over the classes of each label, and over labels."""
    values, notes = grids(codes, choices)
    classes, smallest = codes.classes, len(values)
    assert codes.labels is not None
    for name, label in zip(codes.labels.names, classes.T, strict=True):
        count = np.bincount(label)
        if not (enough := count[count >= FEWEST]).size:
            raise UserError(f"no class of {name} has {FEWEST} images; leave this label out")
        smallest = min(smallest, int(enough.min()))
        if few := len(count) - len(enough):
            left_out = f"{few} of {len(count)} classes of {name}, of fewer than {FEWEST} images"
            notes = (*notes, f"left out: {left_out}")

    def mean_of_classes(scaled: Floats, label: Ints) -> float:
        """The mean over the classes of a label that have enough codes."""
        each = (np.flatnonzero(label == number) for number in np.unique(label))
        return float(
            np.mean([_viv(scaled[of_class]) for of_class in each if len(of_class) >= FEWEST])
        )

    _refuse_few(values, smallest, "codes of a class")

    def mean(rows: Ints) -> float:
        scaled, _ = grids(codes.of(rows), choices)
        return float(np.mean([mean_of_classes(scaled, label) for label in classes[rows].T]))

    return jackknife(mean, codes, *notes, f"the smallest class has {smallest} images")


# ----------------------------------------------------------------------------------------------
# Distances from N(0, I)


def code_fd(codes: Codes, choices: CodeFd, _: int) -> Estimate:
    """Of vectors; of maps, of the channels at all places. It is divided by the number of dimensions."""
    values, notes = grids(codes, choices)
    n, C, height, width = values.shape
    if n * height * width < 2 * C:
        raise UserError(f"not defined for {n:,} codes of {C} numbers; give at least {2 * C:,}")

    def distance(values: Floats) -> float:
        x = torch.from_numpy(values).transpose(0, 1).flatten(1)
        mean = x.mean(1, keepdim=True)
        eigenvalues = torch.linalg.eigvalsh(_moments(x - mean) / x.shape[1]).clip(0)
        return float((mean.square().sum() + (eigenvalues.sqrt() - 1).square().sum()) / C)

    return of_rows(codes, choices, distance, *notes)


def epps_pulley(codes: Codes, choices: EppsPulley, seed: int) -> Estimate:
    """The mean over random directions of all numbers of a code; the error takes them as given."""
    values, notes = grids(codes, choices)
    n, d = len(values), values[0].size
    unit = OF_NORMAL if choices.divided else 1.0
    source = torch.Generator().manual_seed(seed)
    directions = torch.randn(d, choices.slices, generator=source).double()
    t = torch.linspace(0, LAST, POINTS, dtype=torch.float64)
    normal = torch.exp(-t.square() / 2)

    def distance(values: Floats) -> float:
        """n times the distance of some of the codes from normal ones, in units of `unit`.

        What normal codes have of it, as 1 / their number, cancels in the jackknife.
        """
        x = torch.from_numpy(values).flatten(1) @ (directions / directions.norm(dim=0))
        each = []
        for some in x.split(SLICES, dim=1):
            angles = some[:, :, None] * t
            apart = (angles.cos().mean(0) - normal).square() + angles.sin().mean(0).square()
            each.append(2 * torch.trapezoid(apart * normal, t))
        return n * float(torch.cat(each).mean()) / unit

    return of_rows(codes, choices, distance, *notes, f"n = {n:,}")


BY_CLASS = ("classes", "binary")
GROUPS = (
    single("viv", viv, Viv, channels=True),
    single("viv_by_class", viv_by_class, Viv, BY_CLASS, channels=True),
    single("code_fd", code_fd, CodeFd, channels=True),
    single("epps_pulley", epps_pulley, EppsPulley, channels=True),
)
