"""Classification by the nearest codes: `knn`.

For labels of classes the number is the accuracy, for binary ones the balanced accuracy; of several
labels it is their mean.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.metrics.codes.data import (
    DISCRETE,
    NO_CHOICE,
    Codes,
    Floats,
    Ints,
    Split,
    SplitRows,
)
from benchmarks.metrics.codes.errors import (
    LISTED,
    blocks_of,
    estimate_of_labels,
    with_scaled_error,
)
from benchmarks.metrics.codes.invariant.linear import standardised
from benchmarks.metrics.codes.number import REPRESENTATION, single
from diffae.system.errors import UserError
from diffae.system.settings import Range
from reports.records.estimate import Estimate
from reports.records.reading import few

Bools = NDArray[np.bool_]
GRID = (1, 5, 10, 20, 50, 100, 200)
AT_ONCE = 2**24  # distances
DRAWS = 2  # of halves of the training rows
Near = tuple[Tensor, Tensor]  # places of neighbours [n, k] among the training rows, and their votes


@dataclass(frozen=True)
class Knn:
    """k-NN among the training rows of other persons.

    neighbours   k; 0: the best of GRID on the validation rows, for each label. If k is given,
                 validation rows count as training rows
    scaling      of the codes: "standardised" by the training rows, or "unit length" (then the nearest
                 are those of the largest cosine)
    temperature  T of the votes exp(-distance^2 / 2T), of unit codes exp(cosine / T) but for a
                 factor; 0: equal votes

    The code of a protocol may fail where there is less. Labels of fewer than `fewest_classes` are left
    out, and fewer than `fewest_scored` test images are refused.
    """

    neighbours: Annotated[int, Range(0, 10_000)] = 0
    scaling: Literal["standardised", "unit length"] = "standardised"
    temperature: Annotated[float, Range(0, 1e6)] = 0.0
    fewest_classes: Annotated[int, Range(1, 1000)] = 1
    fewest_scored: Annotated[int, Range(1, 10**6)] = 1


def nearest(x: Tensor, bank: Tensor, k: int, by_cosine: bool = False) -> tuple[Tensor, Tensor]:
    """The squared distances [n, k] of the k nearest rows of `bank`, ascending, and their positions.

    By cosine they are 2 - 2 cosine, of unit rows or zeros; a zero has the cosine 0 with every row.
    In blocks of at most AT_ONCE distances.
    """
    lengths = [y.new_ones(len(y)) if by_cosine else y.square().sum(1) for y in (x, bank)]
    blocks, at_once = [], max(AT_ONCE // len(bank), 1)
    for rows, squared in zip(x.split(at_once), lengths[0].split(at_once), strict=True):
        distances = torch.addmm(lengths[1], rows, bank.T, alpha=-2).topk(k, largest=False)
        squares = distances.values + squared[:, None]
        blocks.append((squares.clamp(min=0), distances.indices))
    squares_of_blocks, places = zip(*blocks, strict=True)
    return torch.cat(squares_of_blocks), torch.cat(places)


def _predicted(classes: Tensor, weights: Tensor) -> Ints:
    """The class [n] with most votes of neighbours [n, k]; of equal ones the first."""
    votes = torch.zeros(len(classes), int(classes.max()) + 1, dtype=weights.dtype)
    return votes.scatter_add_(1, classes, weights).argmax(1).numpy()


def _score(hit: Bools, truth: Ints, balanced: bool) -> tuple[float, Floats]:
    """Accuracy, or the mean of the classes' accuracies, and the influence of each image."""
    group = truth if balanced else np.zeros_like(truth)
    _, member, m = np.unique(group, return_inverse=True, return_counts=True)
    share = np.bincount(member, hit) / m
    of_each = np.sqrt(m * np.maximum(m - 1, 1)) * len(m)
    return float(share.mean()), (hit - share[member]) / of_each[member]


def varied_labels(codes: Codes, part: SplitRows) -> Bools:
    """Which labels [K] have two values or more on the training rows and on the test rows."""
    return np.ptp(codes.y[part.train], axis=0) * np.ptp(codes.y[part.test], axis=0) > 0


def _measurable(codes: Codes, choices: Knn, scored: int) -> tuple[Codes, list[str]]:
    """The codes with the labels that the protocol's code does not fail on, and a note of the others.

    Raises UserError if there are none, or if too few rows are `scored`.
    """
    assert codes.labels is not None
    if scored < choices.fewest_scored:
        fails = f"the code of this protocol fails on fewer than {choices.fewest_scored} test images"
        raise UserError(f"knn: {fails}, and there are {scored}; give more images")
    counts = [len(np.unique(column)) for column in codes.y.T]
    kept = [label for label, count in enumerate(counts) if count >= choices.fewest_classes]
    fails = (
        f"the code of this protocol fails on labels of fewer than {choices.fewest_classes} classes"
    )
    if not kept:
        raise UserError(f"knn: {fails}, and there is no other label; take another protocol")
    left_out = [name for label, name in enumerate(codes.labels.names) if label not in kept]
    notes = [f"{fails}, left out: {', '.join(few(left_out, LISTED))}"] if left_out else []
    return replace(codes, labels=codes.labels.of(kept)), notes


