"""An estimate: a number, what its uncertainty is made of, and what there is to say about it.

A number is estimated from units that were drawn independently: images, persons, pairs, blocks of
samples, seeds. The influence of a unit is how far it alone moved the number, scaled so that

    variance of the number = sum over units of influence^2

for a mean, an AUROC (DeLong) and a jackknife alike. Two estimates from the same units differ by

    variance of the difference = sum over units of (influence_a - influence_b)^2

which is the paired comparison: what both share cancels. Estimates from different units are
independent, and their variances add. Sources of error that are independent of each other (samples,
reference images) are kept apart, each with units of its own.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffae.system.errors import UserError

Floats = NDArray[np.floating]
Parameter = str | int | bool | None | NDArray[np.generic]  # what may identify units


@dataclass(frozen=True)
class Error:
    """A standard error and its degrees of freedom (infinite if unknown)."""

    stderr: float
    df: float

    def quantile(self, p: float) -> float:
        """The p-quantile of the error, by Student's t."""
        return t_quantile(p, self.df) * self.stderr


@dataclass(frozen=True, eq=False)
class Influence:
    """The influence of each of k independent units on a number, `values` [k].

    `units` identifies the units: equal only if they are the same ones in the same order. `df`, the
    degrees of freedom of the variance, is k - 1.
    """

    units: str
    values: Floats

    @property
    def variance(self) -> float:
        """The sum of squares in float64, in which influences stored as float32 cannot overflow."""
        return float(np.square(self.values, dtype=np.float64).sum())

    @property
    def df(self) -> int:
        return len(self.values) - 1


Influences = tuple[Influence, ...]  # one for each independent source of error; none if unknown


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of single images behind a mean: `images` [n], indices in the data set, and `values` [n]."""

    images: NDArray[np.integer]
    values: NDArray[np.number | np.bool_]


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    value       the number; None if there is none, and then `why` says why
    influences  one `Influence` for each independent source of error; empty where single units are
                not known, or if an influence is not finite
    error       the standard error and its degrees of freedom; computed from the influences unless it
                is given. None if it is unknown
    n           how many images, or other units, the number is of
    scores      the scores of single images, where the number is their mean
    why         why there is no value, or no error
    notes       what a reader should know beside the number
    """

    value: float | None
    influences: Influences = field(default=(), compare=False, repr=False)
    error: Error | None = None
    n: int | None = None
    scores: Scores | None = field(default=None, compare=False, repr=False)
    why: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(np.isfinite(source.values).all() for source in self.influences):
            object.__setattr__(self, "influences", ())
        if self.error is None and self.influences:
            sources = [(source.variance, source.df) for source in self.influences]
            object.__setattr__(self, "error", combined(sources))

    @property
    def stderr(self) -> float | None:
        """The standard error; None if it is unknown."""
        return self.error.stderr if self.error else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """`why` and the notes."""
        return (self.why, *self.notes) if self.why else self.notes

    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval by Student's t; None without a finite value or an error."""
        if self.value is None or self.error is None or not math.isfinite(self.value):
            return None
        half = self.error.quantile(0.975)
        return self.value - half, self.value + half

    def is_paired_with(self, other: "Estimate") -> bool:
        """Whether both estimates share all of their units."""
        units = {source.units for source in self.influences}
        return bool(units) and units == {source.units for source in other.influences}

    def minus(self, other: "Estimate") -> "Estimate":
        """The difference from another estimate, paired over the units that both have.

        Where the influences of one are unknown, the errors are taken to be independent; if one error
        is missing, the other stands for both. Raises UserError if the same units are of unlike
        number.
        """
        difference = None
        if self.value is not None and other.value is not None:
            difference = self.value - other.value
        if self.influences and other.influences:
            return Estimate(difference, _differences(self.influences, other.influences))
        errors = [x.error for x in (self, other) if x.error is not None]
        if not errors:
            return Estimate(difference)
        sources = [(error.stderr**2, error.df) for error in (errors[0], errors[-1])]
        return Estimate(difference, error=combined(sources))


def _differences(minuend: Influences, subtrahend: Influences) -> Influences:
    """The influences on the difference of two numbers, units that both have paired."""
    unpaired = {source.units: source for source in subtrahend}
    differences: list[Influence] = []
    for source in minuend:
        other = unpaired.pop(source.units, None)
        if other is None:
            differences.append(source)
            continue
        if len(source.values) != len(other.values):
            counts = f"{len(other.values)} units became {len(source.values)}"
            raise UserError(f"{source.units}: {counts}")
        change = np.subtract(source.values, other.values, dtype=np.float64)
        differences.append(Influence(source.units, change))
    left = (Influence(source.units, -source.values) for source in unpaired.values())
    return (*differences, *left)


# ----------------------------------------------------------------------------------------------
# Influences of common numbers


def influences_on_mean(
    values: ArrayLike, units: str, groups: ArrayLike | None = None
) -> Influences:
    """The influences on the mean of [k] values: (x - mean) / sqrt(k (k - 1)), summed over `groups` [k]
    if these are the units.

    None for a single value or one that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        return ()
    influence = (x - x.mean()) / math.sqrt(len(x) * (len(x) - 1))
    if groups is None:
        return (Influence(units, influence),)
    return influences_of_groups(influence, groups, units)


def influences_of(values: ArrayLike, units: str) -> Influences:
    """The influences [k] of units as the one source of error; none if one is not finite."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        return ()
    return (Influence(units, x),)


def influences_of_groups(influence: ArrayLike, groups: ArrayLike, units: str) -> Influences:
    """Influences [n] of images summed over the groups [n] that they belong to, in ascending order.

    The pictures of one person are not independent, but persons are. The small-sample factor becomes
    that of the groups, so that groups of one image change nothing (Liang and Zeger, 1986; for
    AUROC, Obuchowski, 1997).
    """
    x = np.asarray(influence, dtype=np.float64)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    k, n = len(names), len(x)
    if k < 2 or not np.isfinite(x).all():
        return ()
    sums = np.bincount(member, weights=x, minlength=k)
    return (Influence(units, sums * math.sqrt(k / (k - 1) * (n - 1) / n)),)


def units_of(kind: str, *parameters: Parameter) -> str:
    """A short identifier of units of a kind: equal for equal parameters."""
    parts = [part.tolist() if isinstance(part, np.ndarray) else part for part in parameters]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    return f"{kind}:{digest.hexdigest()[:16]}"


# ----------------------------------------------------------------------------------------------
# Standard errors


def t_quantile(p: float, df: float) -> float:
    """The p-quantile of Student's t.

    SciPy's distribution objects give the same, a hundred times slower.
    """
    from scipy import special

    return float(special.ndtri(p) if math.isinf(df) else special.stdtrit(df, p))


def t_tail(x: float, df: float) -> float:
    """The probability that Student's t is above `x`."""
    from scipy import special

    return float(special.ndtr(-x) if math.isinf(df) else special.stdtr(df, -x))


def combined(sources: Sequence[tuple[float, float]]) -> Error:
    """The error of a sum of independent sources, each a variance with its degrees of freedom.

    The degrees of freedom of the sum are those of Welch and Satterthwaite: those of the source that
    dominates.
    """
    total = sum(variance for variance, _ in sources)
    if total == 0:
        return Error(0.0, math.inf)
    shares = sum((variance / total) ** 2 / df for variance, df in sources if variance)
    return Error(math.sqrt(total), 1 / shares if shares else math.inf)
