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
of their sizes.

Standard errors come from balanced half-samples (McCarthy, 1969). Both sets are dealt to 20 blocks
and halved in 19 ways, of which any two blocks are in one half in 9. Each number is computed again
on one half of both sets and on the other, with the balls that these points have alone. Half of the
mean squared difference is the variance at half the size, and half of that the variance at the whole
size. For a mean this is exactly its usual standard error. On simulated features these errors are
0.88 to 1.12 times the spread over fresh draws (0.83 to 0.98 with 40 images). Where all but one or
two points are inside they are 0.4 to 0.6 times it (`Estimate.has_error`). A jackknife over blocks counts what depends on several
points at once, as a ball does, once for each of them: its errors were 1.2 to 2.1 times the spread
(200 points against 200 in 8 dimensions).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.frechet import refuse_not_finite
from benchmarks.metrics.frechet_jackknife import BLOCKS, blocks_of
from diffae.system.errors import UserError

PAPER_K, PRDC_K = 3, 5  # of precision and recall; of density and coverage
MOST = 1 << 22  # distances at a time
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


@dataclass(frozen=True)
class Estimate:
    """A number, and its values [19, 2] on both halves of each split; nan where it has none.

    `of` is the number of points of which it is a share; None if it is no share.
    """

    value: float
    halves: NDArray[np.float64]
    of: int | None = None

    @property
    def influences(self) -> NDArray[np.float64]:
        """The influence [19] of each split: the sum of their squares is the variance."""
        return (self.halves[:, 0] - self.halves[:, 1]) / (2 * math.sqrt(len(self.halves)))

    @property
    def has_error(self) -> bool:
        """Whether the halves tell the error: they differ, and a share has `FEWEST` points or more on
        either side. Of fewer the error would be too small.
        """
        fewest = FEWEST if self.of is None else self.of * min(self.value, 1 - self.value)
        return bool(np.any(self.influences)) and fewest > FEWEST - 0.5

    @property
    def why_no_error(self) -> str:
        """The reason, in words, where no error can be told from the halves."""
        if self.of is not None and (few := of_few(round(self.value * self.of), self.of)):
            return few
        if np.isfinite(self.influences).all():
            return "no error: all halves of the images give the same number"
        return "no error: half of the images is too few for a ball"


def of_few(inside: int, count: int) -> str:
    """Why a share of so many has no error: it has fewer than `FEWEST` on a side. "" if it has."""
    if min(inside, count - inside) >= FEWEST:
        return ""
    return f"no error: the share is {inside:,} of {count:,}, and an error needs {FEWEST} or more on either side"


