"""Images of all combinations of factors, for numbers that need them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffae.data.dataset import LABEL_FIELDS, Dataset, ImageSource
from diffae.data.fingerprint import Survey, digest_parts, survey


@dataclass(frozen=True)
class Subset(ImageSource):
    """Some images of a source, in their order there."""

    whole: ImageSource
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def read(self, index: int) -> Image.Image:
        return self.whole.read(int(self.places[index]))

    def where(self, index: int) -> str:
        return self.whole.where(int(self.places[index]))

    def files(self) -> Iterator[tuple[str, Path]]:
        return iter(())  # the survey of all is kept

    def look(self) -> Survey:
        whole = survey(self.whole)
        parts = [whole.fingerprint.encode(), self.places.astype("<i8").tobytes()]
        return replace(whole, fingerprint=digest_parts(parts))


def counts_within(sizes: Sequence[int], most: int) -> list[int] | None:
    """How many values to take of factors with so many, for at most `most` combinations.

    The factor with most values loses one first; None if two of each are too many.
    """
    counts = list(sizes)
    while prod(counts) > most and max(counts) > 2:
        counts[int(np.argmax(counts))] -= 1
    return counts if prod(counts) <= most else None


def spread(size: int, count: int) -> np.ndarray:
    """`count` of `size` places, evenly spread, with both ends."""
    return np.linspace(0, size - 1, count).round().astype(int)


def subset_with_combinations(data: Dataset, most: int) -> Dataset | None:
    """The images of all combinations of some values of the data's discrete factors, at most `most`.

    Values are evenly spread among those that there are. An image of each combination is taken, or
    all where these are not more. None if the data has no two discrete factors, or not all their
    combinations, or if `most` is too few.
    """
    table = data.columns
    names = (
        [] if table is None else [n for n in table.dtype.names or () if table[n].dtype.kind != "f"]
    )
    if table is None or len(names) < 2:
        return None
    every = [np.unique(table[name], return_inverse=True) for name in names]
    sizes, places = [len(seen) for seen, _ in every], np.stack([place for _, place in every])
    if prod(sizes) > len(data) or (counts := counts_within(sizes, most)) is None:
        return None
    chosen = [spread(*pair) for pair in zip(sizes, counts, strict=True)]
    kept = np.all([np.isin(p, c) for p, c in zip(places, chosen, strict=True)], axis=0)
    rows = np.flatnonzero(kept)
    _, first = np.unique(places[:, rows], axis=1, return_index=True)
    if len(first) < prod(counts):
        return None
    kept_rows = rows if len(rows) <= most else rows[np.sort(first)]
    return subset_of(replace(data, columns=table[names]), kept_rows)


def subset_of(data: Dataset, rows: np.ndarray) -> Dataset:
    """These images of a data set, as one of their own."""
    labels = {name: getattr(data, name) for name in LABEL_FIELDS}
    own: dict[str, Any] = {k: None if v is None else v[rows] for k, v in labels.items()}
    return replace(data, source=Subset(data.source, rows), truth=None, **own)
