"""Classification by the nearest codes: `knn`.

For labels of classes the number is the accuracy, for binary ones the balanced accuracy; of several
labels it is their mean.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.metrics.codes.data import Codes, Floats, Found, Ints, parts
from benchmarks.metrics.codes.errors import blocks_of, found
from benchmarks.metrics.codes.invariant.linear import standardised
from benchmarks.metrics.codes.number import Number
from diffae.system.errors import UserError
from diffae.system.settings import Range

GRID = (1, 5, 10, 20, 50, 100, 200)
AT_ONCE = 2**24  # distances
DRAWS = 4  # of halves of the training rows


@dataclass(frozen=True)
class Knn:
    """k-NN among the training rows.

    neighbours   k; 0: the best of GRID on the validation rows, for each label
    scaling      of the codes: "standardised" by the training rows, "unit length" (then the nearest
                 are those of the largest cosine), or "none"
    temperature  T of the votes exp(-distance^2 / 2T), of unit codes exp(cosine / T) but for a
                 factor; 0: equal votes
    """

    neighbours: Annotated[int, Range(0, 10_000)] = 0
    scaling: Literal["standardised", "unit length", "none"] = "standardised"
    temperature: Annotated[float, Range(0, 1e6)] = 0.0


def nearest(x: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The squared distances [n, k] of the k nearest rows of `bank`, ascending, and their positions.

    In blocks of at most AT_ONCE distances.
    """
    sizes, blocks = bank.square().sum(1), []
    for rows in x.split(max(AT_ONCE // len(bank), 1)):
        distances = torch.addmm(sizes, rows, bank.T, alpha=-2).topk(k, largest=False)
        squares = distances.values + rows.square().sum(1, keepdim=True)
        blocks.append((squares.clamp(min=0), distances.indices))
    return torch.cat([one[0] for one in blocks]), torch.cat([one[1] for one in blocks])


def _predicted(classes: Tensor, weights: Tensor, count: int) -> Ints:
    """The class [n] with most votes of neighbours [n, k]; of equal ones the first."""
    votes = torch.zeros(len(classes), count, dtype=weights.dtype)
    return votes.scatter_add_(1, classes, weights).argmax(1).numpy()


def _score(predicted: Ints, truth: Ints, balanced: bool) -> tuple[float, Floats]:
    """Accuracy, or the mean of the classes' accuracies, and the influence of each image."""
    hit, influence, value = predicted == truth, np.zeros(len(truth)), 0.0
    groups = [truth == c for c in np.unique(truth)] if balanced else [np.ones(len(truth), bool)]
    for group in groups:
        m, share = group.sum(), hit[group].mean()
        value += share / len(groups)
        influence[group] = (hit[group] - share) / np.sqrt(m * max(m - 1, 1)) / len(groups)
    return float(value), influence


def _scaled(x: Floats, train: Ints, how: Knn) -> Tensor:
    if how.scaling == "unit length":
        return normalize(torch.as_tensor(x)).float()
    x = standardised(x, train) if how.scaling == "standardised" else x - x[train].mean(0)
    return torch.as_tensor(x).float()


def knn(codes: Codes, how: Knn, seed: int) -> Found:
    """The mean score of the labels, its error over images that are scored and that are neighbours.

    Of two halves of the training rows, scores differ by twice the standard deviation that is due to
    these rows, and by what the scored rows add to it, which is known (as many neighbours are taken).
    """
    assert codes.labels is not None
    part = parts(codes, seed)
    x = _scaled(codes.values, part.train, how)
    given = (how.neighbours,) if how.neighbours else GRID
    grid = [k for k in given if k <= len(part.train)] or [len(part.train)]
    judged = part.valid if len(grid) > 1 else part.valid[:0]
    count, most = len(judged), min(3 * max(grid), len(part.train))
    squares, places = nearest(x[np.concatenate([judged, part.test])], x[part.train], most)
    t = how.temperature
    weights = torch.exp((squares[:, :1] - squares) / (2 * t)) if t else torch.ones_like(squares)
    chosen: list[tuple[int, Ints, bool]] = []

    def score(k: int, y: Ints, binary: bool, rows: Ints, places: Tensor, weights: Tensor) -> Any:
        near = torch.as_tensor(y[part.train])[places[:, :k]]
        return _score(_predicted(near, weights[:, :k], y.max() + 1), y[rows], binary)

    def scores(places: Tensor, weights: Tensor) -> tuple[float, Floats]:
        each = [score(*one, part.test, places, weights) for one in chosen]
        return float(np.mean([v for v, _ in each])), np.mean([i for _, i in each], axis=0)

    def variance(influence: Floats) -> float:
        return (found(0.0, influence, codes, part.test).stderr or 0.0) ** 2

    for column, kind in zip(codes.labels.values.T, codes.labels.kinds, strict=True):
        if not np.ptp(column[part.train]) or not np.ptp(column[part.test]):
            continue
        y, binary = np.unique(column, return_inverse=True)[1], kind == "binary"
        valid = judged, places[:count], weights[:count]
        quality = [score(k, y, binary, *valid)[0] if count else 0.0 for k in grid]
        chosen.append((grid[int(np.argmax(quality))], y, binary))
    if not chosen:
        raise UserError("every label is the same on all rows that are fitted on, or scored")
    notes = [f"k = {', '.join(map(str, sorted({k for k, *_ in chosen})))}"]
    if left_out := len(codes.labels.kinds) - len(chosen):
        notes.append(f"labels with one value in a part, left out: {left_out}")
    near = slice(3 * max(k for k, *_ in chosen))  # so that half of them are enough
    places, weights, variances = places[count:, near], weights[count:, near], []
    value, influence = scores(places, weights)
    for draw in range(DRAWS):
        half = torch.as_tensor(blocks_of(codes, 2, draw)[part.train] > 0)[places]
        orders = (torch.argsort(of, dim=1, stable=True) for of in (half.int(), 1 - half.int()))
        (a, i), (b, j) = (scores(places.gather(1, o), weights.gather(1, o)) for o in orders)
        variances.append(((a - b) ** 2 - variance(i - j)) / 4)
    scale = 1 + max(float(np.mean(variances)), 0.0) / (variance(influence) or 1)
    return found(value, influence * scale**0.5, codes, part.test, *notes)


NUMBERS = {"knn": Number(Knn, knn, kinds=("binary", "classes"))}
