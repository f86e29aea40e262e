"""How many labels a code needs: `few_labels`, the AUROC by the number of labels, and `code_length`.

Both are of binary labels; logistic regressions are those of `probes`.
"""

import warnings
from dataclasses import replace

import numpy as np
import torch

from benchmarks.metrics.codes.data import Codes, Floats, Ints, parts
from benchmarks.metrics.codes.errors import (
    estimate_on_rows,
    estimate_over_fits,
    of_columns,
    undefined,
)
from benchmarks.metrics.codes.invariant.linear import by_column
from benchmarks.metrics.group import Group
from diffae.system.errors import UserError
from probes.linear import fit_lbfgs
from probes.scale import held
from probes.scores import auc_influence
from reports.records.estimate import Estimate

COUNTS, DRAWS = (16, 64, 256, 1024), 5
ORDERS, FIRST = 2, 16
GRID = (1.0, 0.1, 0.01)  # C
STEPS = 500  # at most, of a fit


def few_labels(
    codes: Codes, seed: int, counts: tuple[int, ...] = COUNTS, draws: int = DRAWS
) -> dict[str, Estimate]:
    """The mean AUROC of binary labels on the test rows, by the number of labelled images: "16 labels".

    For each count, `draws` random subsets of all other rows are fitted on, with C = 1, so that no
    other label is used; a label of one class in a draw has AUROC 0.5. The error is over images and
    over draws.
    """
    codes, y = _binary(codes)
    part = parts(codes, seed)
    pool = np.union1d(part.train, part.valid)
    if not np.ptp(y[part.test], axis=0).any():
        why = "no binary label has both values on the scored rows"
        return {f"{count:,} labels": undefined(why) for count in counts}
    curve = {}
    for count in counts:
        name = f"{count:,} labels"
        if count > len(pool):
            curve[name] = undefined(f"needs {count:,} images to label; there are {len(pool):,}")
            continue
        subsets = [np.random.default_rng([seed, count, draw]) for draw in range(draws)]
        each = [
            _mean_auroc(codes, random.choice(pool, count, replace=False), part.test)
            for random in subsets
        ]
        values, influences = zip(*each, strict=True)
        units = codes.units.named("draws", name, seed, draws)
        influence = np.mean(influences, axis=0)
        curve[name] = estimate_over_fits(values, influence, codes, part.test, units)
    return curve


def _mean_auroc(codes: Codes, fitted: Ints, rows: Ints) -> tuple[float, Floats]:
    """The mean AUROC of the labels that have both values on these rows, and the influence [n] of each row."""
    y = codes.y[rows]
    each, influence = by_column(auc_influence, _logits(codes, fitted, rows, 1.0), y)
    kept = np.isfinite(each)
    return each[kept].mean(), influence[:, kept].mean(1)


def code_length(
    codes: Codes, seed: int, orders: int = ORDERS, rows: Ints | None = None
) -> dict[str, Estimate]:
    """Bits of a binary label by its online (prequential) code, the mean over labels, images and orders.

    It is of the images in these rows, or of all.

    The labels of the first 16 images take a bit each. Those of the next as many are coded by the
    probabilities of a fit to all before them, and so on, in blocks that double (Blier and Ollivier
    2018; Voita and Titov 2020). Of the Cs of GRID a block takes the one that would have coded the
    blocks before it shortest, for each label. Pictures of a person are in one run of an order. The
    error is over images and over orders, with the fits fixed.
    """
    drawn = codes.units.named("draws", "mean", seed, orders)
    codes, y = _binary(codes if rows is None else codes.of(rows))
    lengths = [bits(codes, np.random.default_rng([seed, order])) for order in range(orders)]
    means = [length.mean() for length in lengths]
    influence = of_columns(np.mean(lengths, axis=0)).mean(1)
    share = y.mean(0).clip(1e-12, 1 - 1e-12)
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share)).mean()
    note = f"entropy {entropy:.4f} bits"
    rows = np.arange(len(y))
    return {"code_length": estimate_over_fits(means, influence, codes, rows, drawn, note)}


def entropy_of_labels(codes: Codes, rows: Ints) -> Estimate:
    """Bits of a binary label by its share alone, which codes without information take, over these rows."""
    binary = codes.labels.of_kind("binary") if codes.labels else []
    y = codes.y[rows][:, binary] > 0
    surprise = -np.log2(np.where(y, y.mean(0), 1 - y.mean(0)))
    influence = of_columns(surprise).mean(1)
    mean = float(surprise.mean())
    return estimate_on_rows(mean, influence, codes, rows, "entropy of the labels")


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
        by_C = [np.logaddexp(0, signs * _logits(codes, seen, block, C)) / np.log(2) for C in GRID]
        length[block] = np.choose(before.argmin(0), by_C)
        before += np.sum(by_C, axis=1)
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


GROUPS = (Group(("code_length",), "codes and labels", code_length),)
