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
from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Found, Ints, Split
from benchmarks.metrics.codes.errors import found, jackknife, of_columns
from benchmarks.metrics.codes.information import plug_in
from benchmarks.metrics.codes.number import Number
from diffae.system.settings import Range
from probes.scores import auc_influence

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


def areas(z: Floats, y: Floats, how: Tad) -> Floats:
    """Areas under the ROC curves [2, K, d] of codes [n, d] and of their negatives for labels [n, K].

    nan for an attribute of which one value occurs.
    """
    positives = y.sum(axis=0)[:, None]
    ranges = np.ptp(z, axis=0)
    if how.thresholds:
        z = z.astype(np.float32)
        ranges = z.max(axis=0) - z.min(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if how.thresholds:
            found = np.stack([_by_steps(column, y, how.thresholds) for column in z.T], axis=-1)
        else:
            above = y.T @ rankdata(z, axis=0) - positives * (positives + 1) / 2
            area = above / (positives * (len(y) - positives))
            found = np.stack([area, 1 - area])
    if how.guard:
        found[:, :, ranges <= how.guard] = 0.5
    return found


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


@axes.shared
def _best(codes: Codes, how: Tad, seed: int) -> list[_Best]:
    """The best two dimensions by fold."""
    z, y, found = codes.values, codes.y, []
    axes.needs("tad", "dimensions", z.shape[1])
    for part in how.folds(codes, seed):
        fitted = part.fitted
        rows = part.test if how.chosen == "fitted rows" else fitted
        by_sign = areas(z[fitted], y[fitted], how)
        best = np.argsort(-by_sign.max(axis=0), axis=1, kind="stable")[:, :2]
        negative = np.take_along_axis(by_sign.argmax(axis=0), best, axis=1)
        scored = _scored(codes, how, rows, best, negative)
        filtered = told_by_others(y if how.filter == "all rows" else y[rows]) <= SHARED
        captured = np.flatnonzero((scored[:, 0] >= CAPTURED) & filtered)
        found.append(_Best(best, negative, rows, captured))
    return found


def _scored(codes: Codes, how: Tad, rows: Ints, dimensions: Ints, negative: Ints) -> Floats:
    """The areas [K, 2] of these dimensions on some rows."""
    used, place = np.unique(dimensions, return_inverse=True)
    found = areas(codes.values[np.ix_(rows, used)], codes.y[rows], how)
    return found[negative, np.arange(len(dimensions))[:, None], place.reshape(dimensions.shape)]


def _tad(codes: Codes, how: Tad, seed: int) -> Found:
    best = _best(codes, how, seed)

    def of_folds(kept: Ints) -> list[float]:
        folds = []
        for one in best:
            rows = np.intersect1d(one.rows, kept)
            if not len(rows):  # a fold of one person: no error
                return [np.nan]
            first, second = _scored(codes, how, rows, one.dimensions, one.negative)[one.captured].T
            folds.append(float((first - second).sum()))
        return folds

    notes = _notes(how)
    if len(best) > 1:
        spread = np.std(of_folds(np.arange(len(codes.values))))
        notes.append(f"the protocol prints the spread over its folds, ± {spread:.3f}")
    one = jackknife(lambda kept: float(np.mean(of_folds(kept))), codes, *notes)
    return replace(one, n=len(reduce(np.union1d, [one.rows for one in best])))


def _attrs(codes: Codes, how: Tad, seed: int) -> Found:
    assert codes.labels is not None
    best = _best(codes, how, seed)
    first, told = best[0], []
    scored = _scored(codes, how, first.rows, first.dimensions, first.negative)
    for k in first.captured:  # with DeLong's error, and the dimension from 0
        j = first.dimensions[k, 0]
        influence = auc_influence(codes.values[first.rows, j], codes.y[first.rows, k] > 0)[1]
        error = found(scored[k, 0], influence, codes, first.rows).stderr or 0
        area = f"{codes.labels.names[k]} {scored[k, 0]:.3f} ± {error:.3f}"
        told.append(f"{area} (dimension {j} of {codes.values.shape[1]})")
    where = " in the first of five folds" if len(best) > 1 else ""
    captured = f"captured{where}: {', '.join(told) or 'none'}"
    value = float(np.mean([len(one.captured) for one in best]))
    images = reduce(np.union1d, [one.rows for one in best])
    return Found(value, len(images), notes=(*_notes(how), captured))


def _notes(how: Tad) -> list[str]:
    notes = {
        "dimensions are chosen on the rows that are scored": how.chosen == "scored rows",
        f"AUROC by {how.thresholds} thresholds over the range of a dimension": how.thresholds,
        f"dimensions with a range up to {how.guard:g} count as chance": how.guard,
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


def _right(how: Sap, z: Floats, label: Ints, fitted: Ints, seed: int) -> Floats:
    """Whether a label is told from one dimension [n, 1], for each image."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=0.01, class_weight="balanced", random_state=seed)
    if how.classifier == "logistic":
        z = (z - z[fitted].mean()) / (z[fitted].std() or 1.0)
        model = LogisticRegression(C=100, solver="newton-cholesky")
    return (model.fit(z[fitted], label[fitted]).predict(z) == label).astype(float)


def _sap(codes: Codes, how: Sap, seed: int) -> Found:
    z, y = codes.values, codes.classes
    axes.needs("sap", "dimensions", z.shape[1])
    part = how.folds(codes, seed)[0]
    fitted, scored = part.fitted, part.test
    axes.varied("sap", y, fitted)
    choice, ahead = fitted if how.chosen == "fitted rows" else scored, np.zeros(len(z))
    for label in y.T:
        right = [_right(how, column[:, None], label, fitted, seed) for column in z.T]
        best, second = sorted(right, key=lambda r: -r[choice].mean())[:2]
        ahead += (best - second) / y.shape[1]
    notes = ("dimensions are chosen on the rows that are scored",) * np.array_equal(choice, scored)
    value = ahead[scored].mean()
    return found(value, of_columns(ahead[scored]), codes, scored, *notes)


NUMBERS = {
    "tad": Number(Tad, _tad, ("binary",)),
    "attrs": Number(Tad, _attrs, ("binary",)),
    "sap": Number(Sap, _sap, DISCRETE),
}
