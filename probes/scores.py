"""Scores of binary classifiers and their standard errors.

AUROC, average precision and accuracy are scikit-learn's. A standard error of AUROC is DeLong's
(DeLong et al., 1988) by the midranks of Sun & Xu (2014), carried over to attributes with labels of
their own so that the mean over correlated attributes has one too. A score that one class leaves
undefined is nan everywhere. scikit-learn and SciPy's statistics take a second to import, and are where they are used.
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
    """Share of logits [N] on their label's side of 0 (0 itself is negative)."""
    return float(np.mean((logits > 0) == labels))


@dataclass(frozen=True)
class DeLong:
    """AUROC `aucs` [A] of A classifiers on the same images, and their `covariance` [A, A].

    An AUROC is nan where a class is absent, a variance (and covariance) where it has < 2 images.
    """

    aucs: NDArray[np.float64]
    covariance: NDArray[np.float64]


def auc_influence(scores: Floats, labels: Bools) -> tuple[float, NDArray[np.float64]]:
    """AUROC of scores [N], and the influence [N] of each image on it.

    With m positives, n negatives and midranks R over all images and R+, R- within a class, the
    structural components of DeLong are V10 = (R - R+) / n for a positive, the share of negatives
    that it beats, and V01 = 1 - (R - R-) / m for a negative (Sun & Xu, 2014, equations 8 and 9).
    The influence is (V10 - AUC) / sqrt(m (m - 1)) or (V01 - AUC) / sqrt(n (n - 1)), so that its
    sum of squares is S10 / m + S01 / n, DeLong's variance.
    """
    m, n = int(labels.sum()), int((~labels).sum())
    if m == 0 or n == 0:
        return math.nan, np.full(len(labels), math.nan)
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    v10 = (ranks[labels] - rankdata(scores[labels])) / n
    v01 = 1 - (ranks[~labels] - rankdata(scores[~labels])) / m
    auc = float(v10.mean())
    influence = np.full(len(labels), math.nan)
    if m > 1 and n > 1:
        influence[labels] = (v10 - auc) / math.sqrt(m * (m - 1))
        influence[~labels] = (v01 - auc) / math.sqrt(n * (n - 1))
    return auc, influence


def ap_influence(scores: Floats, labels: Bools) -> tuple[float, NDArray[np.float64]]:
    """Average precision of scores [N], and the influence [N] of each image on it.

    AP is the mean over positives i of the precision P_i = TP_i / N_i among the images scored at least as
    high. Its derivative by the weight of image k (Efron's infinitesimal jackknife) is, over m positives,

        ( [k positive] (P_k - AP) + sum over positives i with s_i <= s_k of ([k positive] - P_i) / N_i ) / m

    whose sum of squares is the variance. With one class all is nan.
    """
    m = int(labels.sum())
    if m == 0 or m == len(labels):
        return math.nan, np.full(len(labels), math.nan)
    _, level = np.unique(-scores, return_inverse=True)  # 0 is the highest score; ties share a level
    positives = np.bincount(level, weights=labels)
    found, taken = np.cumsum(positives), np.cumsum(np.bincount(level))
    precision = found / taken
    ap = float(precision @ positives / m)
    # Sums over the levels from k's own downwards.
    hits = np.cumsum((positives / taken)[::-1])[::-1]
    misses = np.cumsum((positives * precision / taken)[::-1])[::-1]
    own = np.where(labels, precision[level] - ap + hits[level], 0.0)
    return ap, (own - misses[level]) / m


def accuracy_influence(logits: Floats, labels: Bools) -> tuple[float, NDArray[np.float64]]:
    """Accuracy of logits [N] and the influence [N] of each image on it: (correct - accuracy) / sqrt(N (N - 1))."""
    n = len(labels)
    value = accuracy(logits, labels)
    if n < 2:
        return value, np.full(n, math.nan)
    return value, (((logits > 0) == labels) - value) / math.sqrt(n * (n - 1))


def influences(logits: Floats, labels: Bools) -> dict[str, NDArray[np.float64]]:
    """Influence [N, A] of each image on "auroc", "ap" and "accuracy" of A attributes; nan where undefined.

    The variance of a score is the sum of its squared influences over images drawn independently, and a
    (weighted) mean of scores has the same mean of influences.
    """
    _check(logits, labels)
    parts = {"auroc": auc_influence, "ap": ap_influence, "accuracy": accuracy_influence}
    columns = range(logits.shape[1])
    return {
        name: np.stack([part(logits[:, a], labels[:, a])[1] for a in columns], axis=1)
        for name, part in parts.items()
    }


