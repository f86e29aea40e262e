"""The Frechet distance of two sets of features, and that of images and their reconstructions, with a
jackknife.

With L L' = S_A, the eigenvalues of S_A S_B are those of L' S_B L. A block of B is removed by
subtracting its rows, multiplied by L, from that matrix: no covariance is computed again. If A [n,
d] has no more rows than dimensions, L is (A - mean)' / sqrt(n - 1), and without a block of A the
eigenvalues are those of a part of the n x n matrix.

Images and their reconstructions are of the same images, so a block is left out of both at once.
Leaving it out of one side alone would raise the distance even of unchanged images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.sets.frechet import Moments, bias_note, frechet_distance
from benchmarks.metrics.sets.jackknife import BLOCKS, InParts, Side, jackknifed
from reports.records.estimate import Estimate

ROUNDING = 1e-12  # of the traces: a smaller distance is zero


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


# ----------------------------------------------------------------------------------------------
# Images and their reconstructions


def paired_jackknife(made: Side, originals: Side) -> InParts[Estimate]:
    """The distance between features of images and of their originals, row by row, in parts: first
    its value, then those without each block.

    Both sides lie in the same blocks. A value is nan if fewer than two images remain without the
    block. Raises UserError if there are fewer than two.
    """
    made.refuse_few("a Frechet distance", originals)
    without = (_few if len(made) <= made.features.shape[1] else _many)(made, originals)

    def joined(values: NDArray[np.float64]) -> Estimate:
        return with_bias_note(made.jackknifed(float(values[0]), values[1:]), made, originals)

    return InParts(1 + BLOCKS, lambda number: np.array(without(number - 1)), joined)


def _few(made: Side, originals: Side) -> Callable[[int], float]:
    """The distance without a block (-1: of all), for no more images than dimensions.

    With rows A and B of centred features over sqrt(n - 1), tr sqrt(S_a S_b) is the sum of the
    singular values of A B' [n, n]. No square root is taken, so that equal sides are at distance
    zero.
    """

    @cache
    def products() -> tuple[Tensor, Tensor, Tensor]:
        a, b = (side.taken(slice(None)) for side in (made, originals))
        mean = b.mean(0)  # subtracted, so that little cancels
        return a - mean, b - mean, (a - mean) @ (b - mean).T

    def without(block: int) -> float:
        kept = made.blocks != block
        n = int(kept.sum())
        if n < 2:
            return float("nan")
        a, b, inner = products()
        roots = torch.linalg.svdvals(centred(inner, kept)).sum() / (n - 1)
        a, b = (rows[torch.from_numpy(kept).to(rows.device)] for rows in (a, b))
        traces = (_spread(a) + _spread(b)) / (n - 1)
        distance = float((a.mean(0) - b.mean(0)).square().sum() + traces - 2 * roots)
        return distance if distance > ROUNDING * traces else 0.0

    return without


def _many(made: Side, originals: Side) -> Callable[[int], float]:
    """The same for more images than dimensions: from the moments of the blocks.

    They are computed twice, as those of all blocks [20, 2, d, d] would be many.
    """

    def of_block(number: int) -> list[Moments]:
        in_block = made.blocks == number
        return [Moments.from_features(side.taken(in_block)) for side in (made, originals)]

    numbers = np.unique(made.blocks).tolist()
    whole = cache(lambda: reduce(_merge, map(of_block, numbers)))

    def without(block: int) -> float:
        sides = whole()
        if block in numbers:
            left_out = of_block(block)
            sides = [side.without(out) for side, out in zip(sides, left_out, strict=True)]
        return frechet_distance(*sides)

    return without


def _merge(sides: list[Moments], others: list[Moments]) -> list[Moments]:
    return [side.merge(other) for side, other in zip(sides, others, strict=True)]


def _spread(rows: Tensor) -> float:
    return float((rows - rows.mean(0)).square().sum())
