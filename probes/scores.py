"""Scores of binary classifiers and their standard errors.

AUROC, average precision and accuracy are scikit-learn's. The standard error of AUROC is DeLong's
(DeLong et al., 1988), extended to attributes with different labels, so that the mean over correlated
attributes has an error too. AUROC and average precision are nan if there is only one class.
scikit-learn takes a second to import, so the functions that need it import it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


def _has_both(labels: Bools) -> bool:
    return bool(labels.any() and not labels.all())


def auroc(scores: Floats, labels: Bools) -> float:
    """Area under the ROC curve of scores [N] for boolean labels [N]; nan with one class."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores)) if _has_both(labels) else math.nan


def average_precision(scores: Floats, labels: Bools) -> float:
    """Average precision of scores [N] for boolean labels [N]; nan with one class."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores)) if _has_both(labels) else math.nan


def accuracy(logits: Floats, labels: Bools) -> float:
    """Fraction of logits [N] whose sign agrees with the label; 0 counts as negative."""
    return float(np.mean((logits > 0) == labels))


def auc_influence(scores: Floats, labels: Bools) -> tuple[float, NDArray[np.float64]]:
    """AUROC of scores [N], and the influence [N] of each image on it.

    With m positives and n negatives, the structural components of DeLong are V10, for a positive
    the fraction of negatives with a lower score, and V01, for a negative the fraction of positives
    with a higher score; equal scores count half. The influence is (V10 - AUC) / sqrt(m (m - 1)) or
    (V01 - AUC) / sqrt(n (n - 1)), so that its sum of squares is S10 / m + S01 / n, DeLong's variance.
    """
    m, n = int(labels.sum()), int((~labels).sum())
    if m == 0 or n == 0:
        return math.nan, np.full(len(labels), math.nan)
    v10 = _lower(scores[~labels], scores[labels]) / n
    v01 = 1 - _lower(scores[labels], scores[~labels]) / m
    auc = float(v10.mean())
    influence = np.full(len(labels), math.nan)
    if m > 1 and n > 1:
        influence[labels] = (v10 - auc) / math.sqrt(m * (m - 1))
        influence[~labels] = (v01 - auc) / math.sqrt(n * (n - 1))
    return auc, influence


def _lower(scores: Floats, than: Floats) -> NDArray[np.float64]:
    """For each score in `than`, the number of `scores` that are lower; equal scores count half."""
    ordered = np.sort(scores)
    return (np.searchsorted(ordered, than) + np.searchsorted(ordered, than, "right")) / 2


def ap_influence(scores: Floats, labels: Bools) -> tuple[float, NDArray[np.float64]]:
    """Average precision of scores [N], and the influence [N] of each image on it.

    AP is the mean over positives i of the precision P_i = TP_i / N_i among the images scored at
    least as high. Its derivative by the weight of image k (Efron's infinitesimal jackknife) is,
    over m positives,

        ( [k positive] (P_k - AP) + sum over positives i with s_i <= s_k of ([k positive] - P_i) / N_i ) / m

    whose sum of squares is the variance. With one class all is nan.
    """
    m = int(labels.sum())
    if m == 0 or m == len(labels):
        return math.nan, np.full(len(labels), math.nan)
    _, level = np.unique(-scores, return_inverse=True)  # 0 is the highest score; ties share a level
    positives = np.bincount(level, weights=labels)
    retrieved = np.cumsum(np.bincount(level))
    precision = np.cumsum(positives) / retrieved
    ap = float(precision @ positives / m)
    # Sums over the levels from that of image k downwards.
    hits = np.cumsum((positives / retrieved)[::-1])[::-1]
    misses = np.cumsum((positives * precision / retrieved)[::-1])[::-1]
    own = np.where(labels, precision[level] - ap + hits[level], 0.0)
    return ap, (own - misses[level]) / m


def accuracy_influence(logits: Floats, labels: Bools) -> tuple[float, NDArray[np.float64]]:
    """Accuracy of logits [N], and the influence [N] of each image: (correct - accuracy) / sqrt(N (N - 1))."""
    n = len(labels)
    value = accuracy(logits, labels)
    if n < 2:
        return value, np.full(n, math.nan)
    return value, (((logits > 0) == labels) - value) / math.sqrt(n * (n - 1))


def influences(logits: Floats, labels: Bools) -> dict[str, NDArray[np.float64]]:
    """Influence [N, A] of each image on "auroc", "ap" and "accuracy" of A attributes; nan if undefined.

    If images are drawn independently, the variance of a score is the sum of its squared influences, and
    the influence on a (weighted) mean of scores is the same mean of influences. The covariance of two
    attributes is the sum of products. That is DeLong's covariance if their labels are the same. Otherwise,
    as an image may be a positive of one and a negative of the other, it is the same first-order
    (infinitesimal jackknife) estimate. Perfect separation has variance 0. Raises ValueError for logits that are
    not finite.
    """
    _check(logits, labels)
    functions = {"auroc": auc_influence, "ap": ap_influence, "accuracy": accuracy_influence}
    columns = list(zip(logits.T, labels.T, strict=True))
    return {
        name: np.stack([influence(s, y)[1] for s, y in columns], axis=1)
        for name, influence in functions.items()
    }


@dataclass(frozen=True)
class AttributeScore:
    """One attribute's AUROC, average precision, accuracy (at logit 0) and prevalence, all in [0, 1]."""

    name: str
    auroc: float
    ap: float
    accuracy: float
    prevalence: float


@dataclass(frozen=True)
class Summary:
    """Scores by attribute and their means.

    The means of AUROC and average precision are without the attributes `excluded`, which have only one
    class. The mean accuracy is over all. `weighted_auroc` is weighted by the prevalence of the attributes
    in these images.
    """

    attributes: list[AttributeScore]
    mean_auroc: float
    weighted_auroc: float
    mean_ap: float
    mean_accuracy: float
    excluded: tuple[str, ...]


def _check(scores: Floats, labels: Bools) -> None:
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(f"need scores and labels [N, A], not {scores.shape} and {labels.shape}")
    if labels.dtype != np.bool_:
        raise ValueError(f"labels must be boolean, not {labels.dtype}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")


def summarise(logits: Floats, labels: Bools, names: Sequence[str]) -> Summary:
    """Scores of logits [N, A] for boolean labels [N, A] of A names, and their means.

    A mean over no attribute is nan. Raises ValueError for logits that are not finite.
    """
    _check(logits, labels)
    attributes = []
    for name, s, y in zip(names, logits.T, labels.T, strict=True):
        scores = auc_influence(s, y)[0], average_precision(s, y), accuracy(s, y)
        attributes.append(AttributeScore(name, *scores, float(y.mean())))
    aucs = np.array([a.auroc for a in attributes])
    defined = ~np.isnan(aucs)
    return Summary(
        attributes,
        mean_auroc=_mean(aucs[defined]),
        weighted_auroc=_mean(aucs[defined], labels.mean(0)[defined]),
        mean_ap=_mean(np.array([a.ap for a in attributes])[defined]),
        mean_accuracy=_mean(np.array([a.accuracy for a in attributes])),
        excluded=tuple(a.name for a in attributes if math.isnan(a.auroc)),
    )


def _mean(values: Floats, weights: Floats | None = None) -> float:
    return float(np.average(values, weights=weights)) if len(values) else math.nan
