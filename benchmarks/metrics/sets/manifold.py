"""Precision and recall, density and coverage: how two sets of features overlap.

The ball of a point reaches to the k-th nearest other point of its own set. With A the reference and
B the samples,

    precision = share of B that lies in a ball of A         (Kynkaanniemi et al., 2019)
    recall    = share of A that lies in a ball of B
    density   = balls of A that hold a sample, mean over B, divided by k    (Naeem et al., 2020)
    coverage  = share of the balls of A that hold a sample

Defaults are those of the code of each. Precision and recall have k = 3 and `<=` (StyleGAN3, ADM,
torch-fidelity; its versions before 0.4 had the two exchanged). Density and coverage have k = 5 and
`<` (prdc). All four depend on the size of both sets.

A squared distance is |x|^2 + |y|^2 - 2 x.y in float64, rounded to the features' float32 before its
root is taken, as in scikit-learn, which prdc calls; where rounding noise is all that is left it is
0. Equal distances are then equal numbers, on which `<` and `<=` depend, and equal points are at
distance 0. In float32 alone, as torch-fidelity takes it of float32 features, the formula does not
tell near points from equal ones.

Some points of one set are compared with the other at a time: memory does not grow with the product
of their sizes. Within a set of up to 5,792 points all distances are held, of which half are computed.

Standard errors come from balanced half-samples (McCarthy, 1969). Both sets are dealt to 20 blocks
and halved in 19 ways, of which any two blocks are in one half in 9. Each number is computed again
on one half of both sets and on the other, with the balls that these points have alone. Half of the
mean squared difference is the variance at half the size, and half of that the variance at the whole
size. For a mean this is exactly its usual standard error. On simulated features these errors are
0.88 to 1.12 times the spread over fresh draws (0.83 to 0.98 with 40 images). Where all but one or
two points are inside they are 0.4 to 0.6 times it, and no error is given. A jackknife over blocks counts what depends on several
points at once, as a ball does, once for each of them: its errors were 1.2 to 2.1 times the spread
(200 points against 200 in 8 dimensions).
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.sets.jackknife import BLOCKS, InParts, Side
from reports.records.estimate import Estimate, Influence, units_of

PAPER_K, PRDC_K = 3, 5  # of precision and recall; of density and coverage
MOST = 1 << 22  # distances at a time
MOST_HELD = 1 << 25  # distances within a side that are held, each computed once
NEAREST = 8  # times k points are looked at first for the k-th of each part
FEWEST = 5  # points on either side of a share that has an error
SAME = 1e-12  # squared distances below this share of the squared norms are rounding noise


def _splits() -> NDArray[np.bool_]:
    """Which blocks [19, 20] each split puts in its first half: a design of Plackett and Burman.

    Its rows are shifts of the squares modulo 19 (Paley, 1933); the last block is always in.
    """
    squares = np.isin(np.arange(19), np.square(np.arange(1, 19)) % 19)
    shifted = np.stack([np.roll(squares, shift) for shift in range(19)])
    return np.column_stack([shifted, np.ones(19, dtype=bool)])


# The blocks [39, 20] in each part: all, the first half of each split, and the second of each.
PARTS = np.concatenate([np.ones((1, BLOCKS), dtype=bool), _splits(), ~_splits()])


def of_few(inside: int, count: int) -> str:
    """Why a share of so many has no error: it has fewer than `FEWEST` on a side. "" if it has."""
    if min(inside, count - inside) >= FEWEST:
        return ""
    return f"no error: the share is {inside:,} of {count:,}, and an error needs {FEWEST} or more on either side"


@dataclass(frozen=True, eq=False)
class Manifold:
    """The points [n, d] of a side, on its device, and the block [n] of each."""

    points: Tensor
    blocks: NDArray[np.int64]

    @staticmethod
    def of(side: Side) -> "Manifold":
        """The rows of a side, in float32 unless they are of float64."""
        points = torch.from_numpy(side.features[side.rows]).to(side.device)
        points = points if points.dtype == torch.float64 else points.float()
        return Manifold(points, side.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    @cached_property
    def block_of(self) -> Tensor:
        """The block [n] of each point, on its device."""
        return torch.from_numpy(self.blocks).to(self.points.device)

    @cached_property
    def members(self) -> Tensor:
        """Which points [39, n] each of `PARTS` holds."""
        return torch.from_numpy(PARTS[:, self.blocks]).to(self.points.device)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The points [39] in each of `PARTS`."""
        return self.members.sum(1).cpu().numpy()

    def radii(self, ks: Sequence[int]) -> dict[int, Tensor]:
        """The radii [39, n] of the balls among the points of each of `PARTS`, for each k.

        Infinite where there are fewer than k others.
        """
        if not ks:
            return {}
        parts = []
        for rows, distances in _own_rows(self):
            distances[:, rows].fill_diagonal_(torch.inf)  # a point is not its own neighbour
            parts.append(self._radii_of_rows(distances, ks))
        return {k: torch.cat(of_k, 1) for k, *of_k in zip(ks, *parts, strict=True)}

    def _radii_of_rows(self, distances: Tensor, ks: Sequence[int]) -> list[Tensor]:
        """The radii [39, rows] for each k by the nearest points: among a few of these all parts have
        k, as a rule.
        """
        count, sizes = NEAREST * max(ks), self.members.sum(1)
        while True:
            near, points = distances.topk(min(count, len(self)), largest=False)
            up_to = [part[points].cumsum(1) for part in self.members]
            radii = [torch.stack([_kth(near, of_part, k) for of_part in up_to]) for k in ks]
            lack = any(of_k[sizes > k].isinf().any() for of_k, k in zip(radii, ks, strict=True))
            if count >= len(self) or not lack:
                return radii
            count *= NEAREST