@dataclass(frozen=True, eq=False)
class Manifold:
    """A set of features [n, d], on any device, and the block [n] of each point."""

    features: Tensor
    blocks: NDArray[np.int64]

    @staticmethod
    def of(
        features: Tensor | NDArray[np.floating], blocks: NDArray[np.int64] | None = None
    ) -> "Manifold":
        """Features [n, d]; the rows are dealt to blocks in turn if none are given.

        Raises UserError if there are none, or if one is infinite or NaN.
        """
        features = torch.as_tensor(features)
        features = features if features.dtype == torch.float64 else features.float()
        if not len(features):
            raise UserError("features to compare: none")
        refuse_not_finite(features)
        return Manifold(features, blocks_of(len(features)) if blocks is None else blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    @cached_property
    def members(self) -> Tensor:
        """Which points [39, n] each of `PARTS` holds."""
        return torch.from_numpy(PARTS[:, self.blocks]).to(self.features.device)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The points [39] in each of `PARTS`."""
        return self.members.sum(1).cpu().numpy()

    @cached_property
    def compared(self) -> "dict[Manifold, dict[str, Estimate]]":
        """The numbers of this reference and the samples that it was last compared with."""
        return {}

    @cached_property
    def _of_usual(self) -> dict[int, Tensor]:
        return self._radii((PAPER_K, PRDC_K))

    def radii(self, k: int) -> Tensor:
        """The radii [39, n] of the balls among the points of each of `PARTS`.

        Infinite where it has fewer than k others.
        """
        return (self._of_usual if k in (PAPER_K, PRDC_K) else self._radii((k,)))[k]

    def _radii(self, every: Sequence[int]) -> dict[int, Tensor]:
        found = []
        for rows, distances in _rows(self, self):
            distances[:, rows].fill_diagonal_(torch.inf)  # a point is not its own neighbour
            found.append(self._of_rows(distances, every))
        return {k: torch.cat(parts, 1) for k, *parts in zip(every, *found, strict=True)}

    def _of_rows(self, distances: Tensor, every: Sequence[int]) -> list[Tensor]:
        """The radii [39, rows] for each k by the nearest points: among a few of these all parts have
        k, as a rule.
        """
        count, sizes = NEAREST * max(every), self.members.sum(1)
        while True:
            near, which = distances.topk(min(count, len(self)), largest=False)
            held = [part[which].cumsum(1) for part in self.members]
            found = [torch.stack([_kth(near, up_to, k) for up_to in held]) for k in every]
            lack = any(of_k[sizes > k].isinf().any() for of_k, k in zip(found, every, strict=True))
            if count >= len(self) or not lack:
                return found
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

    def between(self, reference: Manifold, samples: Manifold) -> Estimate:
        """The number of two sets. All of `OVERLAPS` are computed at once and kept for the next one."""
        sizes = len(reference), len(samples)
        if reason := lacking(self.name, *sizes, self.k):
            raise UserError(reason)
        if OVERLAPS[self.name] != self:
            return overlaps([self], reference, samples)[self.name]
        if samples not in reference.compared:
            able = [o for o in OVERLAPS.values() if not lacking(o.name, *sizes, o.k)]
            reference.compared.clear()
            reference.compared[samples] = overlaps(able, reference, samples)
        return reference.compared[samples][self.name]


OVERLAPS = {
    overlap.name: overlap
    for overlap in (
        Overlap("precision", "points", PAPER_K, "<="),
        Overlap("recall", "points", PAPER_K, "<=", turned=True),
        Overlap("density", "pairs", PRDC_K, "<"),
        Overlap("coverage", "balls", PRDC_K, "<"),
    )
}


def precision(reference: Manifold, samples: Manifold, k: int = PAPER_K) -> Estimate:
    """The share of the samples that lie in a ball of the reference, border included.

    Raises UserError if the reference has no more than k points, as do density and coverage.
    """
    return replace(OVERLAPS["precision"], k=k).between(reference, samples)


def recall(reference: Manifold, samples: Manifold, k: int = PAPER_K) -> Estimate:
    """The share of the reference that lies in a ball of the samples, border included.

    Raises UserError if there are no more than k samples.
    """
    return replace(OVERLAPS["recall"], k=k).between(reference, samples)


def density(reference: Manifold, samples: Manifold, k: int = PRDC_K) -> Estimate:
    """The number of balls of the reference that hold a sample, border excluded, over k.

    It may exceed 1.
    """
    return replace(OVERLAPS["density"], k=k).between(reference, samples)


def coverage(reference: Manifold, samples: Manifold, k: int = PRDC_K) -> Estimate:
    """The share of the balls of the reference that hold a sample, border excluded."""
    return replace(OVERLAPS["coverage"], k=k).between(reference, samples)


def lacking(metric: str, reference: int, samples: int, k: int) -> str:
    """Why sets of these sizes do not have one of `OVERLAPS`; empty if they do."""
    name, n = ("samples", samples) if metric == "recall" else ("reference", reference)
    if n <= k:
        return f"{metric} with k = {k} needs at least {k + 1} images in the {name}, which has {n}"
    return "" if min(reference, samples) else f"{metric} needs images on both sides"


def overlaps(
    which: Sequence[Overlap], reference: Manifold, samples: Manifold
) -> dict[str, Estimate]:
    """Some of the four numbers by name, from one pass over the distances."""
    alike: dict[object, list[Overlap]] = {}  # of one kind of ball
    for overlap in which:
        alike.setdefault((overlap.k, overlap.border, overlap.turned), []).append(overlap)
    tallies = [_Tally(group, reference, samples) for group in alike.values()]
    for rows, distances in _rows(reference, samples):
        for tally in tallies:
            tally.add(distances, rows)
    return {overlap.name: tally.estimate(overlap) for tally in tallies for overlap in tally.which}


class _Tally:
    """What is found in balls of one kind, in each of `PARTS`: balls that hold a point, points in a
    ball, and pairs of a ball and a point in it.
    """

    def __init__(self, which: Sequence[Overlap], reference: Manifold, samples: Manifold):
        self.which, (self.k, self.border) = which, (which[0].k, which[0].border)
        self.turned = which[0].turned
        self.balls, self.points = (samples, reference) if self.turned else (reference, samples)
        self.counted = {overlap.counted for overlap in which}
        self.found = {"balls": torch.zeros_like(self.balls.members)}
        self.found |= {"points": torch.zeros_like(self.points.members)}
        self.pairs = torch.zeros(len(PARTS), dtype=torch.float64)

    def add(self, distances: Tensor, rows: slice) -> None:
        """Count balls and points at `distances` [n, m] of some rows of the reference to all samples."""
        within = torch.le if self.border == "<=" else torch.lt
        radii = self.balls.radii(self.k)
        # few pairs are within the widest ball of any part: the parts look at these alone
        widest = radii.amax(0) if self.turned else radii[:, rows].amax(0)[:, None]
        row, column = within(distances, widest).nonzero().T
        distance, row = distances[row, column], row + rows.start
        ball, point = (column, row) if self.turned else (row, column)
        for part in range(len(PARTS)):
            held = within(distance, radii[part, ball])
            held &= self.balls.members[part, ball] & self.points.members[part, point]
            if "pairs" in self.counted:
                self.pairs[part] += int(held.sum())
            for counted, of in (("balls", ball), ("points", point)):
                if counted in self.counted:
                    self.found[counted][part, of[held]] = True

    def estimate(self, overlap: Overlap) -> Estimate:
        """The mean; nan where a part has no points, or so few balls that there is no k-th neighbour."""
        over = self.balls if overlap.counted == "balls" else self.points
        if of_pairs := overlap.counted == "pairs":
            sums = self.pairs.numpy() / self.k
        else:
            sums = self.found[overlap.counted].sum(1).cpu().numpy()
        means = sums / over.sizes.clip(min=1)
        known = np.where((self.balls.sizes > self.k) & (self.points.sizes > 0), means, math.nan)
        of = None if of_pairs else len(over)
        return Estimate(float(known[0]), known[1:].reshape(2, -1).T, of)


# ----------------------------------------------------------------------------------------------
# Distances


def _rows(a: Manifold, b: Manifold) -> Iterator[tuple[slice, Tensor]]:
    """The distances of some rows of a at a time to all of b."""
    most, kind = max(MOST // len(b), 1), torch.promote_types(a.features.dtype, b.features.dtype)
    y = b.features.double()
    of_y = y.square().sum(1)
    for start in range(0, len(a), most):
        rows = slice(start, min(start + most, len(a)))
        yield rows, _squared(a.features[rows].double(), y, of_y).to(kind).sqrt_()


def _squared(x: Tensor, y: Tensor, of_y: Tensor) -> Tensor:
    """Squared Euclidean distances [n, m] of points [n, d] and [m, d]; `of_y` [m] are squared norms."""
    of_x = x.square().sum(1)
    squared = (of_x[:, None] + of_y).addmm_(x, y.T, alpha=-2)
    i, j = (squared <= SAME * (of_x.max() + of_y.max())).nonzero().T  # few, unless points are equal
    noise = squared[i, j] <= SAME * (of_x[i] + of_y[j])
    squared[i[noise], j[noise]] = 0
    return squared
