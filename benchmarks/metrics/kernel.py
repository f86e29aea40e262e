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
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.frechet_jackknife import BLOCKS, Floats, Jackknife, Side, blocks_of
from diffae.system.errors import UserError

ROWS = 2048  # the kernel is computed for so many rows of either side at once
SEED = 2020  # of torch-fidelity's subsets

Sums = NDArray[np.float64]


def polynomial(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(x.y / d + 1)^3 of each row of [n, d] with each of [m, d]: [n, m]."""
    inner = x @ y.T / x.shape[1] + 1
    return inner * inner * inner


def between(samples: Side, reference: Side) -> Jackknife:
    """The kernel distance of two sides, in float64.

    Blocks are numbered from 0 to BLOCKS - 1; leaving out an empty one changes nothing, and a value
    is nan if fewer than two rows remain. Memory beyond the features is that of ROWS rows of either
    side. Raises UserError if either side has fewer than two rows.
    """
    if min(len(samples), len(reference)) < 2:
        raise UserError("a kernel distance needs at least two images on each side")
    xx, yy, xy = _within(samples), _within(reference), _across(samples, reference)
    n, m = (np.bincount(side.blocks, minlength=BLOCKS) for side in (samples, reference))
    value = _distance(xx.sum(), yy.sum(), xy.sum(), n.sum(), m.sum())
    of_samples = _distance(_rest(xx), yy.sum(), xy.sum() - xy.sum(1), n.sum() - n, m.sum())
    of_reference = _distance(xx.sum(), _rest(yy), xy.sum() - xy.sum(0), n.sum(), m.sum() - m)
    return Jackknife(float(value), of_samples, of_reference, samples.shares, reference.shares)


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


def _distance(xx: Floats, yy: Floats, xy: Floats, n: NDArray, m: NDArray) -> Sums:
    """The distance from the three sums; nan where a side has fewer than two rows."""
    n, m = (np.where(count > 1, count, np.nan) for count in (n, m))
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def _rest(within: Sums) -> Sums:
    """The sum [BLOCKS] over the pairs of one side of which neither is in the block."""
    return within.sum() - 2 * within.sum(1) + within.diagonal()


def _across(a: Side, b: Side) -> Sums:
    """The kernel summed over the pairs of each block of `a` with each of `b` [BLOCKS, BLOCKS]."""
    sums = np.zeros((BLOCKS, BLOCKS))
    for x, of_x in _parts(a):
        for y, of_y in _parts(b):
            sums += of_x.T @ polynomial(x, y) @ of_y
    return sums


def _within(side: Side) -> Sums:
    """The same of one side with itself, without the pairs of a row with itself."""
    sums = np.zeros((BLOCKS, BLOCKS))
    for start, (x, of_x) in enumerate(_parts(side)):
        own = polynomial(x, x)
        np.fill_diagonal(own, 0)
        sums += of_x.T @ own @ of_x
        for y, of_y in _parts(side, start + 1):
            part = of_x.T @ polynomial(x, y) @ of_y
            sums += part + part.T
    return sums


def _parts(side: Side, start: int = 0) -> Iterator[tuple[NDArray[np.float64], Sums]]:
    """The rows, ROWS at a time from the part `start` on, and which block each lies in [rows, BLOCKS]."""
    for first in range(start * ROWS, len(side), ROWS):
        place = slice(first, first + ROWS)
        rows = side.features[side.rows[place]].astype(np.float64)
        yield rows, np.eye(BLOCKS)[side.blocks[place]]
