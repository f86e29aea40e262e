"""How far the best single dimension is ahead of the next: TAD, ATTRS and SAP.

With A[k, j] the AUROC of dimension j, or of its negative, for attribute k (Yeats et al., "NashAE",
ECCV 2022): an attribute is captured if its largest A reaches .75 and no other attribute tells more
than a fifth of its entropy. ATTRS is their number, TAD the sum over them of the largest A minus the
second largest. SAP (Kumar et al., ICLR 2018) is the mean over labels of the accuracy of the best
dimension minus that of the second best.
"""

from dataclasses import dataclass, replace
from functools import reduce
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.metrics.codes import axes
from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Ints, Split
from benchmarks.metrics.codes.errors import estimate_on_rows, jackknife, of_columns
from benchmarks.metrics.codes.information import plug_in
from benchmarks.metrics.codes.number import several, single
from diffae.system.settings import Range
from probes.scores import auc_influence
from reports.records.estimate import Estimate

CAPTURED, SHARED = 0.75, 0.2  # NashAE celeba_eval.ipynb cell 15; the same in all other codes


@dataclass(frozen=True)
class Tad(Split):
    """TAD and ATTRS.

    chosen      the two dimensions of an attribute are the best two on the "fitted rows", and scored
                on the others, or on the "scored rows" themselves: all rows, or in five folds the
                four that others fit on
    thresholds  0: exact AUROC; else the area by so many thresholds between the smallest and the
                largest value of a dimension, each step as high as its right end. The codes that do so
                compute thresholds, ranges and areas in float32, and so does this
    guard       a dimension whose range is not larger counts as chance (in units of the code)
    filter      the rows from which it is told what labels tell of each other
    """

    chosen: Literal["fitted rows", "scored rows"] = "fitted rows"
    thresholds: Annotated[int, Range(0, 10_000)] = 0
    guard: Annotated[float, Range(0, 10**6)] = 0.0
    filter: Literal["all rows", "scored rows"] = "all rows"


@dataclass(frozen=True)
class _Best:
    """The best two dimensions [K, 2] of each attribute, whether it is their negative that is best,
    the rows that are scored, and the attributes that are captured there.
    """

    dimensions: Ints
    negative: Ints
    rows: Ints
    captured: Ints


