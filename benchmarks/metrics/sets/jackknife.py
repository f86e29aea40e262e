"""The jackknife of a distance: the influence of each block of either side on it.

A delete-a-block jackknife (Efron and Stein, 1981): the distance is computed again without each
block of the samples, and without each block of the reference. A bootstrap would repeat images,
which raises the distance.

Blocks differ in size: persons have several pictures, and of a pool of samples only some are
accepted. The distance falls as 1/n, so leaving out a large block raises it by more than leaving out
a small one, which says nothing about chance. Pseudo-values for blocks of unequal size (Busing,
Meijer and van der Leeden, 1999) avoid this: see `influences`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.sets.frechet import ROWS, Moments, refuse_not_finite
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

    def jackknifed(self, value: float, without: NDArray[np.float64]) -> Estimate:
        """The estimate of a number of these rows from its values [BLOCKS] without each of their blocks."""
        influence = influences(value, without, self.shares)
        return Estimate(value, (Influence(self.units, influence),), n=len(self))

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