def delong(scores: Floats, labels: Bools) -> DeLong:
    """AUROCs of scores [N, A] for boolean labels [N, A], with their covariance.

    The covariance of two attributes is the sum over images of the product of their influences.
    With the same labels this is DeLong's own; with different ones an image may be a positive of one
    attribute and a negative of the other, and the sum is the same first-order (infinitesimal
    jackknife) estimate for images drawn independently. Perfect separation has variance 0.
    Raises ValueError for scores that are not finite.
    """
    _check(scores, labels)
    pairs = [auc_influence(scores[:, a], labels[:, a]) for a in range(scores.shape[1])]
    influence = np.stack([influence for _, influence in pairs], axis=1)
    return DeLong(np.array([auc for auc, _ in pairs]), influence.T @ influence)


def mean_stderr(covariance: Floats, weights: Floats | None = None) -> float:
    """Standard error of the (weighted) mean of A estimates with covariance [A, A].

    The weights [A] are taken as constants and need not sum to 1. The mean of nothing gives nan.
    """
    if len(covariance) == 0:
        return math.nan
    w = np.ones(len(covariance)) if weights is None else np.asarray(weights, dtype=np.float64)
    w = w / w.sum()
    return float(np.sqrt(w @ covariance @ w))


@dataclass(frozen=True)
class AttributeScore:
    """One attribute's scores on `n` images, `n_positive` of which have it.

    `auroc` (standard error `auroc_stderr`), `ap` (average precision), `accuracy` (at logit 0) and
    `prevalence` are in [0, 1].
    """

    name: str
    auroc: float
    auroc_stderr: float
    ap: float
    accuracy: float
    prevalence: float
    n_positive: int
    n: int


@dataclass(frozen=True)
class Summary:
    """Scores by attribute and their means.

    The means of AUROC and average precision leave out the attributes `excluded`, which have one
    class only; the mean accuracy is over all. `weighted_auroc` weighs by prevalence in the images
    scored. A standard error is nan if an attribute in its mean has a single image of a class.
    """

    attributes: list[AttributeScore]
    mean_auroc: float
    mean_auroc_stderr: float
    weighted_auroc: float
    weighted_auroc_stderr: float
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


def _attribute_scores(
    logits: Floats, labels: Bools, names: Sequence[str], result: DeLong
) -> list[AttributeScore]:
    stderr = np.sqrt(np.diag(result.covariance))
    return [
        AttributeScore(
            name=name,
            auroc=float(result.aucs[a]),
            auroc_stderr=float(stderr[a]),
            ap=average_precision(logits[:, a], labels[:, a]),
            accuracy=accuracy(logits[:, a], labels[:, a]),
            prevalence=float(labels[:, a].mean()),
            n_positive=int(labels[:, a].sum()),
            n=len(labels),
        )
        for a, name in enumerate(names)
    ]


def score_attributes(logits: Floats, labels: Bools, names: Sequence[str]) -> list[AttributeScore]:
    """Scores of logits [N, A] for boolean labels [N, A], one entry for each of A names."""
    return summarise(logits, labels, names).attributes


def summarise(logits: Floats, labels: Bools, names: Sequence[str]) -> Summary:
    """Scores of logits [N, A] for boolean labels [N, A] of A names, and their means.

    The standard errors of the means count the attributes' correlation. Means over no attribute
    are nan.
    """
    if len(names) != labels.shape[1]:
        raise ValueError(f"{len(names)} names for {labels.shape[1]} attributes")
    result = delong(logits, labels)
    attributes = _attribute_scores(logits, labels, names, result)
    defined = ~np.isnan(result.aucs)
    covariance = result.covariance[np.ix_(defined, defined)]
    prevalence = labels.mean(0)[defined]
    return Summary(
        attributes=attributes,
        mean_auroc=_mean(result.aucs[defined]),
        mean_auroc_stderr=mean_stderr(covariance),
        weighted_auroc=_mean(result.aucs[defined], prevalence),
        weighted_auroc_stderr=mean_stderr(covariance, prevalence),
        mean_ap=_mean(np.array([a.ap for a in attributes])[defined]),
        mean_accuracy=_mean(np.array([a.accuracy for a in attributes])),
        excluded=tuple(a.name for a in attributes if math.isnan(a.auroc)),
    )


def _mean(values: Floats, weights: Floats | None = None) -> float:
    return float(np.average(values, weights=weights)) if len(values) else math.nan