def _kth(ascending: Tensor, up_to: Tensor, k: int) -> Tensor:
    """The k-th of the numbers [n, m] of each row that a part holds; infinite where there are fewer.

    It holds `up_to` [n, m] of a row's numbers up to each place.
    """
    reached = up_to >= k
    first = reached.byte().argmax(1, keepdim=True)
    return ascending.gather(1, first).squeeze(1).where(reached[:, -1], torch.inf)


# ----------------------------------------------------------------------------------------------
# The four numbers


@dataclass(frozen=True)
class Overlap:
    """One of the four numbers: what is counted of balls and the points in them, and its convention.

    Balls are those of the reference, `turned` those of the samples; points are the others.
    """

    name: str
    counted: Literal["points", "balls", "pairs"]
    k: int
    border: Literal["<", "<="]
    turned: bool = False

    @property
    def convention(self) -> str:
        return f"k = {self.k} with {self.border}"

    def total(self, samples: int, reference: int) -> int | None:
        """The number of points of which it is a share, by those of both sides; None if it is no share."""
        if self.counted == "pairs":
            return None
        return reference if (self.counted == "balls") != self.turned else samples

    def why_not(self, samples: int, reference: int) -> str:
        """Why sides of these sizes do not have this number; empty if they do."""
        side, n = ("samples", samples) if self.turned else ("reference", reference)
        if n <= self.k:
            needed = f"needs at least {self.k + 1} images in the {side}, which has {n}"
            return f"{self.name} with k = {self.k} {needed}"
        return "" if min(samples, reference) else f"{self.name} needs images on both sides"


OVERLAPS = {
    overlap.name: overlap
    for overlap in (
        Overlap("precision", "points", PAPER_K, "<="),
        Overlap("recall", "points", PAPER_K, "<=", turned=True),
        Overlap("density", "pairs", PRDC_K, "<"),
        Overlap("coverage", "balls", PRDC_K, "<"),
    )
}


def overlaps(
    samples: Side, reference: Side, wanted: Collection[Overlap] = tuple(OVERLAPS.values())
) -> InParts[Mapping[str, Estimate]]:
    """The four numbers by name, in one part, since they share the distances of all points.

    A number that sides of these sizes do not have is an estimate without a value. The blocks of both
    sides are halved together.
    """
    sizes = len(samples), len(reference)
    defined = [overlap for overlap in wanted if not overlap.why_not(*sizes)]

    def joined(parts: NDArray[np.float64]) -> Mapping[str, Estimate]:
        estimates = {
            overlap.name: Estimate(None, n=sizes[0], why=overlap.why_not(*sizes))
            for overlap in wanted
        }
        for overlap, in_parts in zip(defined, parts[0] if defined else (), strict=True):
            estimates[overlap.name] = _estimate(overlap, in_parts, samples, reference)
        return estimates

    def part(_: int) -> NDArray[np.float64]:
        return in_all_parts(defined, Manifold.of(samples), Manifold.of(reference))

    return InParts(1 if defined else 0, part, joined)


