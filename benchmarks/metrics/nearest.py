"""Nearest neighbours, and quantiles of distances with their errors."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.metrics.group import Group
from benchmarks.metrics.sets.frechet import refuse_not_finite
from reports.records.estimate import (
    Error,
    Estimate,
    influences_on_mean,
)

ROWS, COLUMNS = 1024, 8192  # queries and corpus vectors compared at once
QUANTILES = {"median": 0.5, "5th percentile": 0.05}


def nearest(
    queries: np.ndarray, corpus: np.ndarray, device: torch.device | str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """For each query the distance and index of its nearest vector in `corpus`.

    Takes N x d and M x d of any number type; returns Euclidean distances (float64 [N]) and indices
    (int64 [N]). The search multiplies matrices in float32, block by block, on centred vectors. The
    distance of the pair found is computed again in float64, so that a copy is at distance 0. Raises
    UserError if a vector is not finite.
    """
    for vectors in (queries, corpus):
        refuse_not_finite(vectors)
    centre = corpus.mean(0, dtype=np.float64).astype(np.float32)
    best = torch.full((len(queries),), torch.inf, device=device)
    index = torch.zeros(len(queries), dtype=torch.int64, device=device)
    for start, block in _blocks(corpus, COLUMNS):
        columns = torch.from_numpy(block - centre).to(device)
        squares = columns.square().sum(1)
        for row, part in _blocks(queries, ROWS):
            rows = torch.from_numpy(part - centre).to(device)
            # |r - c|^2 without |r|^2, which is the same for every c
            distance, place = torch.addmm(squares, rows, columns.T, alpha=-2).min(1)
            block_rows = slice(row, row + len(part))
            closer = distance < best[block_rows]
            best[block_rows] = torch.where(closer, distance, best[block_rows])
            index[block_rows] = torch.where(closer, place + start, index[block_rows])
    nearest_of = index.cpu().numpy()
    distances = [
        _distances(part, corpus[nearest_of[row : row + len(part)]])
        for row, part in _blocks(queries, ROWS)
    ]
    return np.concatenate(distances), nearest_of


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.subtract(a, b, dtype=np.float64), axis=1)


def _blocks(array: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    return ((start, array[start : start + size]) for start in range(0, len(array), size))


def estimate_quantiles(values: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Estimate]:
    """The QUANTILES of values [N] by name; a missing error has a reason."""
    return {name: estimate_quantile(values, q, groups, name) for name, q in QUANTILES.items()}


def estimate_quantile(
    values: np.ndarray, q: float, groups: np.ndarray | None = None, name: str = "quantile"
) -> Estimate:
    """The q-quantile of [N] values; without an error if there are too few values for one.

    The error is the width of Woodruff's 95 % interval (1952) over 2 x 1.96; the interval lies
    between the order statistics at q +- 1.96 sqrt(q (1 - q) / N): no density is estimated and
    nothing is resampled. There is no error where an end lies beyond the smallest or largest value,
    as for the 5th percentile of fewer than 73 values. Cutting the interval there would make the
    error too small: of 20 values 0.6 times the true one. Where values of one of `groups` [N] are
    not independent, the variance of the share below is that of the groups. Whether there are too few
    is then decided as if the values of a group were equal: decided by their estimated variance, an
    error would be stated where that happens to be too small.
    """
    simple = 1.96 * np.sqrt(q * (1 - q) / len(values))
    half, widest = simple, simple
    value = float(np.quantile(values, q))
    if groups is not None:
        half = simple * np.sqrt(_design_effect(values <= value, groups))
        widest = max(half, simple * np.sqrt(_largest_design_effect(groups)))
    if not widest <= q <= 1 - widest:
        why = f"no error: too few images or persons for that of a {name}"
        return Estimate(value, n=len(values), why=why)
    low, high = np.quantile(values, [q - half, q + half])
    stderr = float((high - low) / (2 * 1.96))
    return Estimate(value, error=Error(stderr, math.inf), n=len(values))


def _largest_design_effect(groups: np.ndarray) -> float:
    """The design effect of groups [N] whose members are equal: the sum of squared sizes over N."""
    sizes = np.unique(groups, return_counts=True)[1]
    return float((sizes**2).sum() / len(groups))


def _design_effect(hits: np.ndarray, groups: np.ndarray) -> float:
    """The variance of a share of [N] for independent groups over that for independent members (design
    effect; Kish, 1965); 1 for groups of one.
    """
    members, whole = influences_on_mean(hits, ""), influences_on_mean(hits, "", groups)
    if not whole or not members[0].variance:
        return 1.0
    return whole[0].variance / members[0].variance


def estimate_ratio(above: Estimate, below: Estimate) -> Estimate:
    """The ratio of two independent numbers (delta method); without an error where one has none."""
    if above.value is None or not below.value:
        none = "held-out images are at distance 0: no ratio"
        return Estimate(None, n=above.n, why=none)
    a, b = above.value, below.value
    if above.stderr is None or below.stderr is None:
        return Estimate(a / b, n=above.n, why=above.why or below.why)
    stderr = float(np.hypot(above.stderr, below.stderr * a / b) / b)
    return Estimate(a / b, error=Error(stderr, math.inf), n=above.n)


def estimate_ratios(
    samples: np.ndarray, held_out: np.ndarray, groups: np.ndarray | None = None
) -> dict[str, Estimate]:
    """The ratio of each quantile of distances [N] of samples to that of held-out images [M], by its name.

    `groups` [M] are of held-out images that are not independent, such as those of one person.
    """
    above, below = estimate_quantiles(samples), estimate_quantiles(held_out, groups)
    return {name: estimate_ratio(above[name], below[name]) for name in QUANTILES}


GROUPS = (
    Group(("nn_inception", "nn_pixels"), "nearest neighbours of samples", estimate_quantiles),
    Group(
        ("nn_ratio_inception", "nn_ratio_pixels"), "nearest neighbours of samples", estimate_ratios
    ),
)
