"""The kernel distance between two sets of features; with Inception's features it is KID.

Binkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", 2018: the squared maximum mean
discrepancy with the kernel k(x, y) = (x.y / d + 1)^3. For features x [n, d] and y [m, d]

    sum_{i != j} k(x_i, x_j) / (n (n - 1)) + sum_{i != j} k(y_i, y_j) / (m (m - 1))
        - 2 sum_{i, j} k(x_i, y_j) / (n m)

No row is paired with itself, so the estimate has no bias at any n. It is below zero about every
second time for two sets of one distribution.

`between` is this estimate over all pairs, with the jackknife that `jackknife` describes:
the sums without a block follow from the kernel's sums over pairs of blocks, so one pass gives all
values. `over_subsets` is the mean over random subsets that torch-fidelity and others print.
`paired` is for images and their reconstructions, `cmmd` for the embeddings of CLIP.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.sets.frechet import refuse_not_finite
from benchmarks.metrics.sets.jackknife import BLOCKS, InParts, Side, blocks_of, jackknifed
from diffae.system.errors import UserError
from reports.records.estimate import Estimate

ROWS = 2048  # the kernel is computed for so many rows of either side at once
SEED, TOGETHER = 2020, 256  # of torch-fidelity's subsets; how many share a kernel
SIGMA, SCALE = 10.0, 1_000.0  # of CMMD

T = TypeVar("T")
Floats = NDArray[np.floating]
Sums = NDArray[np.float64]
Kernel = Callable[[Tensor, Tensor], Tensor]  # rows [n, d] and [m, d] -> [n, m]
# The rows, ROWS at a time, and the groups that each is in [rows, groups], such as its block.
Rows = Callable[[int], tuple[Tensor, Tensor]]


def polynomial(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / d + 1)^3 of each row of [n, d] with each of [m, d]: [n, m]."""
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def gaussian(x: Tensor, y: Tensor) -> Tensor:
    """exp(-|x - y|^2 / (2 sigma^2)) of the rows of [n, d] and [m, d], each divided by its length."""
    x, y = (rows / rows.norm(dim=1, keepdim=True) for rows in (x, y))
    return ((x @ y.T - 1) / SIGMA**2).exp()


def between(samples: Side, reference: Side) -> InParts[Estimate]:
    """The kernel distance of two sides, in float64 on their device.

    Blocks are numbered from 0 to BLOCKS - 1; leaving out an empty one changes nothing, and a value
    is nan if fewer than two rows remain. Memory beyond the features is that of ROWS rows of either
    side. Raises UserError if either side has fewer than two rows.
    """
    samples.refuse_few("a kernel distance", reference)
    return _jackknife(samples, reference, polynomial, _unbiased)


def cmmd(samples: Side, reference: Side) -> InParts[Estimate]:
    """CMMD of two sides of CLIP's image embeddings, in the same way.

    Jayasumana et al., "Rethinking FID", 2024; sayakpaul/cmmd-pytorch@f7673a9 distance.py: 1,000
    times the squared MMD with `gaussian`. Each row is paired with itself too, so it is biased
    upwards, by the order of 1 / n.
    """
    samples.refuse_few("CMMD", reference)
    return _jackknife(samples, reference, gaussian, _biased)


def paired(made: Side, originals: Side) -> InParts[Estimate]:
    """The kernel distance between features of images and of their originals, row by row.

    Gretton et al., "A kernel two-sample test", 2012, eq. 4: the mean over i != j of k(x_i, x_j) +
    k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i). No image is paired with itself or with its original,
    so there is no bias although the sides depend on each other, and equal sides are at distance 0.
    Both sides lie in the same blocks. A value is nan if fewer than two images remain without the
    block. Raises UserError if there are fewer than two.
    """
    made.refuse_few("a kernel distance", originals)
    in_blocks = _in_blocks(made)

    def pairs(number: int) -> tuple[Tensor, Tensor]:
        (x, of_x), (y, _) = (_rows(side, in_blocks, number) for side in (made, originals))
        return torch.hstack([x, y]), of_x

    def joined(sums: Sequence[Sums]) -> Estimate:
        value = float(sums[0].sum()) / (len(made) * (len(made) - 1))
        left = _two(len(made) - np.bincount(made.blocks, minlength=BLOCKS))
        return made.jackknifed(value, _rest(sums[0]) / (left * (left - 1)))

    return _in_parts([(pairs, len(made))], _of_pairs, joined)


def over_subsets(samples: Floats, reference: Floats, count: int, size: int) -> Estimate:
    """The mean of `subset_distances`, with their standard deviation as a note: it is no error of the
    mean, since the subsets share images.
    """
    distances = subset_distances(reference, samples, count, size)
    spread = float(np.std(distances))
    note = f"{count:,} subsets of {size:,}, standard deviation over them {spread:.3g}"
    return Estimate(float(np.mean(distances)), n=len(samples), notes=(note,))


