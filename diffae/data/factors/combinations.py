"""The images of all combinations of the factors of a data set."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from diffae.data.dataset import Dataset, subset_of


def counts_within(sizes: Sequence[int], most: int) -> list[int] | None:
    """The number of values to use of each factor so that there are at most `most` combinations.

    `sizes` are the numbers of values that the factors have. The factor with most values loses one
    first. None if there are too many combinations even of two values of each factor.
    """
    counts = list(sizes)
    while prod(counts) > most and max(counts) > 2:
        counts[int(np.argmax(counts))] -= 1
    return counts if prod(counts) <= most else None


def spread(size: int, count: int) -> np.ndarray:
    """`count` of the indices below `size`, evenly spread, the first and the last among them."""
    return np.linspace(0, size - 1, count).round().astype(int)


def subset_with_combinations(data: Dataset, most: int) -> Dataset | None:
    """The images of all combinations of some values of the data's discrete factors, at most `most`.

    The values are evenly spread among those of a factor. If there are more than `most` images of
    these values, the first of each combination is taken. None if the data has fewer than two discrete
    factors, if a combination has no image, or if `most` is too small.
    """
    table = data.columns
    if table is None:
        return None
    names = [name for name in table.dtype.names or () if table[name].dtype.kind != "f"]
    if len(names) < 2:
        return None
    codes = np.stack([np.unique(table[name], return_inverse=True)[1] for name in names])
    sizes = [int(factor.max()) + 1 for factor in codes]
    if prod(sizes) > len(data) or (counts := counts_within(sizes, most)) is None:
        return None
    has_chosen_values = np.full(len(data), True)
    for factor, size, count in zip(codes, sizes, counts, strict=True):
        has_chosen_values &= np.isin(factor, spread(size, count))
    rows = np.flatnonzero(has_chosen_values)
    _, first = np.unique(codes[:, rows], axis=1, return_index=True)
    if len(first) < prod(counts):
        return None
    if len(rows) > most:
        rows = rows[np.sort(first)]
    return subset_of(replace(data, columns=table[names]), rows)
