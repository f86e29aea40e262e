"""Multinomial logistic regression: a linear classifier of exclusive classes, and its top-k accuracy.

Labels are one-hot, [N, A] with one true value in each row. They have the form of the labels of binary
probes of the same attributes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes.linear import LinearProbe, fit_best, gradient_of


def softmax_loss(
    weights: Tensor, features: Tensor, labels: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """Penalised cross-entropy and its gradient, for one-hot `labels` [N, A].

        f = 1/N sum_i -log softmax(l_i)_{y_i} + penalty/2 |w|^2,   l = x w + b
        df/dl = (softmax(l) - y) / N

    `weights` [d + 1, A] has the bias as its last row, which is not penalised.
    """
    w, b = weights[:-1], weights[-1]
    log_p = torch.log_softmax(torch.addmm(b, features, w), dim=1)
    residual = (log_p.exp() - labels) / len(features)
    log_loss = -(labels * log_p).sum(dtype=torch.float64) / len(features)
    value = log_loss + penalty / 2 * w.double().square().sum()
    return value, gradient_of(weights, features, residual, penalty)


def is_exclusive(labels: NDArray[np.bool_]) -> bool:
    """Whether each image has exactly one of several attributes, labels [N, A]."""
    return labels.shape[1] > 1 and bool((labels.sum(axis=1) == 1).all())


def top_hits(logits: NDArray[np.floating], labels: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """Whether the class of each image [N] is among its k highest logits [N, A].

    Of equal logits the first class counts as the highest.
    """
    column = labels.argmax(axis=1)[:, None]
    own = np.take_along_axis(logits, column, axis=1)
    before = np.arange(logits.shape[1]) < column
    return ((logits > own) | ((logits == own) & before)).sum(axis=1) < k


def top1(probe: LinearProbe, features: Tensor, labels: Tensor) -> float:
    """Share of images whose class has the highest logit, for one-hot labels [N, A]."""
    logits, truth = probe.logits(features).cpu().numpy(), labels.bool().cpu().numpy()
    return float(top_hits(logits, truth, 1).mean())


def fit_best_softmax(
    features: Tensor,
    labels: Tensor,
    valid_features: Tensor,
    valid_labels: Tensor,
    grid: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0),
) -> tuple[LinearProbe, float]:
    """As `fit_best`, for exclusive classes. C is the one with the best top-1 accuracy.

    The probe is scikit-learn's `LogisticRegression(C=C)` for several classes, on the same normalised
    features. A class without images in `labels` has zero weight, and the bias of half an image.
    """
    return fit_best(features, labels, valid_features, valid_labels, grid, softmax_loss, top1)
