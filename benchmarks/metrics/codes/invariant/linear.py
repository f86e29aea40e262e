"""Linear classifiers and regressions of labels: `auroc`, `ap`, `ridge_r2`, `pearson_r`, `label_mse`.

Each number is a mean over labels. Its error is over the scored images, with the fits fixed: DeLong's
of AUROC, the infinitesimal jackknife of the others.
"""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from benchmarks.metrics.codes.data import NO_CHOICE, NUMERIC, Codes, Floats, Ints, Kind, Split
from benchmarks.metrics.codes.errors import estimate_of_labels, of_columns
from benchmarks.metrics.codes.number import REPRESENTATION, CodeGroup, several, single
from diffae.system.errors import UserError
from probes.linear import GRID, LinearProbe, Loss, fit_best, fit_lbfgs, logistic_loss, mean_auroc
from probes.scores import ap_influence, auc_influence
from reports.records.estimate import Estimate

PENALTIES = tuple(10.0 ** np.arange(-3, 6))
EPOCHS, RATE = 15, 1e-3
ON_TEST = "on the scored rows"


@dataclass(frozen=True)
class LinearFit(Split):
    """A linear fit of each label.

    rows      as of `Split`, but for "drawn"
    scaling   of codes by the rows that are fitted on. A logistic regression standardises in any case
    chosen    what a fit leaves open: "on validation rows", "on the scored rows", or "not": then C or
              the penalty is 1, and the epoch is the last. Validation rows are fitted on too, unless
              they are chosen on
    """

    rows: Literal["held out", "five folds", "in-sample"] = "held out"
    scaling: Literal["standardised", "none"] = "standardised"
    chosen: Literal["on validation rows", "on the scored rows", "not"] = "on validation rows"


@dataclass(frozen=True)
class Fitted(LinearFit):
    """A linear fit with a learner.

    learner   "penalised": a logistic regression whose C, 0.01 to 10, is chosen by the mean AUROC, or
              a ridge regression of which one penalty, 0.001 to 100,000, is chosen for all labels.
              "Adam": 15 epochs at 0.001 without a penalty, of which one is chosen; of classifiers in
              unshuffled batches of 128, of regressions in shuffled ones of 64
    """

    learner: Literal["penalised", "Adam"] = "penalised"


class Auroc(Fitted):
    """The choices of `auroc`."""


class Ap(Fitted):
    """The choices of `ap`."""


class Ridge(LinearFit):
    """The choices of `ridge_r2`: its learner is a ridge regression, as `Fitted` has it."""


@dataclass(frozen=True)
class Regression(Fitted):
    """The choices of `pearson_r` and `label_mse`.

    criterion  of the choice: the mean of "R2", or of Pearson's "r", which is blind to scale
    """

    criterion: Literal["R2", "r"] = "R2"


OfProbe = Callable[[LinearProbe, Tensor, Tensor], float]  # a score of features and labels

# Scores of predictions [n, K] ---------------------------------------------------------------------

# Of K labels, nan if undefined, and the influence [n, K] of each row.
Scores = tuple[Floats, Floats]
Score = Callable[[Floats, Floats], Scores]


def by_column(score: Callable[..., tuple[float, Floats]], logits: Floats, y: Floats) -> Scores:
    """A score of `probes` of each binary label."""
    each = [score(column, truth > 0) for column, truth in zip(logits.T, y.T, strict=True)]
    return np.array([value for value, _ in each]), np.stack([i for _, i in each], axis=1)


def _deviation(y: Floats) -> Floats:
    """The standard deviation of columns, nan of a constant one."""
    return np.where(np.ptp(y, axis=0) > 0, y.std(0), np.nan)


def r2(predicted: Floats, y: Floats) -> Scores:
    """1 less the squared error over the variance of the scored y."""
    error, spread = np.square(y - predicted), np.square(y - y.mean(0))
    ratio = error.mean(0) / _deviation(y) ** 2
    return 1 - ratio, of_columns(ratio * spread - error) / _deviation(y) ** 2


def pearson(a: Floats, b: Floats) -> Scores:
    """Pearson's correlation, which is 0 with a constant prediction and undefined of a constant b."""
    a = (a - a.mean(0)) / np.nan_to_num(_deviation(a), nan=np.inf)
    b = (b - b.mean(0)) / _deviation(b)
    r = (a * b).mean(0)
    return r, of_columns(a * b - r * (a**2 + b**2) / 2)


