"""The uncertainty of a number, kept so that two numbers can be compared on the units that they
share.

A number is estimated from units that were drawn independently: images, persons, pairs, blocks of
samples, seeds. The influence of a unit is how far it alone moved the number, scaled so that

    variance of the number = sum over units of influence^2

for a mean, an AUROC (DeLong) and a jackknife alike. Two runs on the same units differ by

    variance of the difference = sum over units of (influence_new - influence_base)^2

which is the paired comparison: what both share cancels. Numbers of different units are independent,
and their variances add. Sources of error that are independent of each other (samples, reference
images) are kept apart, each with units of its own.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.optimize import brentq

from diffae.system.errors import UserError
from diffae.system.files import read_file
from diffae.system.whole import write_whole
from reports.records.reading import MEBIBYTE, short
from reports.records.record import Record

Floats = NDArray[np.floating]
MANY = 1e5  # degrees of freedom that are treated as infinite


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
        return _sum_of_squares(self.values)

    @property
    def df(self) -> int:
        return len(self.values) - 1


Uncertainty = tuple[Influence, ...]
UNKNOWN: Uncertainty = ()
LARGEST_FILE = 512 * MEBIBYTE  # of influences, packed and unpacked
# Kinds of units of which none is singled out, and the fewest units of which one may be.
NO_SINGLE, FEWEST = ("blocks", "seeds"), 5


# ----------------------------------------------------------------------------------------------
# Influences


def of_mean(values: ArrayLike, units: str) -> Uncertainty:
    """The uncertainty of the mean of [k] values: (x - mean) / sqrt(k (k - 1)).

    UNKNOWN for a single value or one that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        return UNKNOWN
    return (Influence(units, (x - x.mean()) / math.sqrt(len(x) * (len(x) - 1))),)


def of_influences(values: ArrayLike, units: str) -> Uncertainty:
    """The uncertainty of a number from the influences [k] of its units; UNKNOWN if one is not finite."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        return UNKNOWN
    return (Influence(units, x),)


def by_group(influence: ArrayLike, groups: ArrayLike, units: str) -> Uncertainty:
    """Influences [n] of images summed over the groups [n] that they belong to, in ascending order.

    The pictures of one person are not independent, but persons are. The small-sample factor becomes
    that of the groups, so that groups of one image change nothing (Liang and Zeger, 1986; for
    AUROC, Obuchowski, 1997).
    """
    x = np.asarray(influence, dtype=np.float64)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    k, n = len(names), len(x)
    if k < 2 or not np.isfinite(x).all():
        return UNKNOWN
    sums = np.bincount(member, weights=x, minlength=k)
    return (Influence(units, sums * math.sqrt(k / (k - 1) * (n - 1) / n)),)


def units_of(kind: str, *what: object) -> str:
    """A short identifier of units: equal for equal `what`."""
    parts = [part.tolist() if isinstance(part, np.ndarray) else part for part in what]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    return f"{kind}:{digest.hexdigest()[:16]}"


# ----------------------------------------------------------------------------------------------
# Standard errors


@dataclass(frozen=True)
class Error:
    """A standard error and its degrees of freedom (infinite if unknown)."""

    stderr: float
    df: float

    def quantile(self, p: float) -> float:
        """The p-quantile of the error, by Student's t."""
        return t_quantile(p, self.df) * self.stderr


def t_quantile(p: float, df: float) -> float:
    """The p-quantile of Student's t.

    SciPy's distribution objects give the same, a hundred times slower.
    """
    return float(special.ndtri(p) if math.isinf(df) else special.stdtrit(df, p))


def t_tail(x: float, df: float) -> float:
    """The probability that Student's t is above `x`."""
    return float(special.ndtr(-x) if math.isinf(df) else special.stdtr(df, -x))


def error(uncertainty: Uncertainty) -> Error | None:
    """The standard error of a number; None where the uncertainty is unknown.

    Degrees of freedom by Welch and Satterthwaite: those of the source that dominates.
    """
    if not uncertainty:
        return None
    return combined([(part.variance, part.df) for part in uncertainty])


def difference_error(base: Uncertainty, new: Uncertainty) -> Error | None:
    """The standard error of new - base, paired over the units that both have.

    None where one is unknown.
    """
    if not base or not new:
        return None
    theirs = {part.units: part for part in base}
    parts: list[tuple[float, float]] = []
    for part in new:
        shared = theirs.pop(part.units, None)
        if shared is None:
            parts.append((part.variance, part.df))
        elif len(part.values) != len(shared.values):
            raise UserError(f"{part.units}: {len(shared.values)} units became {len(part.values)}")
        else:
            change = np.subtract(part.values, shared.values, dtype=np.float64)
            parts.append((_sum_of_squares(change), part.df))
    parts += [(part.variance, part.df) for part in theirs.values()]
    return combined(parts)


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


