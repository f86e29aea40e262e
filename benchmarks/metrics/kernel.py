"""The kernel distance between two sets of features; with Inception's features it is KID.

Binkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", 2018: the squared maximum mean
discrepancy with the kernel k(x, y) = (x.y / d + 1)^3. For features x [n, d] and y [m, d]

    sum_{i != j} k(x_i, x_j) / (n (n - 1)) + sum_{i != j} k(y_i, y_j) / (m (m - 1))
        - 2 sum_{i, j} k(x_i, y_j) / (n m)

No row is paired with itself, so the estimate has no bias at any n. It is below zero about every
second time for two sets of one distribution.

`between` is this estimate over all pairs, with the jackknife that `frechet_jackknife` describes:
the sums without a block follow from the kernel's sums over pairs of blocks, so one pass gives all
values. `over_subsets` is the mean over random subsets that torch-fidelity and others print.
`paired` is for images and their reconstructions, `cmmd` for the embeddings of CLIP.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.frechet_jackknife import (
    BLOCKS,
    Floats,
    Jackknife,
    Side,
    blocks_of,
    shares_of,
)
from benchmarks.metrics.frechet_pairs import PairedJackknife
from diffae.system.errors import UserError

ROWS = 2048  # the kernel is computed for so many rows of either side at once
SEED = 2020  # of torch-fidelity's subsets
SIGMA, SCALE = 10.0, 1_000.0  # of CMMD

Sums = NDArray[np.float64]
Kernel = Callable[[Sums, Sums], Sums]  # rows [n, d] and [m, d] -> [n, m]
Parts = Iterator[tuple[Sums, Sums]]


def polynomial(x: Sums, y: Sums) -> Sums:
    """(x.y / d + 1)^3 of each row of [n, d] with each of [m, d]: [n, m]."""
    inner = x @ y.T / x.shape[1] + 1
    return inner * inner * inner


def gaussian(x: Sums, y: Sums) -> Sums:
    """exp(-|x - y|^2 / (2 sigma^2)) of the rows of [n, d] and [m, d], each divided by its length."""
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
    return np.exp((x @ y.T - 1) / SIGMA**2)


def between(samples: Side, reference: Side) -> Jackknife:
    """The kernel distance of two sides, in float64.

    Blocks are numbered from 0 to BLOCKS - 1; leaving out an empty one changes nothing, and a value
    is nan if fewer than two rows remain. Memory beyond the features is that of ROWS rows of either
    side. Raises UserError if either side has fewer than two rows.
    """
    return _jackknife(samples, reference, polynomial, _unbiased)


def cmmd(samples: Side, reference: Side) -> Jackknife:
    """CMMD of two sides of CLIP's image embeddings, in the same way.

    Jayasumana et al., "Rethinking FID", 2024; sayakpaul/cmmd-pytorch@f7673a9 distance.py: 1,000
    times the squared MMD with `gaussian`. Each row is paired with itself too, so it is biased
    upwards, by the order of 1 / n.
    """
    return _jackknife(samples, reference, gaussian, _biased)


def paired(made: Floats, originals: Floats, blocks: NDArray[np.int64]) -> PairedJackknife:
    """The kernel distance between features [n, d] of images and of their originals, row by row.

    Gretton et al., "A kernel two-sample test", 2012, eq. 4: the mean over i != j of k(x_i, x_j) +
    k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i). No image is paired with itself or with its original,
    so there is no bias although the sides depend on each other, and equal sides are at distance 0.
    The rows lie in the blocks [n]. A value is nan if fewer than two images remain without the
    block. Raises UserError if there are fewer than two.
    """
    if len(made) < 2:
        raise UserError("a kernel distance needs at least two images on each side")
    sides = Side.of(made, blocks), Side.of(originals, blocks)
    sums = _within(partial(_pairs, *sides), _of_pairs)
    value = float(sums.sum()) / (len(made) * (len(made) - 1))
    left = _two(len(made) - np.bincount(blocks, minlength=BLOCKS))
    return PairedJackknife(value, _rest(sums) / (left * (left - 1)), shares_of(blocks))


def over_subsets(first: Floats, second: Floats, count: int, size: int) -> tuple[float, float]:
    """The mean of the kernel distance over `count` pairs of random subsets of `size` rows each, and
    its standard deviation over them.

    The subsets, without replacement, are those of torch-fidelity 0.4 for inputs 1 and 2. Raises
    UserError if either side [n, d] has fewer rows than a subset.
    """
    if size > (least := min(len(first), len(second))):
        raise UserError(
            f"subsets of {size:,} images cannot be drawn from {least:,}; take smaller ones"
        )
    draw = np.random.RandomState(SEED)
    blocks = blocks_of(size)
    values = []
    for _ in range(count):
        sides = [Side(x, draw.choice(len(x), size, replace=False), blocks) for x in (first, second)]
        values.append(between(*sides).value)
    return float(np.mean(values)), float(np.std(values))


def _jackknife(
    samples: Side, reference: Side, kernel: Kernel, distance: Callable[..., Sums]
) -> Jackknife:
    """A distance, by the sums of a kernel within each side and across, and without each block."""
    if min(len(samples), len(reference)) < 2:
        raise UserError("a kernel distance needs at least two images on each side")
    xx, yy = (_within(partial(_parts, side), kernel) for side in (samples, reference))
    xy = _across(samples, reference, kernel)
    n, m = (np.bincount(side.blocks, minlength=BLOCKS) for side in (samples, reference))
    value = distance(xx.sum(), yy.sum(), xy.sum(), n.sum(), m.sum())
    of_samples = distance(_rest(xx), yy.sum(), xy.sum() - xy.sum(1), n.sum() - n, m.sum())
    of_reference = distance(xx.sum(), _rest(yy), xy.sum() - xy.sum(0), n.sum(), m.sum() - m)
    return Jackknife(float(value), of_samples, of_reference, samples.shares, reference.shares)


def _unbiased(xx: Floats, yy: Floats, xy: Floats, n: NDArray, m: NDArray) -> Sums:
    """The distance from sums without the diagonals; nan where a side has fewer than two rows."""
    n, m = _two(n), _two(m)
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def _biased(xx: Floats, yy: Floats, xy: Floats, n: NDArray, m: NDArray) -> Sums:
    """CMMD from the same: on the diagonals its kernel is 1."""
    n, m = _two(n), _two(m)
    return SCALE * ((xx + n) / n**2 + (yy + m) / m**2 - 2 * xy / (n * m))


def _two(n: NDArray) -> Sums:
    """Counts of rows; nan where there are fewer than two."""
    return np.where(n > 1, n, np.nan)


def _of_pairs(u: Sums, v: Sums) -> Sums:
    """The summand of `paired` [n, m] for rows (x, y) of [n, 2 d] and [m, 2 d]."""
    (x, y), (a, b) = (np.split(rows, 2, axis=1) for rows in (u, v))
    return polynomial(x, a) + polynomial(y, b) - polynomial(x, b) - polynomial(y, a)


def _rest(within: Sums) -> Sums:
    """The sum [BLOCKS] over the pairs of one side of which neither is in the block."""
    return within.sum() - 2 * within.sum(1) + within.diagonal()


def _across(a: Side, b: Side, kernel: Kernel) -> Sums:
    """The kernel summed over the pairs of each block of `a` with each of `b` [BLOCKS, BLOCKS]."""
    sums = np.zeros((BLOCKS, BLOCKS))
    for x, of_x in _parts(a):
        for y, of_y in _parts(b):
            sums += of_x.T @ kernel(x, y) @ of_y
    return sums


def _within(parts: Callable[[int], Parts], kernel: Kernel) -> Sums:
    """The same of one side with itself, by its `parts`, without the pairs of a row with itself."""
    sums = np.zeros((BLOCKS, BLOCKS))
    for start, (x, of_x) in enumerate(parts(0)):
        own = kernel(x, x)
        np.fill_diagonal(own, 0)
        sums += of_x.T @ own @ of_x
        for y, of_y in parts(start + 1):
            part = of_x.T @ kernel(x, y) @ of_y
            sums += part + part.T
    return sums


def _parts(side: Side, start: int = 0) -> Parts:
    """The rows, ROWS at a time from the part `start` on, and which block each lies in [rows, BLOCKS]."""
    for first in range(start * ROWS, len(side), ROWS):
        place = slice(first, first + ROWS)
        rows = side.features[side.rows[place]].astype(np.float64)
        yield rows, np.eye(BLOCKS)[side.blocks[place]]


def _pairs(made: Side, originals: Side, start: int = 0) -> Parts:
    """The rows of both sides beside each other [rows, 2 d], in the same parts."""
    for (x, of_x), (y, _) in zip(_parts(made, start), _parts(originals, start), strict=True):
        yield np.hstack([x, y]), of_x
