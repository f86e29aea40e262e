"""The difference of two records: its standard error, and whether one unit alone decides it."""

import math
from dataclasses import dataclass, replace

import numpy as np

from reports.records.estimate import Error, Estimate, combined, sum_of_squares
from reports.records.record import Record

# Kinds of units of which none is singled out, and the fewest units of which one may be.
NO_SINGLE, FEWEST = ("blocks", "seeds"), 5


def error_between(base: Record, new: Record) -> Error | None:
    """The standard error of new - base: paired where the influences of both are known, else from
    their standard errors. None where nothing is known.

    The error of a mean over runs contains the spread between them.
    """
    if base.estimate.influences and new.estimate.influences:
        return new.estimate.minus(base.estimate).error
    sources = [parts for parts in map(_variances, (base, new)) if parts]
    return combined([*sources[0], *sources[-1]]) if sources else None


def _variances(record: Record) -> list[tuple[float, float]]:
    """The variances of a number with their degrees of freedom: that of its images, and that of a mean
    over runs.
    """
    variances = []
    if (error := record.estimate.error) is not None:
        variances.append((error.stderr**2, error.df))
    if record.pooled and record.spread is not None:
        variances.append((record.spread**2 / record.runs, record.runs - 1.0))
    return variances


@dataclass(frozen=True)
class WithoutOne:
    """A difference without its most influential unit: `place` is the position of that unit."""

    place: int
    units: str
    difference: float
    error: Error

    @property
    def is_shown(self) -> bool:
        """Whether the difference is beyond chance, two-sided at the 5 % level."""
        return abs(self.difference) > self.error.quantile(0.975)


def carried_by_one(difference: float, base: Estimate, new: Estimate) -> WithoutOne | None:
    """What remains of a paired difference, new - base, without the one unit that it depends on.

    None if it does not depend on one unit. It does in either of two cases:

    1. the difference is significant at the 5 % level with the unit and not without it;
    2. removing the unit changes the difference by more than half, and the difference is significant
       with or without the unit, or the unit makes more than half of the variance.

    With d_i the differences of k units, u_i = (d_i - d) / sqrt(k (k - 1)) their influences and V =
    sum u_i^2,

        d without i = d - u_i sqrt(k / (k - 1)),      V without i = k / (k - 2) (V - u_i^2 k / (k - 1)),

    exact for means of equally many images per unit, otherwise to first order. Blocks and seeds are
    not considered: a user cannot look at them.
    """
    if len(base.influences) != 1 or not base.is_paired_with(new):
        return None
    (after,), (before,) = new.influences, base.influences
    if after.units.startswith(NO_SINGLE):
        return None
    u, k = np.subtract(after.values, before.values, dtype=np.float64), len(after.values)
    variance = sum_of_squares(u)
    if k < FEWEST or not variance:
        return None
    place = int(np.argmax(np.abs(u)))
    square = u[place] ** 2
    left = difference - float(u[place]) * math.sqrt(k / (k - 1))
    rest = Error(math.sqrt(max(k / (k - 2) * (variance - square * k / (k - 1)), 0.0)), k - 2)
    whole = WithoutOne(place, after.units, difference, Error(math.sqrt(variance), k - 1))
    without = replace(whole, difference=left, error=rest)
    halved = abs(left - difference) > abs(difference) / 2
    decided = whole.is_shown or without.is_shown or square > variance / 2
    loses_significance = whole.is_shown and not without.is_shown
    return without if loses_significance or (halved and decided) else None
