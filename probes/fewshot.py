"""Few-shot classifiers on latents, and the rules by which they accept samples (DiffAE, Table 3).

A classifier trained on a handful of labelled codes filters the samples of an unconditional latent
DDIM into samples of a class. *Binary* learns from k positives and k negatives; *PU* from positives
and unlabelled images taken as negatives.
"""

from collections.abc import Callable
from typing import NamedTuple, Required, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes import linear
from probes.linear import LinearProbe

# The length of an epoch: the authors repeat the labelled images to this length, then shuffle them.
BINARY_EPOCH = 100_000

Indices = NDArray[np.int64]


class FewShotSplit(NamedTuple):
    """Indices of the images shown to a classifier; in PU learning `negatives` are unlabelled."""

    positives: Indices
    negatives: Indices


def _draw(pool: Indices, count: int, rng: np.random.Generator, kind: str) -> Indices:
    if len(pool) < count:
        raise ValueError(f"{count} {kind} images needed, but there are {len(pool)}")
    return rng.choice(pool, count, replace=False)


def binary_split(labels: NDArray[np.bool_], k: int, seed: int) -> FewShotSplit:
    """k positives and k negatives at random from boolean labels [N].

    Raises ValueError if there are too few.
    """
    rng = np.random.default_rng(seed)
    positives = _draw(np.flatnonzero(labels), k, rng, "positive")
    return FewShotSplit(positives, _draw(np.flatnonzero(~labels), k, rng, "negative"))


def pu_split(
    labels: NDArray[np.bool_], n_positive: int = 100, n_unlabeled: int = 10_000, seed: int = 0
) -> FewShotSplit:
    """Positives at random from boolean labels [N], and unlabelled images from all that remain.

    Some of the unlabelled images are positive too, at the natural rate. There are fewer than requested
    if fewer remain. Raises ValueError if there are too few positives or nothing remains.
    """
    rng = np.random.default_rng(seed)
    positives = _draw(np.flatnonzero(labels), n_positive, rng, "positive")
    remaining = np.setdiff1d(np.arange(len(labels)), positives)
    if len(remaining) == 0:
        raise ValueError("every image is a positive example: none is left to be unlabelled")
    count = min(n_unlabeled, len(remaining))
    return FewShotSplit(positives, _draw(remaining, count, rng, "unlabelled"))


class Fit(TypedDict, total=False):
    """The options of `fit_binary` and `fit_pu`.

    Features are normalised by `moments`, mean and deviation [d], by default those of all features.
    With `ema_decay` (the authors use 0.9999) the moving average of the weights is returned. The initial
    weights, which are random, contribute 0.9999^steps to it: 0.86 after 1,562 steps.
    """

    seed: Required[int]
    moments: tuple[Tensor, Tensor]
    ema_decay: float | None


def fit_binary(
    features: Tensor, positives: Indices, negatives: Indices, steps: int = 1562, **fit: Unpack[Fit]
) -> LinearProbe:
    """A classifier of one attribute from few labelled rows of features [N, d].

    Binary cross-entropy, Adam, 1,562 batches of 32 (50,000 samples; the authors' long run has
    18,750 steps).
    """
    n = len(positives) + len(negatives)

    def batches(generator: np.random.Generator) -> Tensor:
        return linear.shuffled_batches(n, steps, generator, max(BINARY_EPOCH, n))

    return _fit(features, positives, negatives, batches, **fit)


def fit_pu(
    features: Tensor, positives: Indices, unlabeled: Indices, steps: int = 3125, **fit: Unpack[Fit]
) -> LinearProbe:
    """As `fit_binary`, from positives and from unlabelled rows that are taken as negatives.

    Each step has a batch of both, so the classes are balanced. The authors count only one of the two
    batches: 100,000 samples are 3,125 steps, and the 600,000 of their long run are 18,750.
    """
    counts = len(positives), len(unlabeled)

    def batches(generator: np.random.Generator) -> Tensor:
        first, second = (linear.shuffled_batches(n, steps, generator, max(counts)) for n in counts)
        return torch.cat([first, second + len(positives)], dim=1)

    return _fit(features, positives, unlabeled, batches, **fit)


def _fit(
    features: Tensor,
    positives: Indices,
    negatives: Indices,
    batches: Callable[[np.random.Generator], Tensor],
    **fit: Unpack[Fit],
) -> LinearProbe:
    """Train a classifier; `batches` index the positives followed by the negatives."""
    linear.check_features(features)
    rows = torch.from_numpy(np.concatenate([positives, negatives])).to(features.device)
    y = (torch.arange(len(rows), device=features.device) < len(positives)).float()[:, None]
    moments = fit.get("moments") or linear.feature_moments(features)
    return linear.adam_probe(features[rows], y, batches, fit["seed"], moments, fit.get("ema_decay"))


# Acceptance: p is the classifier's probability of the wanted class (1 - p for the negative class),
# u is uniform in [0, 1). It is not known which rule the authors used for Table 3.


def accept_threshold(p: Tensor, u: Tensor) -> Tensor:
    """Accept if p > 0.5: the authors' script with the short-trained classifier (variant A)."""
    return p > 0.5


def accept_probability(p: Tensor, u: Tensor) -> Tensor:
    """Accept with probability p: the text of the paper."""
    return u < p


def accept_threshold_and_probability(p: Tensor, u: Tensor) -> Tensor:
    """Accept if p > 0.5, and then with probability p: the authors' "reject" (variant B)."""
    return (p > 0.5) & (u < p)
