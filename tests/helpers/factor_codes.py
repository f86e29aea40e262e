"""Codes of images of which the factors are known."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.metrics.codes.data import Codes, LabelColumns


def table(sizes: Sequence[int], copies: int = 1) -> np.ndarray:
    """Every combination of factors of these sizes, so many times [n, F]."""
    return np.array(list(itertools.product(*map(range, sizes))) * copies, dtype=float)


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(0)) / values.std(0)


def rotation(d: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def labelled(values: np.ndarray, labels: np.ndarray, **known: Any) -> Codes:
    """Codes with labels, binary where they are 0 and 1."""
    kinds = tuple("binary" if set(column) <= {0, 1} else "classes" for column in labels.T)
    names = tuple(f"f{k}" for k in range(labels.shape[1]))
    return Codes(values, LabelColumns(labels.astype(float), names, kinds), **known)


def first_part(fitted: int, n: int) -> np.ndarray:
    """A split whose first rows are fitted on, and the others scored."""
    return np.where(np.arange(n) < fitted, 0, 2)
