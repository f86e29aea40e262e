"""Standard errors of numbers of codes: over images, or over persons where they are known."""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.metrics.codes.data import Codes, Floats, Found, Ints
from benchmarks.metrics.frechet_jackknife import BLOCKS, influences
from diffae.system.errors import UserError
from reports.records.estimate import Estimate, influences_of, influences_of_groups
from reports.records.reading import few

LISTED = 6  # names of labels in a note

# Of a fold: the scores [K] of labels, nan if undefined, the influence [n, K] of the rows that are
# scored, and these rows [n].
Scored = tuple[Floats, Floats, Ints]

ALL_SAME = "every label is the same on all rows that are fitted on, or scored"


def found(value: float, influence: Floats, codes: Codes, rows: Ints, *notes: str) -> Found:
    """A number of these rows of codes, with its error from the influence [n] of each row.

    The error is None where an influence is not finite, or where there is one person.
    """
    known = Estimate(None, influences_of_groups(influence, codes.who[rows], "")).error
    stderr = known.stderr if known else None
    return Found(float(value), len(rows), stderr, codes.units, notes, influence, rows)


def mean_of_labels(scores: Sequence[Scored], codes: Codes, *notes: str) -> Found:
    """The mean over labels, and over folds, with its error over the rows that are scored.

    A label without a score in a fold is left out there. Raises UserError if none has one.
    """
    known = [np.isfinite(values) for values, _, _ in scores]
    if not all(one.any() for one in known):
        raise UserError(ALL_SAME)
    means = [values[k].mean() for (values, _, _), k in zip(scores, known, strict=True)]
    each = [influence[:, k].mean(1) for (_, influence, _), k in zip(scores, known, strict=True)]
    influence = np.concatenate(each) / len(scores)
    left_out = np.flatnonzero(~np.all(known, axis=0)).tolist()
    names = codes.labels.names if codes.labels else ()
    if len(names) != len(known[0]):  # scores of other things, such as the classes of a label
        names = tuple(f"number {place}" for place in range(len(known[0])))
    listed = ", ".join(few([names[place] for place in left_out], LISTED))
    more = [f"labels with one value in a part, left out: {listed}"] if left_out else []
    rows = np.concatenate([rows for _, _, rows in scores])
    return found(float(np.mean(means)), influence, codes, rows, *more, *notes)


def of_one(*parts: Ints) -> tuple[str, ...]:
    """A note where the rows of a part are in one block, without which none is left: no jackknife."""
    return ("no error: too few persons",) * any(len(np.unique(blocks)) < 2 for blocks in parts)


def of_columns(values: Floats) -> Floats:
    """The influence [n, K] of each row of [n, K] on the means of its columns."""
    return (values - values.mean(0)) / np.sqrt(len(values) * max(len(values) - 1, 1))


def blocks_of(codes: Codes, count: int = BLOCKS, draw: int = 0) -> Ints:
    """The block [n] of each row, in a random draw; the pictures of one person are in one."""
    _, who = np.unique(codes.who, return_inverse=True)
    return np.random.default_rng([len(who), draw]).permutation(who.max() + 1)[who] % count


def jackknifed(values: Sequence[float], codes: Codes, blocks: Ints, *notes: str) -> Found:
    """A number of rows in `blocks` [n], from its value and those without each block in turn.

    Its error is None where there are no values without blocks, or one is not finite.
    """
    value, *without = values
    if not without:
        return Found(float(value), len(blocks), notes=notes)
    shares = np.bincount(blocks, minlength=len(without)) / len(blocks)
    known = Estimate(None, influences_of(influences(value, np.array(without), shares), "")).error
    stderr = known.stderr if known else None
    return Found(float(value), len(blocks), stderr, codes.units, notes)


def jackknife(statistic: Callable[[Ints], float], codes: Codes, *notes: str) -> Found:
    """A statistic of rows of codes, with its error by leaving out one of BLOCKS blocks in turn."""
    rows, blocks = np.arange(len(codes.values)), blocks_of(codes)
    alone = of_one(blocks)
    without = (statistic(rows[blocks != block]) for block in range(0 if alone else BLOCKS))
    return jackknifed([statistic(rows), *without], codes, blocks, *notes, *alone)


def of_pairs(statistic: Callable[[Ints], tuple[float, Floats]], codes: Codes, *notes: str) -> Found:
    """A statistic of rows of codes, with its error from its value and influences [n] on given rows.

    The sum V of squared influences counts the part of the variance that is of pairs of rows twice
    (Efron and Stein, 1981). Where the first derivatives are near 0, as are those of a rank of equally
    strong dimensions, this is most of it. It falls as 1/n^2, the rest as 1/n. So with the mean W of the
    same sum of two halves of the rows the variance is (6 V - W) / 4, and at least V / 2.
    """
    rows, halves = np.arange(len(codes.values)), blocks_of(codes, 2)
    some = (rows, *(rows[halves == half] for half in np.unique(halves)))
    whole, *each = (found(*statistic(part), codes, part, *notes) for part in some)
    errors = np.array([one.stderr or 0.0 for one in (whole, *each)])
    if not errors.all():
        return whole
    scale = max(1.5 - np.square(errors[1:] / errors[0]).mean() / 4, 0.5) ** 0.5
    return found(whole.value, scale * np.asarray(whole.influence), codes, rows, *notes)
