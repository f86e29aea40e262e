"""DCI: disentanglement, completeness and informativeness (Eastwood and Williams, ICLR 2018).

R[j, f] is the importance of axis j to a classifier of label f, here scikit-learn's gradient
boosting. D = sum_j w_j (1 - H(R[j, :])) with the entropy of the row's shares by base F and w_j the
share of the row in the sum of R; C is the same of columns, by base d; I the mean accuracy on rows
that were not fitted on. One axis for each label gives D = C = 1.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from time import perf_counter

import numpy as np
from scipy.stats import entropy

from benchmarks.metrics.codes import axes
from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Found, Ints, Split
from benchmarks.metrics.codes.errors import blocks_of, jackknifed, of_one
from benchmarks.metrics.codes.number import Number

SOME_ROWS, SOME_AXES, STAGES = 500, 8, 5  # of fits that tell the time
Notes = tuple[str, ...]
TINY = 1e-11  # added to importances, as in disentanglement_lib dci.py l.140
WORTH_PROCESSES, WORTH_REFITTING = 10**5, 2 * 10**5  # of `work`, 2.5 s and 5 s of a core


@dataclass(frozen=True)
class Dci(Split, axes.Concepts):
    """DCI, by `sklearn.ensemble.GradientBoostingClassifier` with its defaults."""


def disentanglement(importance: Floats) -> float:
    """D of importances [d, F], not negative; C of their transpose."""
    weights = importance.sum(axis=1) if importance.any() else np.ones(len(importance))
    by_axis = 1 - entropy(importance.T + TINY, base=importance.shape[1])
    return float(np.average(by_axis, weights=weights))


def work(x: Floats, y: Ints) -> int:
    """What the time of fits to codes [n, d] and labels [n, F] is proportional to, about 25 us each:
    rows x axes and a constant, by trees of a stage.
    """
    return (x.size + 2500) * sum(int(c) if c > 2 else 1 for c in y.max(axis=0) + 1)


def _fits(x: Floats, y: Ints, rows: Sequence[tuple[Ints, Ints]], seed: int) -> Floats:
    """Importances [R, d + 1, F] by each of R pairs of rows, those to fit on and those to score; the
    last row is the accuracy.
    """
    from joblib import Parallel, delayed
    from sklearn.ensemble import GradientBoostingClassifier

    for fitted, _ in rows:
        axes.varied("dci", y, fitted)
    tasks = [(fitted, scored, f) for fitted, scored in rows for f in range(y.shape[1])]
    # a method of scikit-learn, so that processes import nothing else
    fits = [delayed(GradientBoostingClassifier(random_state=seed).fit) for _ in tasks]
    many = work(x[rows[0][0]], y) * len(rows) > WORTH_PROCESSES
    jobs = min(len(tasks), os.cpu_count() or 1) if many else 1
    fitting = zip(fits, tasks, strict=True)
    models = Parallel(jobs)(fit(x[fitted], y[fitted, f]) for fit, (fitted, _, f) in fitting)
    found = [
        [*model.feature_importances_, np.mean(model.predict(x[scored]) == y[scored, f])]
        for model, (_, scored, f) in zip(models, tasks, strict=True)
    ]
    return np.reshape(found, (len(rows), y.shape[1], -1)).swapaxes(1, 2)


@axes.shared
def _importances(codes: Codes, how: Dci, seed: int) -> tuple[list[Floats], Ints, Notes]:
    """Importances by fold, then without each block (or a note why not); and the block of each row
    that is scored.
    """
    y, folds, found = codes.classes, how.folds(codes, seed), []
    blocks = blocks_of(codes, axes.FEW)
    why = of_one(*(blocks[rows] for part in folds for rows in (part.fitted, part.test)))
    for part in folds:
        fitted, scored = part.fitted, part.test
        x = how.axes(codes.values, fitted)
        axes.needs("dci", "labels", y.shape[1])
        axes.needs("dci", "axes", x.shape[1])
        if work(x[fitted], y) * len(folds) > WORTH_REFITTING:
            why = ("no error: a jackknife would take too long",)
        again = range(0 if why else axes.FEW)
        less = [(fitted[blocks[fitted] != b], scored[blocks[scored] != b]) for b in again]
        found.append(_fits(x, y, [(fitted, scored), *less], seed))
    scored = reduce(np.union1d, [part.test for part in folds])
    return list(np.stack(found, axis=1)), blocks[scored], why


def seconds(codes: Codes, how: Dci, seed: int) -> float:
    """About how long a number takes, by a few trees for one label on a part of rows and axes."""
    from sklearn.ensemble import GradientBoostingClassifier

    first, *others = how.folds(codes, seed)
    y, start = codes.classes[first.fitted], perf_counter()
    x = how.axes(codes.values, first.fitted)[first.fitted]
    some, label = x[:SOME_ROWS, :SOME_AXES], y[:SOME_ROWS, np.argmax(np.ptp(y, axis=0))]
    GradientBoostingClassifier(n_estimators=STAGES).fit(some, label)
    unit = 100 / STAGES * (perf_counter() - start) / work(some, label[:, None])
    whole = work(x, y) * (1 + len(others))
    whole *= 1 + axes.FEW * (whole <= WORTH_REFITTING)
    return unit * whole / (min(y.shape[1], os.cpu_count() or 1) if whole > WORTH_PROCESSES else 1)


def _dci(score: Callable[[Floats], float], codes: Codes, how: Dci, seed: int) -> Found:
    found, blocks, why = _importances(codes, how, seed)
    values = [float(np.mean([score(fold) for fold in folds])) for folds in found]
    return jackknifed(values, codes, blocks, *why, *how.notes)


SCORES: dict[str, Callable[[Floats], float]] = {  # of importances and the accuracy [d + 1, F]
    "dci_d": lambda fold: disentanglement(fold[:-1]),
    "dci_c": lambda fold: disentanglement(fold[:-1].T),
    "dci_i": lambda fold: float(fold[-1].mean()),
}
NUMBERS = {name: Number(Dci, partial(_dci, of), DISCRETE) for name, of in SCORES.items()}
