"""How well factors are read from codes: `explicitness` and `infoe`, and how well they match: `mcc`, `cca`.

    explicitness  mean AUROC of each class against the others (Ridgeway and Mozer 2018)
    infoe         the share of a factor's entropy that the classifier explains (Hsu et al. 2023)
    mcc           the mean correlation with the dimension that a factor is matched with
    cca           the mean canonical correlation, along any directions

All are means over factors. The first two are of a multinomial logistic regression of each. The others
are correlations on rows that the match was not made on, with its error over these rows and the match
fixed; a label of classes counts as the number of its class.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax

from benchmarks.metrics.codes.axes import refuse_real_values
from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Ints, Kind, Split
from benchmarks.metrics.codes.errors import estimate_on_rows, of_columns
from benchmarks.metrics.codes.invariant import linear
from benchmarks.metrics.codes.invariant.linear import LinearFit, Scores, Task, pearson
from benchmarks.metrics.codes.number import single
from diffae.system.errors import UserError
from probes.linear import LinearProbe
from probes.scores import auc_influence
from probes.softmax import softmax_loss
from reports.records.estimate import Estimate

BALANCED, ONE_HOT = "without penalty, balanced", "one-hot, balanced"
LEAST = 1e-300  # of a probability


class Explicitness(LinearFit):
    """The choices of `explicitness`. A factor of two values is one of two classes."""


@dataclass(frozen=True)
class Infoe(LinearFit):
    """The choices of `infoe`.

    learner   "penalised", its C chosen by the likelihood; or scikit-learn's of 100 steps without a
              penalty that weighs classes as equally frequent, as does the entropy that it is
              compared with; or this with a feature for each value of a dimension ("one-hot"), for
              codes of quantised models
    """

    learner: Literal["penalised", "without penalty, balanced", "one-hot, balanced"] = "penalised"


def log_likelihood(probe: LinearProbe, features: Any, labels: Any) -> float:
    """The mean log likelihood of one-hot labels [n, C]."""
    log_p = log_softmax(probe.logits(features).double().numpy(), axis=1)
    return float((log_p * labels.numpy()).sum(1).mean())


def balanced(x: Any, y: Floats, rows: Ints) -> Floats:
    """Log probabilities [n, C] by scikit-learn, of one-hot y [n, C]; x may be sparse."""
    from sklearn.linear_model import LogisticRegression

    probabilities = np.full(y.shape, LEAST)
    model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 100 steps do not suffice
        model.fit(x[rows], y[rows].argmax(1))
    probabilities[:, model.classes_] = model.predict_proba(x).clip(LEAST)
    return np.log(probabilities)


def of_values(x: Floats) -> Any:
    """A sparse column for each value of each dimension of x [n, d]."""
    from sklearn.preprocessing import OneHotEncoder

    refuse_real_values(x)
    return OneHotEncoder().fit_transform(x)


def one_hot(y: Floats, count: int) -> Floats:
    """The classes y [n, 1] as n x count."""
    return np.eye(count)[y[:, 0].astype(int)]


def log_probabilities(task: Task) -> Iterator[Floats]:
    """Log probabilities [n, C] of the classes of one factor."""
    task = replace(task, y=one_hot(task.y, int(task.y.max()) + 1))
    learner = task.choices.learner if isinstance(task.choices, Infoe) else "penalised"
    if learner == ONE_HOT:
        yield balanced(of_values(task.x), task.y, task.fitted)
    elif learner == BALANCED:
        yield balanced(task.x, task.y, task.fitted)
    else:
        yield log_softmax(linear.classifier(task, softmax_loss, log_likelihood), axis=1)


def aurocs(log_p: Floats, y: Floats, _: Explicitness) -> tuple[float, Floats]:
    """The mean AUROC of the classes that occur in y [n, C], and the influence [n] of each row."""
    there = np.ptp(y, axis=0) > 0
    each, influence = linear.by_column(auc_influence, log_p[:, there], y[:, there])
    return float(np.mean(each)), influence.mean(1)


def explained(log_p: Floats, y: Floats, choices: Infoe) -> tuple[float, Floats]:
    """1 less the cross-entropy over the entropy of y [n, C], and the influence [n] of each row."""
    shares = np.full(y.shape[1], 1 / y.shape[1])
    if choices.learner == "penalised":
        shares = y.mean(0)
    loss = -(log_p * y).sum(1)
    entropy = -(np.log(shares.clip(LEAST)) * y).sum(1)
    ratio = loss.mean() / entropy.mean()
    return 1 - ratio, of_columns(ratio * entropy - loss) / entropy.mean()


def _of_factors(
    score: Callable[..., tuple[float, Floats]], codes: Codes, choices: LinearFit, seed: int
) -> Estimate:
    """The mean over factors of a score of their classifiers."""

    def scores(log_p: Floats, y: Floats) -> Scores:
        if not np.ptp(y):
            return np.array([np.nan]), np.full(y.shape, np.nan)
        value, influence = score(log_p, one_hot(y, log_p.shape[1]), choices)
        return np.array([value]), influence[:, None]

    alone = np.hsplit(codes.classes.astype(float), codes.y.shape[1])
    return linear.estimate_by_fits(log_probabilities, scores, codes, choices, seed, alone)


# ----------------------------------------------------------------------------------------------
# Codes and factors matched one to one


@dataclass(frozen=True)
class Mcc(Split):
    """The mean correlation coefficient, of Pearson's correlations.

    rows  dimensions are assigned on the rows that are fitted on: "held out" or "in-sample" of `Split`
    """

    rows: Literal["held out", "in-sample"] = "held out"


class Cca(LinearFit):
    """The choices of `cca`: the penalty is the one of the largest mean correlation."""


def mcc(codes: Codes, choices: Mcc, seed: int) -> Estimate:
    """The mean correlation of each factor with the dimension that is assigned to it, so that the sum of
    absolute correlations is the largest, with the sign that it has there.

    Factors without a dimension, where there are fewer, count as 0.
    """
    (part,), x, y = choices.folds(codes, seed), codes.values, codes.y
    fitted, test = part.fitted, part.test
    copies = (np.repeat(label[:, None], x.shape[1], 1) for label in y[fitted].T)
    matrix = np.nan_to_num([pearson(x[fitted], label)[0] for label in copies])  # K x d
    pairs = linear_sum_assignment(-np.abs(matrix))
    r, influence = pearson(x[test][:, pairs[1]], y[test][:, pairs[0]])
    signs = np.sign(matrix[pairs]) / y.shape[1]
    value, influence = np.nan_to_num(r) @ signs, np.nan_to_num(influence) @ signs
    return estimate_on_rows(value, influence, codes, test)


def cca(codes: Codes, choices: Cca, seed: int) -> Estimate:
    """The mean canonical correlation of codes and labels; those that the code has too few dimensions
    for count as 0.

    The directions are those of the fitted rows: of the labels, whitened, the principal axes of what
    a ridge regression predicts of them, and of the codes, its weights along these. Without a penalty
    they are those of the canonical correlation analysis (Hotelling 1936).
    """
    u, s, _ = np.linalg.svd(codes.y - codes.y.mean(0), full_matrices=False)
    white = u[:, s > s[0] * 1e-10]
    if any(len(part.train) < white.shape[1] for part in choices.folds(codes, seed)):
        raise UserError(f"cca: needs {white.shape[1]} training rows for as many labels: give more")
    return linear.estimate_by_fits(_along_axes, _correlations, codes, choices, seed, [white])


def _along_axes(task: Task) -> Iterator[Floats]:
    """Codes and labels along the directions [n, 2 K] of each regression."""
    for predicted in linear.regressions(task):
        centred = predicted - predicted[task.fitted].mean(0)
        _, s, axes = np.linalg.svd(centred[task.fitted], full_matrices=False)
        there = s > s[0] * 1e-6  # a code of fewer dimensions than labels has fewer correlations
        yield np.hstack([centred @ axes.T * there, task.y @ axes.T])


def _correlations(both: Floats, _: Floats) -> Scores:
    return pearson(*np.hsplit(both, 2))


ANY: tuple[Kind, ...] = (*DISCRETE, "real")


GROUPS = (
    single("explicitness", partial(_of_factors, aurocs), Explicitness, DISCRETE, is_scored=True),
    single("infoe", partial(_of_factors, explained), Infoe, DISCRETE, is_scored=True),
    single("mcc", mcc, Mcc, ANY, is_scored=True),
    single("cca", cca, Cca, ANY, is_scored=True),
)
