"""Codes of six independent factors, as section 4 of the simulations has them, with their labels.

    made("rotated", 500, seed=0)      codes with 6 binary labels, 3 of four classes and 6 real ones

aligned   a dimension for each factor, with noise of 0.3
rotated   the same, rotated
doubled   two noisy copies of each factor
noise     10 dimensions without any factor
mixed     512 dimensions, random tanh features of all factors, mixed
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.metrics.codes.data import Codes, LabelColumns

KINDS = ("aligned", "rotated", "doubled", "noise", "mixed")
ROTATION = np.linalg.qr(np.random.default_rng(99).normal(size=(6, 6)))[0]
WEIGHTS = np.random.default_rng(98).normal(size=(6, 512)) * 0.7
MIXED = np.random.default_rng(97).normal(size=(512, 512)) / 512**0.5
THRESHOLDS = np.linspace(-1.2, 1.2, 6)


def labels_of(factors):
    classes = np.digitize(factors[:, :3], [-0.7, 0.0, 0.7])
    names = [f"{kind}{k}" for kind, count in (("b", 6), ("c", 3), ("r", 6)) for k in range(count)]
    kinds = ("binary",) * 6 + ("classes",) * 3 + ("real",) * 6
    return LabelColumns(np.hstack([factors > THRESHOLDS, classes, factors]), tuple(names), kinds)


def made(kind, n, seed, persons=None):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 6))
    labels = labels_of(factors)
    if kind == "mixed":
        x = np.tanh(factors @ WEIGHTS) @ MIXED + 0.1 * rng.normal(size=(n, 512))
    elif kind == "noise":
        x = rng.normal(size=(n, 10))
    else:
        copies = [factors] * (2 if kind == "doubled" else 1)
        x = np.hstack([one + 0.3 * rng.normal(size=one.shape) for one in copies])
        x = x @ ROTATION if kind == "rotated" else x
    return Codes(x, labels, persons=persons)


def with_labels(codes: Codes, columns: Sequence[int]) -> Codes:
    """The same codes with the labels in these columns alone."""
    return replace(codes, labels=codes.labels.of(columns))