def subset_distances(first: Floats, second: Floats, count: int, size: int) -> Sums:
    """The kernel distances [count] of pairs of random subsets of `size` rows each.

    The subsets, without replacement, are those of torch-fidelity 0.4 for inputs 1 and 2. Raises
    UserError if either side [n, d] has fewer rows than a subset, or a row that is not finite,
    whether it is drawn or not.
    """
    for features in (first, second):
        refuse_not_finite(features)
    if size > (least := min(len(first), len(second))):
        raise UserError(f"subsets of {size:,} cannot be drawn from {least:,}; take smaller ones")
    draw, both = np.random.RandomState(SEED), (first, second)
    drawn = [[draw.choice(len(x), size, replace=False) for x in both] for _ in range(count)]
    # Many share a kernel of all images; of few, their own are smaller.
    few = min(count, TOGETHER)
    few = few if few * size**2 > len(first) * len(second) else 1
    return np.concatenate([_of_subsets(both, drawn[i : i + few]) for i in range(0, count, few)])


def _of_subsets(both: Sequence[Floats], drawn: Sequence[Sequence[NDArray[np.int64]]]) -> Sums:
    """The kernel distances of subsets, each the rows that were drawn of either side."""
    size, sides = len(drawn[0][0]), []
    for features, rows in zip(both, zip(*drawn, strict=True), strict=True):
        used = np.unique(np.concatenate(rows))
        members = torch.from_numpy(np.stack([np.isin(used, subset) for subset in rows], 1)).double()
        side = Side.of(features[used], blocks_of(len(used)))
        sides.append((partial(_rows, side, members), len(used)))

    def joined(sums: Sequence[Sums]) -> Sums:
        xx, xy, yy = (of_pairs.diagonal() for of_pairs in sums)
        return _unbiased(xx, yy, xy, np.array(size), np.array(size))

    return _in_parts(sides, polynomial, joined).whole()


def _jackknife(
    samples: Side, reference: Side, kernel: Kernel, distance: Callable[..., Sums]
) -> InParts[Estimate]:
    """A distance, by the sums of a kernel within each side and across, and without each block."""
    n, m = (np.bincount(side.blocks, minlength=BLOCKS) for side in (samples, reference))

    def joined(sums: Sequence[Sums]) -> Estimate:
        xx, xy, yy = sums
        value = distance(xx.sum(), yy.sum(), xy.sum(), n.sum(), m.sum())
        without_samples = distance(_rest(xx), yy.sum(), xy.sum() - xy.sum(1), n.sum() - n, m.sum())
        without_reference = distance(
            xx.sum(), _rest(yy), xy.sum() - xy.sum(0), n.sum(), m.sum() - m
        )
        return jackknifed(float(value), without_samples, without_reference, samples, reference)

    sides = [(partial(_rows, side, _in_blocks(side)), len(side)) for side in (samples, reference)]
    return _in_parts(sides, kernel, joined)


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


def _of_pairs(u: Tensor, v: Tensor) -> Tensor:
    """The summand of `paired` [n, m] for rows (x, y) of [n, 2 d] and [m, 2 d]."""
    # Copies lie alike in memory, so that equal images have products that are equal to the bit.
    (x, y), (a, b) = ([half.contiguous() for half in rows.chunk(2, dim=1)] for rows in (u, v))
    return polynomial(x, a) + polynomial(y, b) - polynomial(x, b) - polynomial(y, a)


def _rest(within: Sums) -> Sums:
    """The sum [BLOCKS] over the pairs of one side of which neither is in the block."""
    return within.sum() - 2 * within.sum(1) + within.diagonal()


def _in_parts(
    sides: Sequence[tuple[Rows, int]], kernel: Kernel, joined: Callable[[list[Sums]], T]
) -> InParts[T]:
    """A part is of ROWS rows of a side and all of another, or those of the same from there on.

    `joined` takes the kernel, summed over the pairs of each group of one side with each of another
    [groups, groups]: within the first, across, and within the second. Within a side no row is
    paired with itself.
    """
    counts = [-(-count // ROWS) for _, count in sides]
    parts = [
        (x, y, i) for x in range(len(sides)) for y in range(x, len(sides)) for i in range(counts[x])
    ]

    def part(number: int) -> Sums:
        x, y, i = parts[number]
        rows, of_rows = sides[x][0](i)
        sums = torch.zeros(2 * of_rows.shape[1:], dtype=rows.dtype, device=rows.device)
        for j in range(i if x == y else 0, counts[y]):
            others, of_others = sides[y][0](j)
            values = kernel(rows, others)
            if own := (x, i) == (y, j):
                values.fill_diagonal_(0)
            of_groups = of_rows.T @ values @ of_others
            sums += of_groups if x != y or own else of_groups + of_groups.T
        return sums.cpu().numpy()

    def summed(sums: Sums) -> T:
        pair_of_sides = np.array([x + y for x, y, _ in parts])
        return joined([sums[pair_of_sides == pair].sum(0) for pair in np.unique(pair_of_sides)])

    return InParts(len(parts), part, summed)


def _rows(side: Side, groups: Tensor, number: int) -> tuple[Tensor, Tensor]:
    place = slice(number * ROWS, (number + 1) * ROWS)
    return side.taken(place), groups[place]


def _in_blocks(side: Side) -> Tensor:
    """Which block each row is in [n, BLOCKS], as numbers."""
    eye = torch.eye(BLOCKS, dtype=torch.float64, device=side.device)
    return eye[torch.from_numpy(side.blocks).to(side.device)]
