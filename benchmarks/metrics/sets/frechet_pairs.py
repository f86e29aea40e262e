"""The Frechet distance between images and their reconstructions, with a jackknife.

Both sides come from the same images, so a block is left out of both at once. Leaving it out of one
side alone would raise the distance even of unchanged images.
"""

from collections.abc import Callable
from functools import cache, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.sets.frechet import Moments, frechet_distance
from benchmarks.metrics.sets.jackknife import (
    BLOCKS,
    InParts,
    Side,
    centred,
    influences,
    with_bias_note,
)
from reports.records.estimate import Estimate, Influence

ROUNDING = 1e-12  # of the traces: a smaller distance is zero


def jackknifed_pairs(value: float, without: NDArray[np.float64], made: Side) -> Estimate:
    """The estimate of a distance of pairs from its values [BLOCKS] without each block of them."""
    influence = influences(value, without, made.shares)
    return Estimate(value, (Influence(made.units, influence),), n=len(made))


def paired_jackknife(made: Side, originals: Side) -> InParts[Estimate]:
    """The distance between features of images and of their originals, row by row, in parts: first
    its value, then those without each block.

    Both sides lie in the same blocks. A value is nan if fewer than two images remain without the
    block. Raises UserError if there are fewer than two.
    """
    made.refuse_few("a Frechet distance", originals)
    without = (_few if len(made) <= made.features.shape[1] else _many)(made, originals)

    def joined(values: NDArray[np.float64]) -> Estimate:
        estimate = jackknifed_pairs(float(values[0]), values[1:], made)
        return with_bias_note(estimate, made, originals)

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