def knn(codes: Codes, choices: Knn, seed: int) -> Estimate:
    """The mean score of the labels, its error over images that are scored and that are neighbours.

    With a given k nothing is chosen, so that validation rows are neighbours too.
    """
    part, t = Split().folds(codes, seed)[0], choices.temperature
    if choices.neighbours:
        part = replace(part, train=part.fitted, valid=part.valid[:0])
    is_unit = choices.scaling == "unit length"
    x = torch.as_tensor(codes.values if is_unit else standardised(codes.values, part.train))
    x = (normalize(x) if is_unit else x).float()
    given = (choices.neighbours,) if choices.neighbours else GRID
    codes, notes = _measurable(codes, choices, len(part.test))
    assert codes.labels is not None
    who = torch.from_numpy(np.unique(codes.who, return_inverse=True)[1])
    of_own = np.bincount(who[part.train], minlength=int(who.max()) + 1)[who]
    own = int(of_own[np.union1d(part.valid, part.test)].max())  # at most, of a row that is scored
    others = len(part.train) - own
    if not others:
        raise UserError("no training row is of another person")
    if choices.neighbours > others:
        raise UserError(f"knn: k = {choices.neighbours} needs as many training rows, not {others}")
    grid = [k for k in given if k <= others] or [others]
    most = min(3 * max(grid), others)  # so that half of them are enough
    labels = list(zip(codes.classes.T, codes.labels.kinds, strict=True))

    def near(rows: Ints) -> Near:
        squares, places = nearest(x[rows], x[part.train], most + own, is_unit)
        same = who[part.train][places] == who[rows][:, None]
        order = torch.argsort(same.int(), dim=1, stable=True)[:, :most]
        squares, places = squares.gather(1, order), places.gather(1, order)
        votes = torch.exp((squares[:, :1] - squares) / (2 * t)) if t else torch.ones_like(squares)
        return places, votes

    def score(rows: Ints, neighbours: Near, k: int, label: int) -> tuple[float, Floats]:
        (y, kind), (places, votes) = labels[label], neighbours
        classes = torch.as_tensor(y[part.train])[places[:, :k]]
        hit = _predicted(classes, votes[:, :k]) == y[rows]
        return _score(hit, y[rows], kind == "binary")

    best = [grid[0]] * len(labels)
    if len(grid) > 1:
        if not len(part.valid):
            raise UserError(NO_CHOICE)
        valid = near(part.valid)
        for label in range(len(labels)):
            quality = [score(part.valid, valid, k, label)[0] for k in grid]
            best[label] = grid[int(np.argmax(quality))]
    varied = varied_labels(codes, part)
    chosen = sorted({k for k, counts in zip(best, varied, strict=True) if counts})
    note = f"k = {', '.join(map(str, chosen))}"

    def mean(neighbours: Near) -> Estimate:
        each = [score(part.test, neighbours, k, label) for label, k in enumerate(best)]
        values, influences = map(np.array, zip(*each, strict=True))
        fold = np.where(varied, values, np.nan), influences.T, part.test
        return estimate_of_labels([fold], codes, note, *notes)

    test = near(part.test)
    estimate = mean(test)
    if not estimate.stderr:
        return estimate
    of_bank = _variance_by_bank(mean, test, part.train, codes)
    return with_scaled_error(estimate, (1 + of_bank / estimate.stderr**2) ** 0.5)


def _variance_by_bank(
    mean: Callable[[Near], Estimate], near: Near, bank: Ints, codes: Codes
) -> float:
    """The variance of a mean by these neighbours that is due to the rows of their bank.

    By two halves of the bank it differs by twice the deviation that is due to the bank, and by what
    the scored rows add to the difference, which is known (as many neighbours are taken).
    """
    variances = []
    for draw in range(DRAWS):
        half = torch.as_tensor(blocks_of(codes, 2, draw)[bank] > 0)[near[0]]
        orders = [torch.argsort(last, dim=1, stable=True) for last in (half.int(), 1 - half.int())]
        first, second = (mean((near[0].gather(1, o), near[1].gather(1, o))) for o in orders)
        difference = first.minus(second)
        squares = (difference.value or 0.0) ** 2 - (difference.stderr or 0.0) ** 2
        variances.append(squares / 4)
    return max(float(np.mean(variances)), 0.0)


GROUPS = (single("knn", knn, Knn, DISCRETE, is_scored=True, tables=(REPRESENTATION,)),)
