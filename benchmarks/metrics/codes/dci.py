"""DCI: disentanglement, completeness and informativeness (Eastwood and Williams, ICLR 2018).

R[j, f] is the importance of axis j to a classifier of label f, here scikit-learn's gradient
boosting. D = sum_j w_j (1 - H(R[j, :])) with the entropy of the row's shares by base F and w_j the
share of the row in the sum of R; C is the same of columns, by base d; I the mean accuracy on rows
that were not fitted on. One axis for each label gives D = C = 1.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from time import perf_counter

import numpy as np
from scipy.stats import entropy

from benchmarks.metrics.codes import axes
from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Ints, Split
from benchmarks.metrics.codes.errors import blocks_of, jackknifed, no_jackknife
from benchmarks.metrics.codes.number import several
from reports.records.estimate import Estimate

SOME_ROWS, SOME_AXES, STAGES = 500, 8, 5  # of fits that tell the time
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
    importances = [
        [*model.feature_importances_, np.mean(model.predict(x[scored]) == y[scored, f])]
        for model, (_, scored, f) in zip(models, tasks, strict=True)
    ]
    return np.reshape(importances, (len(rows), y.shape[1], -1)).swapaxes(1, 2)


def _importances(codes: Codes, choices: Dci, seed: int) -> tuple[list[Floats], Ints, str]:
    """Importances by fold, then without each block; the block of each row that is scored; and why
    there are none without blocks.
    """
    y, folds, by_fold = codes.classes, choices.folds(codes, seed), []
    blocks = blocks_of(codes, axes.FEW)
    why = no_jackknife(*(blocks[rows] for part in folds for rows in (part.fitted, part.test)))
    for part in folds:
        fitted, scored = part.fitted, part.test
        x = choices.axes(codes.values, fitted)
        axes.needs("dci", "labels", y.shape[1])
        axes.needs("dci", "axes", x.shape[1])
        if work(x[fitted], y) * len(folds) > WORTH_REFITTING:
            why = "no error: a jackknife would take too long"
        left_out = range(0 if why else axes.FEW)
        kept = [(fitted[blocks[fitted] != b], scored[blocks[scored] != b]) for b in left_out]
        by_fold.append(_fits(x, y, [(fitted, scored), *kept], seed))
    scored = reduce(np.union1d, [part.test for part in folds])
    return list(np.stack(by_fold, axis=1)), blocks[scored], why


def seconds(codes: Codes, choices: Dci, seed: int) -> float:
    """About how long a number takes, by a few trees for one label on a part of rows and axes."""
    from sklearn.ensemble import GradientBoostingClassifier

    first, *others = choices.folds(codes, seed)
    y, start = codes.classes[first.fitted], perf_counter()
    x = choices.axes(codes.values, first.fitted)[first.fitted]
    part, label = x[:SOME_ROWS, :SOME_AXES], y[:SOME_ROWS, np.argmax(np.ptp(y, axis=0))]
    GradientBoostingClassifier(n_estimators=STAGES).fit(part, label)
    unit = 100 / STAGES * (perf_counter() - start) / work(part, label[:, None])
    whole = work(x, y) * (1 + len(others))
    whole *= 1 + axes.FEW * (whole <= WORTH_REFITTING)
    return unit * whole / (min(y.shape[1], os.cpu_count() or 1) if whole > WORTH_PROCESSES else 1)


def scores(importances: Floats) -> Floats:
    """D, C and I [3] of importances and the accuracy [d + 1, F]."""
    by_axis, accuracy = importances[:-1], importances[-1]
    return np.array([disentanglement(by_axis), disentanglement(by_axis.T), accuracy.mean()])


def _estimate(codes: Codes, choices: Dci, seed: int) -> dict[str, Estimate]:
    importances, blocks, why = _importances(codes, choices, seed)
    by_fold = np.array([[scores(fold) for fold in folds] for folds in importances])
    columns = {"dci_d": 0, "dci_c": 1, "dci_i": 2}
    return {
        name: jackknifed([np.mean(folds[:, k]) for folds in by_fold], blocks, why, *choices.notes)
        for name, k in columns.items()
    }


GROUPS = (several(("dci_d", "dci_c", "dci_i"), _estimate, Dci, DISCRETE),)
