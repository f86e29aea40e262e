"""Images of known factors, as a data set."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from diffae.data.dataset import ImageSource
from diffae.data.fingerprint import Survey, digest_parts
from diffae.system.files import sha256

# dtypes of factors, as `Dataset.columns` has them
CLASSES: type = np.uint16
ORDERED: type = np.int16
Kinds = Mapping[str, type]  # by the factor's name
Factors = Mapping[str, np.ndarray]  # of n images: the place [n] of each value among all, from 0


@dataclass(frozen=True)
class FactorImages(ImageSource):
    """An `ImageSource` of arrays in the files `own`, of which none is read whole.

    `pixels` gives an image by its index, uint8 H x W or H x W x 3. It raises UserError if a file is
    damaged.
    """

    root: Path
    own: tuple[Path, ...]
    count: int
    pixels: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels(range(self.count)[index])).convert("RGB")

    def where(self, index: int) -> str:
        return f"{self.root}, image {index}"

    def files(self) -> Iterator[tuple[str, Path]]:
        yield from ((path.name, path) for path in self.own)

    def look(self) -> Survey:
        """The SHA-256 of the files, in the order of their names."""
        names = sorted(self.own, key=lambda path: path.name)
        return Survey(digest_parts(sha256(path).encode() for path in names), self.count)


FactorSet = tuple[str, FactorImages, Factors]  # a data set of known factors, and its name


class Format(NamedTuple):
    """A format: how its files' names end, whether one is of it by its content, and how it is read.

    `read` takes the path that the user gave and the file.
    """

    suffixes: tuple[str, ...]
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Path], FactorSet]


def numbered(columns: np.ndarray, kinds: Kinds) -> Factors:
    """The factors of columns [n, K] of any values; a column of one value is none.

    Files hold angles, hues and even numbers, which are not places.
    """
    pairs = zip(kinds.items(), columns.T, strict=True)
    each = {name: (kind, *np.unique(values, return_inverse=True)) for (name, kind), values in pairs}
    return {name: place.astype(kind) for name, (kind, seen, place) in each.items() if len(seen) > 1}


def in_order(sizes: tuple[int, ...], kinds: Kinds) -> Factors:
    """The factors of images in the order of all combinations, the last factor the fastest."""
    return numbered(np.indices(sizes, np.int16).reshape(len(sizes), prod(sizes)).T, kinds)
