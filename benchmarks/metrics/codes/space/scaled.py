"""Codes as grids n x C x H x W, normalised as a number takes them; vectors are maps of one place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.metrics.codes.data import Codes, Floats
from benchmarks.metrics.codes.errors import jackknife
from diffae.system.errors import UserError
from reports.records.estimate import Estimate


@dataclass(frozen=True)
class Scaling:
    """How codes are normalised first.

    scaling   "per channel": by the mean and deviation of a channel over images and places, of a vector
              those of each number; constant channels are left out. Or "none"
    """

    scaling: Literal["per channel", "none"] = "per channel"


def grids(codes: Codes, choices: Scaling) -> tuple[Floats, tuple[str, ...]]:
    """The normalised codes, and notes of what is left out. Raises UserError if all channels are constant."""
    shape = codes.shape or (codes.values.shape[1], 1, 1)
    values = codes.values.reshape(-1, *shape)
    if choices.scaling == "none":
        return values, ()
    alive = np.ptp(values, axis=(0, 2, 3)) > 0
    if not alive.any():
        raise UserError("every channel of the codes is constant")
    values = values[:, alive]
    deviation = values.std((0, 2, 3), keepdims=True, ddof=1)
    left_out = f"constant channels left out: {(~alive).sum()} of {len(alive)}"
    scaled = (values - values.mean((0, 2, 3), keepdims=True)) / deviation
    return scaled, () if alive.all() else (left_out,)


def of_rows(
    codes: Codes, choices: Scaling, statistic: Callable[[Floats], float], *notes: str
) -> Estimate:
    """A statistic of codes n x C x H x W that are normalised, with its error by leaving out blocks of images,
    each time normalised anew.
    """
    return jackknife(lambda rows: statistic(grids(codes.of(rows), choices)[0]), codes, *notes)


def maps(codes: Codes, choices: Scaling, least: int = 2) -> tuple[Floats, tuple[str, ...]]:
    """The same of maps. Raises UserError for vectors, and for maps of less than `least` x `least` places."""
    values, notes = grids(codes, choices)
    height, width = values.shape[2:]
    if min(height, width) < least:
        are = f"maps of {height} x {width}" if codes.shape else "vectors"
        raise UserError(f"needs maps of at least {least} x {least} places; these codes are {are}")
    return values, notes
