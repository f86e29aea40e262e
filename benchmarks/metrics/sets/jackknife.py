"""The jackknife of a Frechet distance: the influence of each block of either side on it.

A delete-a-block jackknife (Efron and Stein, 1981): the distance is computed again without each
block of the samples, and without each block of the reference. A bootstrap would repeat images,
which raises the distance.

Blocks differ in size: persons have several pictures, and of a pool of samples only some are
accepted. The distance falls as 1/n, so leaving out a large block raises it by more than leaving out
a small one, which says nothing about chance. Pseudo-values for blocks of unequal size (Busing,
Meijer and van der Leeden, 1999) avoid this: see `influences`.

With L L' = S_A, the eigenvalues of S_A S_B are those of L' S_B L. A block of B is removed by
subtracting its rows, multiplied by L, from that matrix: no covariance is computed again. If A [n,
d] has no more rows than dimensions, L is (A - mean)' / sqrt(n - 1), and without a block of A the
eigenvalues are those of a part of the n x n matrix.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial, reduce
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.sets.frechet import ROWS, Moments, bias_note, refuse_not_finite
from benchmarks.runtime.digest import digest
from diffae.system.errors import UserError
from reports.records.estimate import Estimate, Influence

Floats = NDArray[np.floating]
T = TypeVar("T")
BLOCKS = 20
CPU = torch.device("cpu")


@dataclass(frozen=True)
class InParts(Generic[T]):
    """A computation in `count` independent parts, for several processes to share: `part(i)` is an
    array, of one shape for all i, and `joined` takes all of them [count, ...].

    With `first_is_value` it also takes the first alone, of which it makes the value without an error.
    """

    count: int
    part: Callable[[int], NDArray[np.float64]]
    joined: Callable[[NDArray[np.float64]], T]
    first_is_value: bool = False

    def whole(self) -> T:
        """What the parts make together, computed here one after the other."""
        return self.joined(np.array([self.part(i) for i in range(self.count)]))


def influences(value: float, without: NDArray, shares: NDArray) -> NDArray[np.float64]:
    """The influence of each block on a number: their squares sum to the number's variance.

    `without` are its values without each block and `shares` f the blocks' shares of the whole. A
    block's own part of the number is p = value - (1 - f) without, in which a bias of the order 1/n
    cancels whatever the block's size; its influence is (p - f sum(p)) / sqrt(1 - sum(f^2)). With
    blocks of one size this is the plain jackknife, and for a mean its usual standard error. nan if
    one block is everything.
    """
    if shares.max() >= 1:
        return np.full(len(shares), math.nan)
    own = value - (1 - shares) * without
    return (own - shares * own.sum()) / math.sqrt(1 - np.square(shares).sum())


def blocks_of(count: int) -> NDArray[np.int64]:
    """The blocks of `count` positions, dealt in turn.

    So any first few positions are spread over all blocks.
    """
    return np.arange(count) % BLOCKS


def shares_of(blocks: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share [BLOCKS] of the rows that lies in each block."""
    return np.bincount(blocks, minlength=BLOCKS) / max(len(blocks), 1)


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a distance: some rows of a matrix of features.

    features    [N, d]
    rows        the rows [n] of this side
    blocks      the block [n] of each of them
    units       identifies the blocks, so that two runs can be compared. Both sides have the same
                units if their blocks hold the same images or persons: then these are one source of error
    device      where the rows are processed in float64, a few at a time
    drawn_from  the blocks of all rows from which these were taken at random, if their number is
                random too; else None

    What is computed from it is cached, so that a side of many comparisons is reduced once. Raises
    UserError if a row is not finite.
    """

    features: Floats
    rows: NDArray[np.int64]
    blocks: NDArray[np.int64]
    units: str = ""
    device: torch.device = CPU
    drawn_from: NDArray[np.int64] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for rows in self.parts():
            refuse_not_finite(rows)

    @staticmethod
    def of(
        features: Floats, blocks: NDArray[np.int64], units: str = "", device: torch.device = CPU
    ) -> "Side":
        """A side of all rows of features [n, d]."""
        return Side(features, np.arange(len(features)), blocks, units, device)

    def __len__(self) -> int:
        return len(self.rows)

    def refuse_few(self, title: str, reference: "Side") -> None:
        """Raises UserError if a distance of this title has fewer than two images on a side."""
        fewest = min(len(self), len(reference))
        if fewest < 2:
            raise UserError(f"{title} needs two images on each side, not {fewest}")

    def first(self, count: int) -> "Side":
        """The first rows, `count` of them or all."""
        return replace(self, rows=self.rows[:count], blocks=self.blocks[:count])

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share [BLOCKS] of each block in the rows, or in those that they were drawn from."""
        return shares_of(self.blocks if self.drawn_from is None else self.drawn_from)

    def parts(self) -> Iterator[Floats]:
        """All rows in order, a few at a time."""
        starts = range(0, max(len(self), 1), ROWS)
        return (self.features[self.rows[start : start + ROWS]] for start in starts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rows."""
        return digest(*self.parts())

    def taken(self, positions: NDArray[np.bool_] | slice) -> Tensor:
        """Some of the rows, in float64 on the device: a copy, which is aligned as NumPy's are not."""
        features = torch.from_numpy(self.features[self.rows[positions]])
        return features.to(self.device).to(torch.float64, copy=True)

    @cached_property
    def moments(self) -> Moments:
        parts = (torch.from_numpy(part).to(self.device) for part in self.parts())
        return reduce(Moments.merge, map(Moments.from_features, parts))

    @cached_property
    def factor(self) -> Tensor:
        """L [d, r] with L L' = covariance."""
        if self.moments.full_rank:
            return self.moments.factor
        return (self.taken(slice(None)) - self.moments.mean).T / math.sqrt(len(self) - 1)


def jackknifed(
    value: float,
    without_samples: NDArray[np.float64],
    without_reference: NDArray[np.float64],
    samples: Side,
    reference: Side,
) -> Estimate:
    """The estimate of a distance from its values [BLOCKS] without each block of either side.

    The sides are two sources of error, or one if their blocks are the same units: a block is then
    left out of both at once.
    """
    of_samples = influences(value, without_samples, samples.shares)
    of_reference = influences(value, without_reference, reference.shares)
    if samples.units and samples.units == reference.units:
        of_both = Influence(samples.units, of_samples + of_reference)
        return Estimate(value, (of_both,), n=len(samples))
    sources = Influence(samples.units, of_samples), Influence(reference.units, of_reference)
    return Estimate(value, sources, n=len(samples))


def with_bias_note(estimate: Estimate, samples: Side, reference: Side) -> Estimate:
    """The estimate of a Frechet distance, with a note if it has too few images."""
    note = bias_note(min(len(samples), len(reference)), samples.features.shape[1])
    return replace(estimate, notes=(note,)) if note else estimate


def between(samples: Side, reference: Side) -> InParts[Estimate]:
    """The Frechet distance of two sides, in parts: first its value, then those without each block of
    the samples and of the reference.

    Blocks are numbered from 0 to BLOCKS - 1; leaving out an empty one changes nothing, and a value
    is nan if fewer than two rows remain. Each value takes the eigenvalues of a matrix: without its
    error a distance takes one part instead of 41. Raises UserError if either side has fewer than
    two rows.
    """
    samples.refuse_few("a Frechet distance", reference)
    swapped = len(reference) < len(samples)
    small, large = (reference, samples) if swapped else (samples, reference)
    seen, other = (cache(partial(_Seen.through, *s)) for s in ((small, large), (large, small)))

    def without(of_large: bool, block: int) -> float:
        out = (large if of_large else small).blocks == block
        if not out.any():
            return seen().distance()
        if (~out).sum() < 2:
            return math.nan
        if of_large:
            return seen().without(large.taken(out)).distance()
        if small.moments.full_rank:
            return other().without(small.taken(out)).distance()
        return seen().by_rest(small, out).distance()

    def part(number: int) -> NDArray[np.float64]:
        of_reference, block = divmod(number - 1, BLOCKS)
        return np.array(without(swapped != of_reference, block) if number else seen().distance())

    def joined(values: NDArray[np.float64]) -> Estimate:
        value = float(values[0])
        estimate = Estimate(value, n=len(samples))
        if len(values) > 1:
            without_samples, without_reference = np.split(values[1:], 2)
            estimate = jackknifed(value, without_samples, without_reference, samples, reference)
        return with_bias_note(estimate, samples, reference)

    return InParts(1 + 2 * BLOCKS, part, joined, first_is_value=True)


@dataclass(frozen=True)
class _Spread:
    """Count and mean of some rows, and the sum of their squared distances from the mean."""

    count: int
    mean: Tensor
    squares: float

    @staticmethod
    def of(moments: Moments) -> "_Spread":
        return _Spread(moments.n, moments.mean, float(moments.scatter.trace()))

    def without(self, block: Tensor) -> "_Spread":
        """The same without some of the rows (as `Moments.without`)."""
        rest, mean = self.count - len(block), block.mean(0)
        delta = mean - self.mean
        between = self.count * len(block) / rest * float(delta @ delta)
        squares = self.squares - float((block - mean).square().sum()) - between
        return _Spread(rest, self.mean - delta * (len(block) / rest), squares)


@dataclass(frozen=True)
class _Seen:
    """One side projected by the other's factor L [d, r]: `gram` [r, r] is L' scatter L."""

    factor: Tensor
    by: _Spread
    side: _Spread
    gram: Tensor

    @staticmethod
    def through(by: Side, side: Side) -> "_Seen":
        factor, moments = by.factor, side.moments
        gram = factor.T @ moments.scatter @ factor
        return _Seen(factor, _Spread.of(by.moments), _Spread.of(moments), gram)

    def without(self, block: Tensor) -> "_Seen":
        """The same without some of the side's rows."""
        rest = self.side.without(block)
        mean = block.mean(0)
        seen, along = (block - mean) @ self.factor, (mean - self.side.mean) @ self.factor
        between = self.side.count * len(block) / rest.count
        gram = self.gram - seen.T @ seen - between * torch.outer(along, along)
        return replace(self, side=rest, gram=gram)

    def by_rest(self, by: Side, out: NDArray[np.bool_]) -> "_Seen":
        """The same with some rows of `by`, from which the factor is made, left out."""
        rest = self.by.without(by.taken(out))
        gram = centred(self.gram, ~out) * ((self.by.count - 1) / (rest.count - 1))
        return replace(self, by=rest, gram=gram)

    def distance(self) -> float:
        """The distance, from as many eigenvalues as the rank allows.

        The others are rounding noise, whose root is not taken.
        """
        n, m = self.by.count, self.side.count
        rank = min(n - 1, m - 1, len(self.side.mean))
        roots = torch.linalg.eigvalsh(self.gram / (m - 1))[-rank:].clamp(min=0).sqrt().sum()
        traces = self.by.squares / (n - 1) + self.side.squares / (m - 1)
        return float((self.by.mean - self.side.mean).square().sum() + traces - 2 * roots)


def centred(inner: Tensor, kept: NDArray[np.bool_]) -> Tensor:
    """The inner products of some of the rows of both sides, with their own means subtracted."""
    positions = torch.from_numpy(kept).to(inner.device)
    part = inner[positions][:, positions]
    return part - part.mean(0) - part.mean(1, keepdim=True) + part.mean()