def areas(z: Floats, y: Floats, choices: Tad) -> Floats:
    """Areas under the ROC curves [2, K, d] of codes [n, d] and of their negatives for labels [n, K].

    nan for an attribute of which one value occurs.
    """
    positives = y.sum(axis=0)[:, None]
    ranges = np.ptp(z, axis=0)
    if choices.thresholds:
        z = z.astype(np.float32)
        ranges = z.max(axis=0) - z.min(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if choices.thresholds:
            by_sign = np.stack(
                [_by_steps(column, y, choices.thresholds) for column in z.T], axis=-1
            )
        else:
            above = y.T @ rankdata(z, axis=0) - positives * (positives + 1) / 2
            area = above / (positives * (len(y) - positives))
            by_sign = np.stack([area, 1 - area])
    if choices.guard:
        by_sign[:, :, ranges <= choices.guard] = 0.5
    return by_sign


def _by_steps(z: NDArray[np.float32], y: Floats, thresholds: int) -> Floats:
    """Areas [2, K] of one dimension and of its negative, by thresholds over its range."""
    steps = np.linspace(0, 1, thresholds).astype(np.float32) * (z.max() - z.min()) + z.min()
    above = (z[:, None] >= steps).astype(float).T
    both = []
    for passed in (above[::-1], 1 - above):
        true, false = ((passed @ k / k.sum(axis=0)).astype(np.float32) for k in (y, 1 - y))
        both.append((true[1:] * np.diff(false, axis=0)).sum(axis=0))
    return np.stack(both).astype(np.float64)


def told_by_others(y: Floats) -> Floats:
    """The largest share [K] of an attribute's entropy that another attribute tells, of labels [n, K]."""
    information = plug_in(y.astype(int), y.astype(int))
    entropy = information.diagonal().copy()
    np.fill_diagonal(information, 0)
    with np.errstate(invalid="ignore"):  # of an attribute that is constant on these rows
        return information.max(axis=1) / entropy


def _folds(codes: Codes, choices: Tad, seed: int) -> list[_Best]:
    """The best two dimensions by fold."""
    z, y, folds = codes.values, codes.y, []
    axes.needs("tad", "dimensions", z.shape[1])
    for part in choices.folds(codes, seed):
        fitted = part.fitted
        rows = part.test if choices.chosen == "fitted rows" else fitted
        by_sign = areas(z[fitted], y[fitted], choices)
        best = np.argsort(-by_sign.max(axis=0), axis=1, kind="stable")[:, :2]
        negative = np.take_along_axis(by_sign.argmax(axis=0), best, axis=1)
        scored = _scored(codes, choices, rows, best, negative)
        filtered = told_by_others(y if choices.filter == "all rows" else y[rows]) <= SHARED
        captured = np.flatnonzero((scored[:, 0] >= CAPTURED) & filtered)
        folds.append(_Best(best, negative, rows, captured))
    return folds


def _scored(codes: Codes, choices: Tad, rows: Ints, dimensions: Ints, negative: Ints) -> Floats:
    """The areas [K, 2] of these dimensions on some rows."""
    used, place = np.unique(dimensions, return_inverse=True)
    by_sign = areas(codes.values[np.ix_(rows, used)], codes.y[rows], choices)
    return by_sign[negative, np.arange(len(dimensions))[:, None], place.reshape(dimensions.shape)]


def _estimate(codes: Codes, choices: Tad, seed: int) -> dict[str, Estimate]:
    folds, notes = _folds(codes, choices, seed), _notes(choices)
    n = len(reduce(np.union1d, [fold.rows for fold in folds]))
    tad = replace(_tad(codes, choices, folds, notes), n=n)
    count = float(np.mean([len(fold.captured) for fold in folds]))
    attrs = Estimate(count, n=n, notes=(*notes, _captured(codes, choices, folds)))
    return {"tad": tad, "attrs": attrs}


def _tad(codes: Codes, choices: Tad, folds: list[_Best], notes: list[str]) -> Estimate:
    def of_folds(kept: Ints) -> list[float]:
        differences = []
        for fold in folds:
            rows = np.intersect1d(fold.rows, kept)
            if not len(rows):  # a fold of one person: no error
                return [np.nan]
            areas_of_both = _scored(codes, choices, rows, fold.dimensions, fold.negative)
            first, second = areas_of_both[fold.captured].T
            differences.append(float((first - second).sum()))
        return differences

    spread: list[str] = []
    if len(folds) > 1:
        deviation = np.std(of_folds(np.arange(len(codes.values))))
        spread = [f"the protocol prints the spread over its folds, ± {deviation:.3f}"]
    return jackknife(lambda kept: float(np.mean(of_folds(kept))), codes, *notes, *spread)


def _captured(codes: Codes, choices: Tad, folds: list[_Best]) -> str:
    """A note of the attributes captured in the first fold, each with DeLong's error and its dimension from 0."""
    assert codes.labels is not None
    first, attributes = folds[0], []
    scored = _scored(codes, choices, first.rows, first.dimensions, first.negative)
    for k in first.captured:
        j = first.dimensions[k, 0]
        influence = auc_influence(codes.values[first.rows, j], codes.y[first.rows, k] > 0)[1]
        error = estimate_on_rows(scored[k, 0], influence, codes, first.rows).stderr or 0
        area = f"{codes.labels.names[k]} {scored[k, 0]:.3f} ± {error:.3f}"
        attributes.append(f"{area} (dimension {j} of {codes.values.shape[1]})")
    where = " in the first of five folds" if len(folds) > 1 else ""
    return f"captured{where}: {', '.join(attributes) or 'none'}"


def _notes(choices: Tad) -> list[str]:
    notes = {
        "dimensions are chosen on the rows that are scored": choices.chosen == "scored rows",
        f"AUROC by {choices.thresholds} thresholds over the range of a dimension": choices.thresholds,
        f"dimensions with a range up to {choices.guard:g} count as chance": choices.guard,
    }
    return [note for note, holds in notes.items() if holds]


# SAP ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sap(Split):
    """SAP.

    classifier  of a label by one dimension: "logistic": multinomial, of the standardised dimension,
                C 100; "linear SVM": one against the rest, balanced, C .01, of the dimension as it is
    chosen      the best two dimensions are chosen by their accuracy on these rows
    """

    classifier: Literal["logistic", "linear SVM"] = "logistic"
    chosen: Literal["fitted rows", "scored rows"] = "fitted rows"


def _right(choices: Sap, z: Floats, label: Ints, fitted: Ints, seed: int) -> Floats:
    """Whether a label is told from one dimension [n, 1], for each image."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=0.01, class_weight="balanced", random_state=seed)
    if choices.classifier == "logistic":
        z = (z - z[fitted].mean()) / (z[fitted].std() or 1.0)
        model = LogisticRegression(C=100, solver="newton-cholesky")
    return (model.fit(z[fitted], label[fitted]).predict(z) == label).astype(float)


def sap(codes: Codes, choices: Sap, seed: int) -> Estimate:
    z, y = codes.values, codes.classes
    axes.needs("sap", "dimensions", z.shape[1])
    part = choices.folds(codes, seed)[0]
    fitted, scored = part.fitted, part.test
    axes.varied("sap", y, fitted)
    choice, ahead = fitted if choices.chosen == "fitted rows" else scored, np.zeros(len(z))
    for label in y.T:
        right = [_right(choices, column[:, None], label, fitted, seed) for column in z.T]
        best, second = sorted(right, key=lambda r: -r[choice].mean())[:2]
        ahead += (best - second) / y.shape[1]
    is_in_sample = np.array_equal(choice, scored)
    notes = ["dimensions are chosen on the rows that are scored"] if is_in_sample else []
    value = ahead[scored].mean()
    return estimate_on_rows(value, of_columns(ahead[scored]), codes, scored, *notes)


GROUPS = (
    several(("tad", "attrs"), _estimate, Tad, ("binary",)),
    single("sap", sap, Sap, DISCRETE, is_scored=True),
)
