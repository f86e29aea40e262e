"""The Frechet distance between two sets of features, and how much each block of either moves it.

A delete-a-block jackknife (Efron and Stein, 1981): the distance is taken again without each block of the
samples, and without each block of the reference. Never a bootstrap, whose repeated images raise the distance.

With no more rows than dimensions on one side, A [n, d], the eigenvalues of S_A S_B are those of the n x n
matrix (A - mean) S_B (A - mean)' / (n - 1), and without a block of A those of a part of it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.frechet import Moments, frechet_distance
from diffae.errors import UserError

Floats = NDArray[np.floating]
BLOCKS = 20


@dataclass(frozen=True)
class Jackknife:
    """A distance, and its values [BLOCKS] without each block of one side and of the other."""

    value: float
    without_samples: NDArray[np.float64]
    without_reference: NDArray[np.float64]


def blocks_of(count: int) -> NDArray[np.int64]:
    """The block of each of `count` positions: BLOCKS of about equal size, in order."""
    return np.arange(count) * BLOCKS // max(count, 1)


def jackknife(
    samples: Floats, reference: Floats, sample_blocks: NDArray, reference_blocks: NDArray
) -> Jackknife:
    """The Frechet distance of features [n, d] and [m, d], whose rows lie in the blocks [n] and [m] given.

    Blocks are numbered from 0 to BLOCKS - 1; without an empty one the distance is what it is. Raises
    UserError if either side has fewer than two rows.
    """
    if len(reference) < len(samples):
        swapped = jackknife(reference, samples, reference_blocks, sample_blocks)
        return Jackknife(swapped.value, swapped.without_reference, swapped.without_samples)
    n, d = samples.shape
    if n < 2:
        raise UserError("a Frechet distance needs at least two images on each side")
    compute = _low_rank if n <= d else _full_rank
    return compute(samples, reference, sample_blocks, reference_blocks)


def _full_rank(
    samples: Floats, reference: Floats, sample_blocks: NDArray, reference_blocks: NDArray
) -> Jackknife:
    a, b = Moments.from_features(samples), Moments.from_features(reference)
    value = frechet_distance(a, b)

    def without(rows: NDArray, whole: Moments, features: Floats, other: Moments) -> float:
        return frechet_distance(whole.without(Moments.from_features(features[rows])), other)

    return Jackknife(
        value,
        _left_out(sample_blocks, value, lambda rows: without(rows, a, samples, b)),
        _left_out(reference_blocks, value, lambda rows: without(rows, b, reference, a)),
    )


def _low_rank(
    samples: Floats, reference: Floats, sample_blocks: NDArray, reference_blocks: NDArray
) -> Jackknife:
    a, r = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    b = Moments.from_features(r)
    whole = _Side(b.n, b.mean, a @ b.scatter @ a.T, float(np.trace(b.scatter)))
    value = _distance(a, whole)
    return Jackknife(
        value,
        _left_out(sample_blocks, value, lambda rows: _distance(a[~rows], whole.seen_by(~rows))),
        _left_out(reference_blocks, value, lambda rows: _distance(a, whole.without(a, r[rows]))),
    )


def _left_out(
    blocks: NDArray, value: float, without: Callable[[NDArray], float]
) -> NDArray[np.float64]:
    """`without` the rows of each block in turn; `value` for an empty one, nan where no two rows are left."""
    return np.array(
        [
            value if not rows.any() else without(rows) if (~rows).sum() > 1 else math.nan
            for rows in (blocks == block for block in range(BLOCKS))
        ]
    )


@dataclass(frozen=True)
class _Side:
    """What the distance of rows a [n, d] needs to know of the other side's moments: `gram` is a scatter a'."""

    count: int
    mean: Floats
    gram: Floats
    trace: float

    def seen_by(self, rows: NDArray) -> "_Side":
        """The same for a part of the rows of a."""
        return replace(self, gram=self.gram[np.ix_(rows, rows)])

    def without(self, a: Floats, block: Floats) -> "_Side":
        """The same without some of the other side's rows (as `Moments.without`)."""
        rest = self.count - len(block)
        mean = block.mean(0)
        delta, factor = mean - self.mean, self.count * len(block) / rest
        centred, along = block - mean, a @ delta
        seen = a @ centred.T
        return _Side(
            rest,
            self.mean - delta * (len(block) / rest),
            self.gram - seen @ seen.T - factor * np.outer(along, along),
            self.trace - float(np.square(centred).sum() + factor * delta @ delta),
        )


def _distance(a: Floats, other: _Side) -> float:
    n, m = len(a), other.count
    gram = other.gram / (m - 1)
    centred = gram - gram.mean(0) - gram.mean(1, keepdims=True) + gram.mean()
    roots = np.sqrt((np.linalg.eigvalsh(centred) / (n - 1)).clip(min=0)).sum()
    mean = a.mean(0)
    traces = np.square(a - mean).sum() / (n - 1) + other.trace / (m - 1)
    return float(np.square(mean - other.mean).sum() + traces - 2 * roots)