def mse(predicted: Floats, y: Floats) -> Scores:
    """The mean squared error, in the labels' own units."""
    error = np.square(y - predicted)
    return error.mean(0), of_columns(error)


# Fits: what each candidate predicts of all rows ---------------------------------------------------


@dataclass(frozen=True)
class Task:
    """Scaled codes x [n, d] and labels y [n, K], the rows to fit on, and those that judge choices."""

    x: Floats
    y: Floats
    fitted: Ints
    judged: Ints
    choices: LinearFit
    seed: int


Fits = Callable[[Task], Iterator[Floats]]


@dataclass(frozen=True)
class Predictions:
    """What is predicted in a fold.

    each    predictions and labels [n, K] of the scored rows, by each fit
    varied  which labels have two values or more on the rows that are fitted on
    rows    the rows [n] that are scored
    """

    each: Sequence[tuple[Floats, Floats]]
    varied: NDArray[np.bool_]
    rows: Ints


def classifier(task: Task, loss: Loss = logistic_loss, score: OfProbe = mean_auroc) -> Floats:
    """The logits [n, K] of all rows by the logistic regressions of `probes`."""
    x, y = torch.as_tensor(task.x).float(), torch.as_tensor(task.y).float()
    four = x[task.fitted], y[task.fitted], x[task.judged], y[task.judged]
    if task.choices.chosen == "not":
        return fit_lbfgs(*four[:2], loss=loss).logits(x).numpy()
    try:
        return fit_best(*four, GRID, loss, score)[0].logits(x).numpy()
    except ValueError as error:
        raise UserError(str(error)) from None


def ridges(x: Floats, y: Floats, rows: Ints, penalties: tuple[float, ...]) -> Iterator[Floats]:
    """Ridge regressions on these rows: least squared errors + penalty |w|^2, with a free intercept."""
    mean, centre = x[rows].mean(0), y[rows].mean(0)
    # PyTorch's is many times as fast as NumPy's
    factors = torch.linalg.svd(torch.from_numpy(x[rows] - mean), full_matrices=False)
    u, s, v = (factor.numpy() for factor in factors)
    of_y, rotated = u.T @ (y[rows] - centre), (x - mean) @ v.T
    for penalty in penalties:
        yield centre + rotated @ ((s / (s**2 + penalty))[:, None] * of_y)


