"""Find features that rounding to float32 would destroy, and rescale them so that it does not.

float32 loses a feature if its mean is much larger than its deviation, or if its numbers are too large or
too small. Subtracting the middle and scaling by a power of two, both in float64, keeps the feature.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRECISE = 1e-3  # part of its deviation by which rounding may move a feature
SMALL = 1e-3  # deviations below are scaled: scikit-learn's trees take numbers 1e-7 apart as equal
OVER = (0, 2)  # the axes of images and of positions in a map


class Spread(NamedTuple):
    """Of C channels [n, C, T]: which float32 would lose, deviations [C], and middles [C, 1].

    The middle is that between the smallest and the largest number.
    """

    lost: NDArray[np.bool_]
    deviations: Floats
    middle: Floats


def spread(x: Floats) -> Spread:
    """The spread of channels [n, C, T]. Tiny or huge numbers do not overflow."""
    low, high = x.min(axis=OVER)[:, None], x.max(axis=OVER)[:, None]
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    unit = np.where(half > 0, half, 1)
    deviations = ((x - middle) / unit).std(axis=OVER)
    with np.errstate(over="ignore"):
        rounded = (x.astype(np.float32) - x) / unit
        moved = np.sqrt(np.square(rounded).mean(axis=OVER))
    lost = (moved > PRECISE * deviations) & ((deviations > 0) | np.isinf(moved))
    return Spread(lost, deviations * half[:, 0], middle)


def held(x: Floats, common: bool = False) -> Floats:
    """Channels [n, C, T], rescaled where float32 would lose them.

    Those that it would lose are centred. They, and those of a small deviation, are scaled to a deviation
    of about 1. All others are unchanged. With a `common` scale, all are scaled by the factor of the
    largest deviation, if one would be lost.
    """
    lost, deviations, middle = spread(x)
    varied = deviations > 0
    scaled = lost | (varied & (deviations < SMALL))
    if common:
        scaled[:] = lost.any()
        deviations[:] = deviations.max()
    centred = x - np.where((lost | ~varied)[:, None], middle, 0)
    powers = np.frexp(deviations)[1][:, None]
    return np.where(scaled[:, None], np.ldexp(centred, -powers), x)
