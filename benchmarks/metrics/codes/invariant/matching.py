"""Codes and factors matched one to one: `mcc`, along axes, and `cca`, along any directions.

Both are means over factors, of correlations on rows that the match was not made on; an error is over
these rows, with the match fixed. A label of classes counts as the number of its class.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.metrics.codes.data import Codes, Floats, Found, Ints, Kind, Labels, parts
from benchmarks.metrics.codes.errors import found
from benchmarks.metrics.codes.invariant.linear import Linear, measured, pearson, regressions
from benchmarks.metrics.codes.number import Number


@dataclass(frozen=True)
class Mcc:
    """The mean correlation coefficient, of Pearson's correlations.

    rows  "held out": dimensions are assigned on all other rows and scored on the test rows;
          "in-sample": both on all rows
    """

    rows: Literal["held out", "in-sample"] = "held out"


class Cca(Linear):
    """The choices of `cca`: the penalty is the one of the largest mean correlation."""


def mcc(codes: Codes, how: Mcc, seed: int) -> Found:
    """The mean correlation of each factor with the dimension that is assigned to it, so that the sum of
    absolute correlations is the largest, with the sign that it has there.

    Factors without a dimension, where there are fewer, count as 0.
    """
    assert codes.labels is not None
    test = fitted = np.arange(len(codes.values))
    if how.rows == "held out":
        test = parts(codes, seed).test
        fitted = np.setdiff1d(fitted, test)

    x, y = codes.values, codes.labels.values
    each = [pearson(x[fitted], np.repeat(one[:, None], x.shape[1], 1))[0] for one in y[fitted].T]
    matrix = np.nan_to_num(each)  # K x d
    pairs = linear_sum_assignment(-np.abs(matrix))
    r, influence = pearson(x[test][:, pairs[1]], y[test][:, pairs[0]])
    signs = np.sign(matrix[pairs]) / y.shape[1]
    return found(np.nan_to_num(r) @ signs, np.nan_to_num(influence) @ signs, codes, test)


def cca(codes: Codes, how: Cca, seed: int) -> Found:
    """The mean canonical correlation of codes and labels; those that the code has too few dimensions
    for count as 0.

    The directions are those of the fitted rows: of the labels, whitened, the principal axes of what
    a ridge regression predicts of them, and of the codes, its weights along these. Without a penalty
    they are those of the canonical correlation analysis (Hotelling 1936).
    """
    assert codes.labels is not None
    y = codes.labels.values - codes.labels.values.mean(0)
    u, s, _ = np.linalg.svd(y, full_matrices=False)
    rank = int((s > s[0] * 1e-10).sum())
    white = Labels(u[:, :rank], codes.labels.names[:rank], codes.labels.kinds[:rank])

    def fits(x: Floats, y: Floats, fitted: Ints, *more: Any) -> Iterator[Floats]:
        for one in regressions(x, y, fitted, *more):
            centred = one - one[fitted].mean(0)
            _, s, axes = np.linalg.svd(centred[fitted], full_matrices=False)
            there = s > s[0] * 1e-6  # a code of fewer dimensions than labels has fewer correlations
            yield np.hstack([centred @ axes.T * there, y @ axes.T])

    def correlations(both: Floats, _: Floats) -> tuple[Floats, Floats]:
        return pearson(*np.hsplit(both, 2))

    return measured(replace(codes, labels=white), how, seed, fits, correlations)


ANY: tuple[Kind, ...] = ("binary", "classes", "real")
NUMBERS = {"mcc": Number(Mcc, mcc, ANY), "cca": Number(Cca, cca, ANY)}
