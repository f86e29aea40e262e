"""Classification by the nearest codes: `knn`.

For labels of classes the number is the accuracy, for binary ones the balanced accuracy; of several
labels it is their mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Found, Ints, parts
from benchmarks.metrics.codes.errors import mean_of_labels
from benchmarks.metrics.codes.invariant.linear import standardised
from benchmarks.metrics.codes.number import Number
from diffae.system.settings import Range

Bools = NDArray[np.bool_]
GRID = (1, 5, 10, 20, 50, 100, 200)
AT_ONCE = 2**24  # distances


@dataclass(frozen=True)
class Knn:
    """k-NN among the training rows.

    neighbours   k; 0: the best of GRID on the validation rows, for each label
    scaling      of the codes: "standardised" by the training rows, or "unit length" (then the nearest
                 are those of the largest cosine)
    temperature  T of the votes exp(-distance^2 / 2T), of unit codes exp(cosine / T) but for a
                 factor; 0: equal votes
    """

    neighbours: Annotated[int, Range(0, 10_000)] = 0
    scaling: Literal["standardised", "unit length"] = "standardised"
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


def _best(
    hits: Mapping[int, Bools], truth: Ints, count: int, balanced: bool
) -> tuple[int, float, Floats]:
    """The k that is best on the first `count` rows, and how it does on the others."""
    k = max(hits, key=lambda k: _score(hits[k][:count], truth[:count], balanced)[0])
    return k, *_score(hits[k][count:], truth[count:], balanced)


def knn(codes: Codes, how: Knn, seed: int) -> Found:
    """The mean score of the labels, its error over the scored images with the neighbours fixed."""
    assert codes.labels is not None
    part, t = parts(codes, seed), how.temperature
    is_unit = how.scaling == "unit length"
    x = torch.as_tensor(codes.values if is_unit else standardised(codes.values, part.train))
    x = (normalize(x) if is_unit else x).float()
    given = (how.neighbours,) if how.neighbours else GRID
    grid = [k for k in given if k <= len(part.train)] or [len(part.train)]
    rows, count = np.concatenate([part.valid, part.test]), len(part.valid)
    squares, places = nearest(x[rows], x[part.train], max(grid))
    weights = torch.exp((squares[:, :1] - squares) / (2 * t)) if t else torch.ones_like(squares)
    scores, chosen = [], set()
    for y, kind in zip(codes.classes.T, codes.labels.kinds, strict=True):
        classes = torch.as_tensor(y[part.train])[places]
        hits = {k: _predicted(classes[:, :k], weights[:, :k]) == y[rows] for k in grid}
        k, value, influence = _best(hits, y[rows], count, kind == "binary")
        varied = np.ptp(y[part.train]) and np.ptp(y[part.test])
        scores.append((value if varied else np.nan, influence))
        chosen |= {k} if varied else set()
    values, influences = map(np.array, zip(*scores, strict=True))
    told = f"k = {', '.join(map(str, sorted(chosen)))}"
    return mean_of_labels([(values, influences.T, part.test)], codes, told)


NUMBERS = {"knn": Number(Knn, knn, kinds=DISCRETE)}