def epochs(
    x: Floats, y: Floats, rows: Ints, seed: int, loss: Any, batch: int, shuffled: bool
) -> Iterator[Floats]:
    """`torch.nn.Linear` after each epoch of Adam on these rows; a seed draws its initial weights."""
    features, labels = torch.as_tensor(x).float(), torch.as_tensor(y).float()
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(x.shape[1], y.shape[1])
    bound = x.shape[1] ** -0.5
    for weight in linear.parameters():
        nn.init.uniform_(weight, -bound, bound, generator)
    adam = torch.optim.Adam(linear.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        order = torch.randperm(len(rows), generator=generator) if shuffled else slice(None)
        for part in torch.as_tensor(rows)[order].split(batch):
            adam.zero_grad()
            loss(linear(features[part]), labels[part]).backward()
            adam.step()
        with torch.no_grad():
            yield linear(features).double().numpy()


def classifiers(task: Task) -> Iterator[Floats]:
    """Logits of binary labels."""
    if isinstance(task.choices, Fitted) and task.choices.learner == "Adam":
        loss = binary_cross_entropy_with_logits
        return epochs(task.x, task.y, task.fitted, task.seed, loss, 128, shuffled=False)
    return iter([classifier(task)])


def regressions(task: Task) -> Iterator[Floats]:
    """Predictions of real-valued labels."""
    given = task.x, task.y, task.fitted
    if isinstance(task.choices, Fitted) and task.choices.learner == "Adam":
        return epochs(*given, task.seed, mse_loss, 64, shuffled=True)
    return ridges(*given, (1.0,) if task.choices.chosen == "not" else PENALTIES)


# The number ---------------------------------------------------------------------------------------


def standardised(x: Floats, fitted: Ints) -> Floats:
    """Codes [n, d] of mean 0 and deviation 1 on these rows; a constant dimension is centred."""
    deviation = x[fitted].std(0)
    return (x - x[fitted].mean(0)) / np.where(deviation > 0, deviation, 1)


def best(task: Task, fits: Fits, by: Score) -> Floats:
    """What the fit predicts whose mean score on the judging rows is largest; without choices the last."""

    def quality(predicted: Floats) -> float:
        each = by(predicted[task.judged], task.y[task.judged])[0]
        return float(np.nanmean(each)) if np.isfinite(each).any() else -np.inf

    candidates = fits(task)
    is_last = task.choices.chosen == "not"
    return deque(candidates, 1).pop() if is_last else max(candidates, key=quality)


def predictions(
    codes: Codes,
    choices: LinearFit,
    seed: int,
    fits: Fits,
    by: Score,
    together: Sequence[Floats] = (),
) -> tuple[list[Predictions], list[str]]:
    """What is predicted of the scored rows of each fold by the candidate that is best by the score `by`.

    `together` are the labels [n, K] of each fit: all of them, unless given. Notes say what fits warned of.
    """
    folds, warned = [], dict[str, None]()
    for part in choices.folds(codes, seed):
        fitted = part.train if choices.chosen == "on validation rows" else part.fitted
        judged = part.test if choices.chosen == ON_TEST else part.valid
        if choices.chosen != "not" and not len(judged):
            raise UserError(NO_CHOICE)
        x = codes.values if choices.scaling == "none" else standardised(codes.values, fitted)
        tasks = [Task(x, y, fitted, judged, choices, seed) for y in together or [codes.y]]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            each = [(best(task, fits, by)[part.test], task.y[part.test]) for task in tasks]
        warned |= {str(x.message): None for x in caught if issubclass(x.category, UserWarning)}
        varied = np.ptp(np.hstack([task.y for task in tasks])[fitted], axis=0) > 0
        folds.append(Predictions(each, varied, part.test))
    notes = list(warned)
    if choices.chosen == ON_TEST:
        notes.append("chosen on the scored rows")
    if choices.rows == "in-sample":
        notes.append("fitted on the scored rows")
    return folds, notes


def scored(folds: Sequence[Predictions], score: Score, codes: Codes, *notes: str) -> Estimate:
    """The mean score of the labels."""
    each = []
    for fold in folds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of labels with one value
            scores = [score(predicted, y) for predicted, y in fold.each]
        values = np.where(fold.varied, np.concatenate([value for value, _ in scores]), np.nan)
        each.append((values, np.hstack([influence for _, influence in scores]), fold.rows))
    return estimate_of_labels(each, codes, *notes)


def estimate_by_fits(
    fits: Fits,
    score: Score,
    codes: Codes,
    choices: LinearFit,
    seed: int,
    together: Sequence[Floats] = (),
) -> Estimate:
    """The mean score of the labels, of the candidate that is best by it."""
    folds, notes = predictions(codes, choices, seed, fits, score, together)
    return scored(folds, score, codes, *notes)


def _regression(codes: Codes, choices: Regression, seed: int) -> dict[str, Estimate]:
    by = r2 if choices.criterion == "R2" else pearson
    folds, notes = predictions(codes, choices, seed, regressions, by)
    scores = {"pearson_r": pearson, "label_mse": mse}
    return {name: scored(folds, score, codes, *notes) for name, score in scores.items()}


def _single(
    metric: str, fits: Fits, score: Score, section: type, *kinds: Kind, tables: tuple[str, ...] = ()
) -> CodeGroup:
    """The group of a metric that judges its own fits."""
    estimate = partial(estimate_by_fits, fits, score)
    return single(metric, estimate, section, kinds, is_scored=True, tables=tables)


GROUPS = (
    _single("auroc", classifiers, partial(by_column, auc_influence), Auroc, "binary"),
    _single("ap", classifiers, partial(by_column, ap_influence), Ap, "binary"),
    _single("ridge_r2", regressions, r2, Ridge, *NUMERIC, tables=(REPRESENTATION,)),
    several(("pearson_r", "label_mse"), _regression, Regression, NUMERIC, is_scored=True),
)
