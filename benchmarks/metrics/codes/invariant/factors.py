"""How well the values of factors are read by linear classifiers: `explicitness` and `infoe`.

    explicitness  mean AUROC of each class against the others (Ridgeway and Mozer 2018)
    infoe         the share of a factor's entropy that the classifier explains (Hsu et al. 2023)

Both are means over factors, of a multinomial logistic regression of each.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from scipy.special import log_softmax

from benchmarks.metrics.codes.data import Codes, Floats, Found, Ints
from benchmarks.metrics.codes.errors import of_columns
from benchmarks.metrics.codes.invariant.linear import (
    Linear,
    Scores,
    by_column,
    classifier,
    measured,
)
from benchmarks.metrics.codes.number import Number
from probes.linear import LinearProbe
from probes.scores import auc_influence
from probes.softmax import softmax_loss

BALANCED = "without penalty, balanced"
LEAST = 1e-300  # of a probability


class Explicitness(Linear):
    """The choices of `explicitness`. A factor of two values is one of two classes."""


@dataclass(frozen=True)
class Infoe(Linear):
    """The choices of `infoe`.

    learner   "penalised", its C chosen by the likelihood; or scikit-learn's of 100 steps without a
              penalty that weighs classes as equally frequent, as does the entropy that it is
              compared with
    """

    learner: Literal["penalised", "without penalty, balanced"] = "penalised"


def log_likelihood(probe: LinearProbe, features: Any, labels: Any) -> float:
    """The mean log likelihood of one-hot labels [n, C]."""
    log_p = log_softmax(probe.logits(features).double().numpy(), axis=1)
    return float((log_p * labels.numpy()).sum(1).mean())


def balanced(x: Floats, y: Floats, rows: Ints) -> Floats:
    """Log probabilities [n, C] by scikit-learn, of one-hot y [n, C]."""
    from sklearn.linear_model import LogisticRegression

    found = np.full(y.shape, LEAST)
    model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 100 steps do not suffice
        model.fit(x[rows], y[rows].argmax(1))
    found[:, model.classes_] = model.predict_proba(x).clip(LEAST)
    return np.log(found)


def aurocs(log_p: Floats, y: Floats, _: Any) -> tuple[float, Floats]:
    """The mean AUROC of the classes that occur in y [n, C], and the influence [n] of each row."""
    there = np.ptp(y, axis=0) > 0
    each, influence = by_column(auc_influence, log_p[:, there], y[:, there])
    return float(np.mean(each)), influence.mean(1)


def explained(log_p: Floats, y: Floats, how: Infoe) -> tuple[float, Floats]:
    """1 less the cross-entropy over the entropy of y [n, C], and the influence [n] of each row."""
    shares = np.full(y.shape[1], 1 / y.shape[1]) if how.learner == BALANCED else y.mean(0)
    loss = -(log_p * y).sum(1)
    entropy = -(np.log(shares.clip(LEAST)) * y).sum(1)
    ratio = loss.mean() / entropy.mean()
    return 1 - ratio, of_columns(ratio * entropy - loss) / entropy.mean()


def _compute(
    codes: Codes, how: Linear, seed: int, score: Callable[..., tuple[float, Floats]]
) -> Found:
    assert codes.labels is not None
    classes = [np.unique(column) for column in codes.labels.values.T]
    ends = np.cumsum([len(one) for one in classes])[:-1]

    def fits(x: Floats, y: Floats, fitted: Ints, judged: Ints, *_: Any) -> Iterator[Floats]:
        hot = [(c[:, None] == one).astype(float) for c, one in zip(y.T, classes, strict=True)]
        if isinstance(how, Infoe) and how.learner == BALANCED:
            every = [balanced(x, one, fitted) for one in hot]
        else:
            last = fitted, judged, how, softmax_loss, log_likelihood
            every = [log_softmax(classifier(x, one, *last), axis=1) for one in hot]
        yield np.concatenate(every, axis=1)

    def scores(log_p: Floats, y: Floats) -> Scores:
        blocks = zip(np.split(log_p, ends, axis=1), y.T, classes, strict=True)
        each = [
            score(block, (column[:, None] == one).astype(float), how)
            if np.ptp(column)
            else (np.nan, np.full(len(y), np.nan))
            for block, column, one in blocks
        ]
        return np.array([value for value, _ in each]), np.stack([i for _, i in each], axis=1)

    return measured(codes, how, seed, fits, scores)


NUMBERS = {
    "explicitness": Number(Explicitness, partial(_compute, score=aurocs), ("binary", "classes")),
    "infoe": Number(Infoe, partial(_compute, score=explained), ("binary", "classes")),
}
