"""The Frechet distance between images and their reconstructions, with a jackknife.

Both sides come from the same images, so a block is left out of both at once. Leaving it out of one
side alone would raise the distance even of unchanged images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.frechet import Moments, frechet_distance
from benchmarks.metrics.frechet_jackknife import BLOCKS, influences, shares_of
from diffae.system.errors import UserError

Floats = NDArray[np.floating]
ROUNDING = 1e-12  # of the traces: a smaller distance is zero


@dataclass(frozen=True)
class PairedJackknife:
    """A distance, its values [BLOCKS] without each block, and the blocks' shares of the images."""

    value: float
    without: NDArray[np.float64]
    shares: NDArray[np.float64]

    @property
    def influences(self) -> NDArray[np.float64]:
        """The influence [BLOCKS] of each block (as `frechet_jackknife.influences`)."""
        return influences(self.value, self.without, self.shares)


def paired_jackknife(made: Floats, originals: Floats, blocks: NDArray[np.int64]) -> PairedJackknife:
    """The distance between features [n, d] of images and of their originals, row by row.

    The rows lie in the blocks [n]. A value is nan if fewer than two images remain without the
    block. Raises UserError if there are fewer than two.
    """
    if len(made) < 2:
        raise UserError("a Frechet distance needs at least two images on each side")
    of = _few if len(made) <= made.shape[1] else _many
    value, *without = of(made, originals, blocks)
    return PairedJackknife(value, np.array(without), shares_of(blocks))


def _few(made: Floats, originals: Floats, blocks: NDArray[np.int64]) -> Iterator[float]:
    """For no more images than dimensions.

    With rows A and B of centred features over sqrt(n - 1), tr sqrt(S_a S_b) is the sum of the
    singular values of A B' [n, n]. No square root is taken, so that equal sides are at distance
    zero.
    """
    mean = originals.mean(0, dtype=np.float64)  # centred, so that little cancels
    a, b = (side.astype(np.float64) - mean for side in (made, originals))
    inner = a @ b.T
    for left_out in range(-1, BLOCKS):  # all rows, then all but those of each block in turn
        kept = blocks != left_out
        n = int(kept.sum())
        if n < 2:
            yield float("nan")
            continue
        part = inner[np.ix_(kept, kept)]
        centred = part - part.mean(0) - part.mean(1, keepdims=True) + part.mean()
        roots = np.linalg.svd(centred, compute_uv=False).sum() / (n - 1)
        traces = (_spread(a[kept]) + _spread(b[kept])) / (n - 1)
        means = np.square(a[kept].mean(0) - b[kept].mean(0)).sum()
        distance = float(means + traces - 2 * roots)
        yield distance if distance > ROUNDING * traces else 0.0


def _many(made: Floats, originals: Floats, blocks: NDArray[np.int64]) -> Iterator[float]:
    """For more images than dimensions: from the moments of the blocks.

    They are computed twice, as those of all blocks [20, 2, d, d] would be many.
    """

    def of_block(number: int) -> list[Moments]:
        return [Moments.from_features(side[blocks == number]) for side in (made, originals)]

    numbers = np.unique(blocks).tolist()
    a, b = reduce(_merge, map(of_block, numbers))
    value = frechet_distance(a, b)
    yield value
    for number in range(BLOCKS):
        if number in numbers:
            of_a, of_b = of_block(number)
            yield frechet_distance(a.without(of_a), b.without(of_b))
        else:
            yield value


def _merge(sides: list[Moments], others: list[Moments]) -> list[Moments]:
    return [one.merge(other) for one, other in zip(sides, others, strict=True)]


def _spread(rows: NDArray[np.float64]) -> float:
    return float(np.square(rows - rows.mean(0)).sum())
