"""How many labels a code needs: `few_labels`, the AUROC by the number of labels, and `code_length`.

Both are of binary labels; logistic regressions are those of `probes`.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from benchmarks.metrics.codes.data import Codes, Floats, Found, Ints, parts
from benchmarks.metrics.codes.errors import found, of_columns
from benchmarks.metrics.codes.invariant.linear import by_column
from diffae.system.errors import UserError
from probes.linear import fit_lbfgs
from probes.scale import held
from probes.scores import auc_influence

COUNTS, DRAWS = (16, 64, 256, 1024), 5
ORDERS, FIRST = 2, 16
GRID = (1.0, 0.1, 0.01)  # C
STEPS = 500  # at most, of a fit


def few_labels(
    codes: Codes, seed: int, counts: tuple[int, ...] = COUNTS, draws: int = DRAWS
) -> Mapping[int, Found]:
    """The mean AUROC of binary labels on the test rows, by the number of labelled images.

    For each count, `draws` random subsets of all other rows are fitted on, with C = 1, so that no
    other label is used; a label of one class in a draw has AUROC 0.5. Counts above the number of rows
    are left out. The error is over images and over draws.
    """
    codes, y = _binary(codes)
    part = parts(codes, seed)
    pool = np.union1d(part.train, part.valid)
    curve = {}
    for count in (count for count in counts if count <= len(pool)):
        values, influences = [], []
        for draw in range(draws):
            rows = np.random.default_rng([seed, count, draw]).choice(pool, count, replace=False)
            each, influence = by_column(
                auc_influence, _logits(codes, rows, part.test, 1.0), y[part.test]
            )
            kept = np.isfinite(each)
            if not kept.any():
                raise UserError("no binary label has both values on the scored rows")
            values.append(each[kept].mean())
            influences.append(influence[:, kept].mean(1))
        curve[count] = _over_fits(values, np.mean(influences, axis=0), codes, part.test)
    return curve


def code_length(codes: Codes, seed: int, orders: int = ORDERS) -> Found:
    """Bits of a binary label by its online (prequential) code, the mean over labels, images and orders.

    The labels of the first 16 images take a bit each. Those of the next as many are coded by the
    probabilities of a fit to all before them, and so on, in blocks that double (Blier and Ollivier
    2018; Voita and Titov 2020). Of the Cs of GRID a block takes the one that would have coded the
    blocks before it shortest, for each label. Pictures of a person are in one run of an order. The
    error is over images and over orders, with the fits fixed.
    """
    codes, y = _binary(codes)
    each = [bits(codes, np.random.default_rng([seed, order])) for order in range(orders)]
    means = [one.mean() for one in each]
    influence = of_columns(np.mean(each, axis=0)).mean(1)
    share = y.mean(0).clip(1e-12, 1 - 1e-12)
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share)).mean()
    rows = np.arange(len(codes.values))
    return _over_fits(means, influence, codes, rows, f"entropy {entropy:.4f} bits")


def bits(codes: Codes, random: np.random.Generator) -> Floats:
    """The code length [n, K] of each binary label in one order."""
    codes, y = _binary(codes)
    n, who = len(y), np.unique(codes.who, return_inverse=True)[1]
    order = np.argsort(random.permutation(who.max() + 1)[who], kind="stable")
    length, before = np.ones(y.shape), np.zeros((len(GRID), y.shape[1]))
    start = FIRST
    while start < n:
        seen, block = order[:start], order[start : 2 * start]
        signs = 1 - 2 * y[block]
        every = [np.logaddexp(0, signs * _logits(codes, seen, block, C)) / np.log(2) for C in GRID]
        length[block] = np.choose(before.argmin(0), every)
        before += np.sum(every, axis=1)
        start *= 2
    return length


def _binary(codes: Codes) -> tuple[Codes, Floats]:
    """The codes, as float32 holds them, with their binary labels alone, and these [n, K].

    Raises UserError if there are none.
    """
    labels = codes.labels
    columns = labels.of_kind("binary") if labels else []
    if labels is None or not columns:
        raise UserError("needs labels that are binary")
    values = held(codes.values[:, :, None])[:, :, 0]
    return replace(codes, values=values, labels=labels.of(columns)), labels.values[:, columns]


def _logits(codes: Codes, fitted: Ints, rows: Ints, C: float) -> Floats:
    labels = torch.as_tensor(codes.labels.values[fitted])  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few rows, which are separable
        features = torch.as_tensor(codes.values[fitted]).float()
        probe = fit_lbfgs(features, labels, C=C, max_iter=STEPS, tol=1e-6, dtype=torch.float64)
    return probe.logits(torch.as_tensor(codes.values[rows]).float()).double().numpy()


def _over_fits(
    values: list[float], influence: Floats, codes: Codes, rows: Ints, *notes: str
) -> Found:
    """The mean of the values of several fits, its error over what is scored and over fits."""
    one = found(float(np.mean(values)), influence, codes, rows, *notes)
    if one.stderr is None or len(values) < 2:
        return replace(one, stderr=None, influence=None)
    error = float(np.hypot(one.stderr, np.std(values, ddof=1) / len(values) ** 0.5))
    return replace(one, stderr=error, over=f"{one.over} and fits", fits=tuple(values))