def _estimate(
    overlap: Overlap, in_parts: NDArray[np.float64], samples: Side, reference: Side
) -> Estimate:
    """The estimate from the number in each of `PARTS` [39], the whole and the halves of each split."""
    value, influence = float(in_parts[0]), influence_of_splits(in_parts)
    n, m = len(samples), len(reference)
    if why := _why_no_error(value, influence, overlap.total(n, m)):
        return Estimate(value, n=n, why=why)
    units = units_of("blocks, halved", samples.units, reference.units)
    return Estimate(value, (Influence(units, influence),), n=n)


def influence_of_splits(in_parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The influence [19] of each split on a number, from the number in each of `PARTS` [39]."""
    first, second = in_parts[1:].reshape(2, -1)
    return (first - second) / (2 * math.sqrt(len(first)))


def _why_no_error(value: float, influence: NDArray[np.float64], total: int | None) -> str:
    """Why the halves do not tell the error of a number, perhaps a share of a total; empty if they do."""
    if total is not None and (few := of_few(round(value * total), total)):
        return few
    if not np.isfinite(influence).all():
        return "no error: half of the images is too few for a ball"
    return "" if influence.any() else "no error: all halves of the images give the same number"


def in_all_parts(
    wanted: Sequence[Overlap], samples: Manifold, reference: Manifold
) -> NDArray[np.float64]:
    """Some of the four numbers in each of `PARTS` [numbers, 39], from one pass over the distances.

    nan where a part has no points, or so few balls that there is no k-th neighbour.
    """
    of_reference, of_samples = (
        side.radii(sorted({overlap.k for overlap in wanted if overlap.turned is turned}))
        for side, turned in ((reference, False), (samples, True))
    )
    tallies: dict[tuple[int, str, bool], _Tally] = {}
    for overlap in wanted:
        kind = overlap.k, overlap.border, overlap.turned
        if kind not in tallies:
            radii = (of_samples if overlap.turned else of_reference)[overlap.k]
            tallies[kind] = _Tally(overlap, samples, reference, radii)
        tallies[kind].counted.add(overlap.counted)
    for rows, distances in _rows(reference, samples):
        for tally in tallies.values():
            tally.add(distances, rows)
    kinds = [(overlap.k, overlap.border, overlap.turned) for overlap in wanted]
    return np.stack(
        [tallies[kind].share(overlap.counted) for kind, overlap in zip(kinds, wanted, strict=True)]
    )


class _Tally:
    """What lies in the balls of one kind, in each of `PARTS`: balls that hold a point, points in a
    ball, and pairs of a ball and a point in it.

    The k, the border and the side of the balls are those of `kind`; `radii` [39, balls] are theirs.
    """

    def __init__(self, kind: Overlap, samples: Manifold, reference: Manifold, radii: Tensor):
        self.k, self.turned, self.radii = kind.k, kind.turned, radii
        self.within = torch.le if kind.border == "<=" else torch.lt
        self.balls, self.points = (samples, reference) if kind.turned else (reference, samples)
        self.counted: set[str] = set()
        self.ascending, order = radii.T.sort(1)  # [balls, 39]
        self.place = order.argsort(1)  # of each part in it
        self.in_balls = torch.zeros_like(self.points.members)
        self.holds = torch.zeros_like(self.balls.members)
        self.pairs = torch.zeros(len(PARTS), dtype=torch.float64)

    def add(self, distances: Tensor, rows: slice) -> None:
        """Count balls and points at `distances` [n, m] of some rows of the reference to all samples."""
        # few pairs are within the widest ball of any part: the parts look at these alone
        widest = self.ascending[:, -1]
        pairs = self.within(distances, widest if self.turned else widest[rows, None])
        row, column = pairs.nonzero().T
        distance, row = distances[row, column], row + rows.start
        ball, point = (column, row) if self.turned else (row, column)
        if self.counted & {"balls", "pairs"}:
            self._add_to_balls(distance, ball, point)
        if "points" in self.counted:
            self._add_points(distance, ball, point)

    def _add_to_balls(self, distance: Tensor, ball: Tensor, point: Tensor) -> None:
        """Count the points in each ball, by block and by the smallest of its radii that reaches them."""
        if not len(ball):
            return
        first, last = int(ball.min()), int(ball.max()) + 1
        shape = last - first, BLOCKS, len(PARTS)
        block = self.points.block_of[point]
        key = ((ball - first) * BLOCKS + block) * len(PARTS) + self._reached(distance, ball)
        counts = key.bincount(minlength=math.prod(shape)).view(shape).cumsum(2)
        by_block = counts.gather(2, self.place[first:last, None].expand(shape))
        parts = torch.from_numpy(PARTS.T).to(by_block)
        members = self.balls.members[:, first:last]
        inside = (by_block * parts).sum(1).T * members
        self.holds[:, first:last] |= inside > 0
        self.pairs += inside.sum(1).cpu()

    def _reached(self, distance: Tensor, ball: Tensor) -> Tensor:
        """The place of the first of the ascending radii of each ball that reaches so far, by bisection."""
        radii, start = self.ascending.flatten(), ball * len(PARTS)
        place = torch.zeros_like(ball)
        for step in (32, 16, 8, 4, 2, 1):
            beyond = place + step
            is_short = ~self.within(
                distance, radii[start + (beyond - 1).clamp_(max=len(PARTS) - 1)]
            )
            place = torch.where(is_short, beyond, place)
        return place

    def _add_points(self, distance: Tensor, ball: Tensor, point: Tensor) -> None:
        """Mark the points that are in a ball: first by the balls of all, which are in those of each part."""
        sure = self.within(distance, self.radii[0, ball])
        blocks = torch.zeros(BLOCKS, len(self.points), device=distance.device)
        blocks[self.balls.block_of[ball[sure]], point[sure]] = 1
        parts = torch.from_numpy(PARTS).to(blocks)
        self.in_balls |= (parts @ blocks > 0) & self.points.members
        left = ((self.in_balls == self.points.members).all(0).logical_not_())[point] & ~sure
        distance, ball, point = distance[left], ball[left], point[left]
        for part in range(len(PARTS)):
            held = self.within(distance, self.radii[part, ball])
            held &= self.balls.members[part, ball] & self.points.members[part, point]
            self.in_balls[part, point[held]] = True

    def share(self, counted: Literal["points", "balls", "pairs"]) -> NDArray[np.float64]:
        """The mean [39] of what was counted over the balls, or over the points."""
        over = self.balls if counted == "balls" else self.points
        if counted == "pairs":
            sums = self.pairs.numpy() / self.k
        else:
            marked = self.holds if counted == "balls" else self.in_balls
            sums = marked.sum(1).cpu().numpy()
        means = sums / over.sizes.clip(min=1)
        defined = (self.balls.sizes > self.k) & (self.points.sizes > 0)
        return np.where(defined, means, math.nan)


# ----------------------------------------------------------------------------------------------
# Distances


def _own_rows(side: Manifold) -> Iterator[tuple[slice, Tensor]]:
    """The distances of some rows of a side at a time to all of it: of two equal ones one is computed,
    if all can be held.
    """
    if len(side) ** 2 > MOST_HELD:
        yield from _rows(side, side)
        return
    held = side.points.new_empty(len(side), len(side))
    for rows, distances in _rows(side, side, above_diagonal=True):
        held[rows, rows.start :] = distances
        held[rows.stop :, rows] = distances[:, len(distances) :].T
        yield rows, held[rows]


def _rows(a: Manifold, b: Manifold, above_diagonal: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """The distances of some rows of a at a time to all of b, or to the rows of b from their first on."""
    most, dtype = max(MOST // len(b), 1), torch.promote_types(a.points.dtype, b.points.dtype)
    y = b.points.double()
    of_y = y.square().sum(1)
    for start in range(0, len(a), most):
        rows, first = slice(start, min(start + most, len(a))), start if above_diagonal else 0
        yield rows, _squared(a.points[rows].double(), y[first:], of_y[first:]).to(dtype).sqrt_()


def _squared(x: Tensor, y: Tensor, of_y: Tensor) -> Tensor:
    """Squared Euclidean distances [n, m] of points [n, d] and [m, d]; `of_y` [m] are squared norms."""
    of_x = x.square().sum(1)
    squared = (of_x[:, None] + of_y).addmm_(x, y.T, alpha=-2)
    i, j = (squared <= SAME * (of_x.max() + of_y.max())).nonzero().T  # few, unless points are equal
    noise = squared[i, j] <= SAME * (of_x[i] + of_y[j])
    squared[i[noise], j[noise]] = 0
    return squared
