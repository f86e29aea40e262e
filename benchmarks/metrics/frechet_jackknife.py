"""The Frechet distance between two sets of features, and how much each block of either moves it.

A delete-a-block jackknife (Efron and Stein, 1981): the distance is taken again without each block of the
samples, and without each block of the reference. Never a bootstrap, whose repeated images raise the distance.

Blocks differ in size: persons have several pictures, and of a pool of samples only some are accepted. The distance
falls as 1/n, so without a large block it rises by more than without a small one, which says nothing of chance.
Pseudo-values for blocks of unequal size (Busing, Meijer and van der Leeden, 1999) are free of it: see `influences`.

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
    """A distance, its values [BLOCKS] without each block of one side and of the other, and the blocks' shares."""

    value: float
    without_samples: NDArray[np.float64]
    without_reference: NDArray[np.float64]
    sample_shares: NDArray[np.float64]
    reference_shares: NDArray[np.float64]

    @property
    def of_samples(self) -> NDArray[np.float64]:
        """The influence [BLOCKS] of each block of the samples."""
        return influences(self.value, self.without_samples, self.sample_shares)

    @property
    def of_reference(self) -> NDArray[np.float64]:
        """The influence [BLOCKS] of each block of the reference."""
        return influences(self.value, self.without_reference, self.reference_shares)


def influences(value: float, without: NDArray, shares: NDArray) -> NDArray[np.float64]:
    """How far each block moved a number: its squares sum to the number's variance.

    `without` are its values without each block and `shares` f the blocks' parts of the whole. A block's own
    part of the number is p = value - (1 - f) without, in which a bias of the order 1/n cancels whatever the
    block's size; its influence is (p - f sum(p)) / sqrt(1 - sum(f^2)). With blocks of one size this is the plain
    jackknife, and of a mean its usual standard error. nan where one block is all.
    """
    if shares.max() >= 1:
        return np.full(len(shares), math.nan)
    own = value - (1 - shares) * without
    return (own - shares * own.sum()) / math.sqrt(1 - np.square(shares).sum())


def blocks_of(count: int) -> NDArray[np.int64]:
    """The block of each of `count` positions, dealt in turn: any first few of them are spread over all blocks."""
    return np.arange(count) % BLOCKS


def shares_of(blocks: NDArray[np.int64]) -> NDArray[np.float64]:
    """The part [BLOCKS] of the rows that lies in each block."""
    return np.bincount(blocks, minlength=BLOCKS) / max(len(blocks), 1)


def jackknife(
    samples: Floats, reference: Floats, sample_blocks: NDArray, reference_blocks: NDArray
) -> Jackknife:
    """The Frechet distance of features [n, d] and [m, d], whose rows lie in the blocks [n] and [m] given.

    Blocks are numbered from 0 to BLOCKS - 1; without an empty one the distance is what it is. Raises
    UserError if either side has fewer than two rows.
    """
    shares = shares_of(sample_blocks), shares_of(reference_blocks)
    if len(reference) < len(samples):
        value, right, left = _left_out_of_both(reference, samples, reference_blocks, sample_blocks)
        return Jackknife(value, left, right, *shares)
    return Jackknife(
        *_left_out_of_both(samples, reference, sample_blocks, reference_blocks), *shares
    )


def _left_out_of_both(
    samples: Floats, reference: Floats, sample_blocks: NDArray, reference_blocks: NDArray
) -> tuple[float, NDArray, NDArray]:
    """The distance, and its values without each block of the samples (the smaller side) and of the reference."""
    n, d = samples.shape
    if n < 2:
        raise UserError("a Frechet distance needs at least two images on each side")
    compute = _low_rank if n <= d else _full_rank
    return compute(samples, reference, sample_blocks, reference_blocks)


def _full_rank(
    samples: Floats, reference: Floats, sample_blocks: NDArray, reference_blocks: NDArray
) -> tuple[float, NDArray, NDArray]:
    a, b = Moments.from_features(samples), Moments.from_features(reference)
    value = frechet_distance(a, b)

    def without(rows: NDArray, whole: Moments, features: Floats, other: Moments) -> float:
        return frechet_distance(whole.without(Moments.from_features(features[rows])), other)

    return (
        value,
        _left_out(sample_blocks, value, lambda rows: without(rows, a, samples, b)),
        _left_out(reference_blocks, value, lambda rows: without(rows, b, reference, a)),
    )


def _low_rank(
    samples: Floats, reference: Floats, sample_blocks: NDArray, reference_blocks: NDArray
) -> tuple[float, NDArray, NDArray]:
    a, r = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    b = Moments.from_features(r)
    whole = _Side(b.n, b.mean, a @ b.scatter @ a.T, float(np.trace(b.scatter)))
    value = _distance(a, whole)
    return (
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
