"""Features that rounding to float32 would lose, and the same at a scale that it holds.

It loses a feature whose mean is large beside its deviation, or whose numbers are too large or too small
for it. Subtracting the middle and scaling by a power of two, both in float64, keeps the feature.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRECISE = 1e-3  # of a deviation, by which rounding may move a feature
SMALL = 1e-3  # a deviation; trees of scikit-learn take numbers that differ by 1e-7 as equal
OVER = (0, 2)  # rows and places of a map


class Spread(NamedTuple):
    """Of C channels [n, C, T]: those that float32 would lose, their deviations, and the middle [C, 1]
    between the smallest and the largest number.
    """

    lost: NDArray[np.bool_]
    deviations: Floats
    middle: Floats


def spread(x: Floats) -> Spread:
    """The spread of channels [n, C, T]: neither tiny nor huge numbers overflow here."""
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
    """Channels [n, C, T], of which those that float32 would lose are centred.

    These, and those of a small deviation, are scaled to a deviation of about 1; all others stay as
    they are. With a `common` scale all are scaled by that of the largest deviation, if one is lost.
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
