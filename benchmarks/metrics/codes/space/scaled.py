"""Codes as grids n x C x H x W, normalised as a number takes them; vectors are maps of one place.

A number of codes is computed again without each of twenty blocks of images, each time normalised anew. Maps of
MANY places or more are normalised by the moments of each image (`ImageMoments`), which are computed once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.metrics.codes.data import Codes, Floats, Ints
from benchmarks.metrics.codes.errors import jackknife
from diffae.system.errors import UserError
from reports.records.estimate import Estimate

MANY = 512  # places


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


class ImageMoments:
    """Maps of codes, with the moments and the range of each channel in each image, n x C.

    The normalisation of any rows follows from these: `normalised` agrees with `grids`, but for rounding.
    """

    def __init__(self, codes: Codes, choices: Scaling) -> None:
        assert codes.shape is not None
        self.maps = codes.values.reshape(len(codes.values), codes.shape[0], -1)
        self.choices = choices
        self.low, self.high = self.maps.min(2), self.maps.max(2)
        self.mean, self.variance = self.maps.mean(2), self.maps.var(2)

    def normalised(self, rows: Ints) -> Floats:
        """The codes of these rows, n x C x T."""
        values = self.maps[rows]
        if self.choices.scaling == "none":
            return values
        alive = self.high[rows].max(0) > self.low[rows].min(0)
        means = self.mean[rows][:, alive]
        mean = means.mean(0)
        variance = (self.variance[rows][:, alive] + np.square(means - mean)).mean(0)
        count = len(rows) * self.maps.shape[2]
        deviation = np.sqrt(variance * (count / (count - 1)))
        values = values if alive.all() else values[:, alive]
        values = values - mean[:, None]
        values /= deviation[:, None]
        return values


def has_many_places(shape: tuple[int, ...] | None) -> bool:
    """Whether maps of this shape, C x H x W or C x T, have MANY places or more; vectors have no shape."""
    return shape is not None and math.prod(shape[1:]) >= MANY


def of_rows(
    codes: Codes, choices: Scaling, statistic: Callable[[Floats], float], *notes: str
) -> Estimate:
    """A statistic of codes that are normalised, with its error by leaving out blocks of images, each time
    normalised anew. It takes n x C x H x W, or n x C x T of maps of MANY places.
    """
    if has_many_places(codes.shape):
        moments = ImageMoments(codes, choices)
        return jackknife(lambda rows: statistic(moments.normalised(rows)), codes, *notes)
    return jackknife(lambda rows: statistic(grids(codes.of(rows), choices)[0]), codes, *notes)


def maps(codes: Codes, choices: Scaling, least: int = 2) -> tuple[Floats, tuple[str, ...]]:
    """The same of maps. Raises UserError for vectors, and for maps of less than `least` x `least` places."""
    values, notes = grids(codes, choices)
    height, width = values.shape[2:]
    if min(height, width) < least:
        are = f"maps of {height} x {width}" if codes.shape else "vectors"
        raise UserError(f"needs maps of at least {least} x {least} places; these codes are {are}")
    return values, notes
