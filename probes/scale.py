"""Features that rounding to float32 would lose, and the same at a scale that it holds.

It loses a feature whose mean is large beside its deviation, or whose numbers are too large or too small
for it. Subtracting the mean and scaling by a power of two, both in float64, keeps the feature.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRECISE = 1e-3  # of a deviation, by which rounding may move a feature
SMALL = 1e-3  # a deviation; trees of scikit-learn take numbers that differ by 1e-7 as equal
OVER = (0, 2)  # rows and places of a map


@dataclass(frozen=True)
class Spread:
    """Of C channels [n, C, T]: those that float32 would `lose`, and their deviations.

    These are `units` times a power of two with this exponent; 0 of a constant channel.
    """

    lost: NDArray[np.bool_]
    units: Floats
    exponents: NDArray[np.int64]

    @property
    def deviations(self) -> Floats:
        with np.errstate(over="ignore"):
            return np.ldexp(self.units, self.exponents)


def spread(x: Floats) -> Spread:
    """The spread of channels [n, C, T]: neither tiny nor huge numbers overflow here."""
    exponents = np.frexp(np.abs(x).max(axis=OVER))[1]
    unit = np.ldexp(x, -exponents[:, None])
    deviations = np.where(np.ptp(unit, axis=OVER) > 0, unit.std(axis=OVER), 0)
    with np.errstate(over="ignore"):
        rounded = np.ldexp(x.astype(np.float32) - x, -exponents[:, None])
    moved = np.sqrt(np.square(rounded).mean(axis=OVER))
    lost = (moved > PRECISE * deviations) & ((deviations > 0) | np.isinf(moved))
    return Spread(lost, deviations, exponents)


def held(x: Floats, common: bool = False) -> Floats:
    """Channels [n, C, T], of which those that float32 would lose are centred.

    These, and those of a small deviation, are scaled to a deviation of about 1; all others stay as
    they are. With a `common` scale all are scaled by that of the largest deviation, if one is lost or
    all are small.
    """
    known = spread(x)
    scaled = known.lost | ((known.deviations < SMALL) & (known.units > 0))
    powers = np.frexp(known.units)[1] + known.exponents
    if common:
        scaled[:] = known.lost.any() or scaled[known.units > 0].all()
        powers[:] = powers[known.units > 0].max(initial=-5000)
    if not scaled.any() or not known.units.any():
        return x
    unit = np.ldexp(x, -known.exponents[:, None])
    centred = known.lost | (known.units == 0)
    unit -= np.where(centred[:, None], unit.mean(axis=OVER, keepdims=True)[0], 0)
    return np.where(scaled[:, None], np.ldexp(unit, (known.exponents - powers)[:, None]), x)