def carried_by_one(difference: float, base: Uncertainty, new: Uncertainty) -> WithoutOne | None:
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
    if len(base) != 1 or not paired(base, new) or base[0].units.startswith(NO_SINGLE):
        return None
    u, k = np.subtract(new[0].values, base[0].values, dtype=np.float64), len(base[0].values)
    variance = _sum_of_squares(u)
    if k < FEWEST or not variance:
        return None
    place = int(np.argmax(np.abs(u)))
    square = u[place] ** 2
    left = difference - float(u[place]) * math.sqrt(k / (k - 1))
    rest = Error(math.sqrt(max(k / (k - 2) * (variance - square * k / (k - 1)), 0.0)), k - 2)
    whole = WithoutOne(place, base[0].units, difference, Error(math.sqrt(variance), k - 1))
    one = replace(whole, difference=left, error=rest)
    halved = abs(left - difference) > abs(difference) / 2
    sure = whole.is_shown or one.is_shown or square > variance / 2
    return one if (whole.is_shown and not one.is_shown) or (halved and sure) else None


def paired(base: Uncertainty, new: Uncertainty) -> bool:
    """Whether two numbers share all of their units."""
    return bool(base) and {part.units for part in base} == {part.units for part in new}


def shared_variance(base: Uncertainty, new: Uncertainty) -> float:
    """The covariance of two numbers over the units that both have."""
    theirs = {part.units: part.values for part in base}
    pairs = [(theirs[part.units], part.values) for part in new if part.units in theirs]
    return sum(float(np.multiply(a, b, dtype=np.float64).sum()) for a, b in pairs)


def _sum_of_squares(values: Floats) -> float:
    """The sum of squares in float64, in which influences stored as float32 cannot overflow."""
    return float(np.square(values, dtype=np.float64).sum())


def combined(parts: Sequence[tuple[float, float]]) -> Error:
    """The sum of independent (variance, degrees of freedom)."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return Error(0.0, math.inf)
    shares = sum((variance / total) ** 2 / df for variance, df in parts if variance)
    return Error(math.sqrt(total), 1 / shares if shares else math.inf)


# ----------------------------------------------------------------------------------------------
# The file influences.npz


def write_uncertainties(path: Path, uncertainties: Mapping[str, Uncertainty]) -> None:
    """Write uncertainties by `record_key` to the npz file `path`, whole or not at all, in float32."""
    index: list[tuple[str, str]] = []
    arrays: dict[str, np.ndarray] = {}
    for key, uncertainty in uncertainties.items():
        for part in uncertainty:
            arrays[f"{len(index)}"] = part.values.astype(np.float32)
            index.append((key, part.units))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, index=np.array(json.dumps(index)), **arrays)  # type: ignore[arg-type]
    write_whole(path, buffer.getvalue())


def read_uncertainties(path: Path) -> dict[str, Uncertainty]:
    """Read the output of `write_uncertainties`.

    Raises UserError naming the file if it is something else.
    """
    content = read_file(path, LARGEST_FILE)
    found: dict[str, Uncertainty] = {}
    try:
        # No more is unpacked than the sizes that it declares.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            total = sum(member.file_size for member in archive.infolist())
        if total > LARGEST_FILE:
            raise ValueError(f"it unpacks to {total:,} bytes, more than {LARGEST_FILE:,}")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: np.asarray(array) for name, array in file.items()}
        for number, entry in enumerate(json.loads(str(arrays["index"]))):
            if not isinstance(entry, list) or [type(part) for part in entry] != [str, str]:
                raise ValueError("its index is not a list of pairs of text")
            (key, units), values = entry, arrays[str(number)]
            is_list = values.dtype == np.float32 and values.ndim == 1 and len(values) > 1
            if not (is_list and np.isfinite(values).all()):
                raise ValueError(f"influence {number} is not a list of two or more finite numbers")
            if units in {part.units for part in found.get(key, ())}:
                raise ValueError(f"influence {number} is of units that the number has already")
            found[key] = (*found.get(key, ()), Influence(units, values))
    except Exception as reason:  # of a damaged file zipfile, zlib and NumPy raise a dozen kinds
        raise UserError(f"{path}: not the influences of a run: {short(reason)}") from None
    return found


def error_between(was: Record, now: Record, base: Uncertainty, new: Uncertainty) -> Error | None:
    """The standard error of now - was: paired where the influences of both are known, else from
    their own standard errors. None where nothing is known.
    """
    return difference_error(base, new) or unpaired_error(was, now)


def unpaired_error(was: Record, now: Record) -> Error | None:
    """The error from the standard errors in the records, if influences are unknown, and of means over
    runs also from the spread between these.

    If one is missing, the other is used for both.
    """
    known = [parts for parts in map(_variances, (was, now)) if parts]
    return combined([*known[0], *known[-1]]) if known else None


def _variances(record: Record) -> list[tuple[float, float]]:
    """Variances of a number with their degrees of freedom: of its images, and of the runs of a mean."""
    found = []
    if record.stderr is not None:
        found.append((record.stderr**2, degrees_of_freedom(record)))
    if record.pooled and record.spread is not None:
        found.append((record.spread**2 / record.runs, record.runs - 1.0))
    return found


def degrees_of_freedom(record: Record) -> float:
    """Degrees of freedom of a record's standard error: from its 95 % interval, else n - 1, else 1."""
    if record.stderr and None not in (record.ci_low, record.ci_high):
        assert record.ci_low is not None and record.ci_high is not None
        quantile = (record.ci_high - record.ci_low) / (2 * record.stderr)
        if quantile >= t_quantile(0.975, 1):
            return 1.0
        if quantile <= t_quantile(0.975, MANY):
            return math.inf
        return float(brentq(lambda df: t_quantile(0.975, df) - quantile, 1, MANY))
    return max(record.n - 1.0, 1.0) if record.n is not None else 1.0
