"""Estimates of numbers of codes, with errors over images, or over persons where they are known."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.metrics.codes.data import Codes, Floats, Ints
from benchmarks.metrics.sets.jackknife import BLOCKS, influences
from diffae.system.errors import UserError
from reports.records.estimate import Error, Estimate, Influence, influences_of, influences_on_mean
from reports.records.reading import few

LISTED = 6  # names of labels in a note

# Of a fold: the scores [K] of labels, nan if undefined, the influence [n, K] of the rows that are
# scored, and these rows [n].
ScoredFold = tuple[Floats, Floats, Ints]

ALL_SAME = "every label is the same on all rows that are fitted on, or scored"
TOO_FEW_PERSONS = "no error: too few persons"


def undefined(why: str) -> Estimate:
    """The estimate of a number that is not defined, with the reason."""
    return Estimate(None, why=why)


def estimate_on_rows(
    value: float, influence: Floats, codes: Codes, rows: Ints, *notes: str
) -> Estimate:
    """A number of these rows of codes, with its error from the influence [n] of each row.

    There is no error where an influence is not finite, or where there is one person.
    """
    sources = codes.of(rows).units.influences(influence)
    return Estimate(float(value), sources, n=len(rows), notes=notes)


def estimate_over_fits(
    values: Sequence[float], influence: Floats, codes: Codes, rows: Ints, draws: str, *notes: str
) -> Estimate:
    """The mean of the values of several fits, with its error over the scored rows and over the fits.

    `draws` identifies what the fits were made of. A single fit gives no error.
    """
    of_rows = codes.of(rows).units.influences(influence)
    of_fits = influences_on_mean(values, draws)
    sources = (*of_rows, *of_fits) if of_rows and of_fits else ()
    return Estimate(float(np.mean(values)), sources, n=len(rows), notes=notes)


def with_scaled_error(estimate: Estimate, scale: float) -> Estimate:
    """The estimate with `scale` times its influences, and so its error."""
    sources = tuple(Influence(s.units, scale * s.values) for s in estimate.influences)
    return replace(estimate, influences=sources, error=None)


def estimate_of_labels(folds: Sequence[ScoredFold], codes: Codes, *notes: str) -> Estimate:
    """The mean over labels, and over folds, with its error over the rows that are scored.

    A label without a score in a fold is left out there. Raises UserError if none has one.
    """
    defined = [np.isfinite(values) for values, _, _ in folds]
    if not all(labels.any() for labels in defined):
        raise UserError(ALL_SAME)
    means = [values[k].mean() for (values, _, _), k in zip(folds, defined, strict=True)]
    each = [influence[:, k].mean(1) for (_, influence, _), k in zip(folds, defined, strict=True)]
    influence = np.concatenate(each) / len(folds)
    left_out = np.flatnonzero(~np.all(defined, axis=0)).tolist()
    names = codes.labels.names if codes.labels else ()
    if len(names) != len(defined[0]):  # scores of other things, such as the classes of a label
        names = tuple(f"number {place}" for place in range(len(defined[0])))
    listed = ", ".join(few([names[place] for place in left_out], LISTED))
    if left_out:
        notes = (f"labels with one value in a part, left out: {listed}", *notes)
    rows = np.concatenate([rows for _, _, rows in folds])
    return estimate_on_rows(float(np.mean(means)), influence, codes, rows, *notes)


def no_jackknife(*parts: Ints) -> str:
    """Why there is no jackknife, where the rows of a part are in one block, without which none is left."""
    one_block = any(len(np.unique(blocks)) < 2 for blocks in parts)
    return TOO_FEW_PERSONS if one_block else ""


def of_columns(values: Floats) -> Floats:
    """The influence [n, K] of each row of [n, K] on the means of its columns."""
    return (values - values.mean(0)) / np.sqrt(len(values) * max(len(values) - 1, 1))


def blocks_of(codes: Codes, count: int = BLOCKS, draw: int = 0) -> Ints:
    """The block [n] of each row, in a random draw; the pictures of one person are in one."""
    _, who = np.unique(codes.who, return_inverse=True)
    return np.random.default_rng([len(who), draw]).permutation(who.max() + 1)[who] % count


def jackknifed(values: Sequence[float], blocks: Ints, why: str = "", *notes: str) -> Estimate:
    """A number of rows in `blocks` [n], from its value and those without each block in turn.

    There is no error where there are no values without blocks, for the reason `why`, or where one is
    not finite.
    """
    value, *without = values
    error = None
    if without:
        shares = np.bincount(blocks, minlength=len(without)) / len(blocks)
        of_blocks = influences_of(influences(value, np.array(without), shares), "")
        error = Error(math.sqrt(of_blocks[0].variance), math.inf) if of_blocks else None
    return Estimate(float(value), error=error, n=len(blocks), why=why, notes=notes)


def jackknife(statistic: Callable[[Ints], float], codes: Codes, *notes: str) -> Estimate:
    """A statistic of rows of codes, with its error by leaving out one of BLOCKS blocks in turn."""
    rows, blocks = np.arange(len(codes.values)), blocks_of(codes)
    why = no_jackknife(blocks)
    without = (statistic(rows[blocks != block]) for block in range(0 if why else BLOCKS))
    return jackknifed([statistic(rows), *without], blocks, why, *notes)


def rows_and_halves(codes: Codes) -> list[Ints]:
    """All rows, then those of each of two halves, in one of which the pictures of a person are."""
    rows, halves = np.arange(len(codes.values)), blocks_of(codes, 2)
    return [rows, *(rows[halves == half] for half in np.unique(halves))]


def estimate_of_pairs(
    parts: Sequence[tuple[float, Floats, Ints]], codes: Codes, *notes: str
) -> Estimate:
    """A statistic of all rows of codes, with its error from its value and influences [n] on each of
    `rows_and_halves`.

    The sum V of squared influences counts the part of the variance that is of pairs of rows twice
    (Efron and Stein, 1981). Where the first derivatives are near 0, as are those of a rank of equally
    strong dimensions, this is most of it. It falls as 1/n^2, the rest as 1/n. So with the mean W of the
    same sum of two halves of the rows the variance is (6 V - W) / 4, and at least V / 2.
    """
    whole, *halves = (
        estimate_on_rows(value, influence, codes, rows, *notes) for value, influence, rows in parts
    )
    errors = np.array([estimate.stderr or 0.0 for estimate in (whole, *halves)])
    if not errors.all():
        return whole
    scale = max(1.5 - np.square(errors[1:] / errors[0]).mean() / 4, 0.5) ** 0.5
    return with_scaled_error(whole, scale)
