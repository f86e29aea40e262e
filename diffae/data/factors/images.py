"""Images of known factors: their source, their format, and their factors as columns of labels."""

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

# dtypes of the two kinds of factors in `Dataset.columns`
CLASSES: type = np.uint16
ORDERED: type = np.int16
Kinds = Mapping[str, type]  # the dtype of each factor, by name
FactorColumns = Mapping[str, np.ndarray]  # by name: the index [n] of the value of each image


@dataclass(frozen=True)
class FactorImages(ImageSource):
    """An `ImageSource` of arrays in the files `own`, none of which is read whole.

    `pixels` returns the image of an index, uint8 H x W or H x W x 3. It raises UserError if a file is
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
        digest = digest_parts(sha256(path).encode() for path in names)
        side = min(self.pixels(0).shape[:2])
        return Survey(digest, self.count, sides=((side, self.count),))


# the name of a data set, its images and factors
FactorSet = tuple[str, FactorImages, FactorColumns]


class Format(NamedTuple):
    """A format of files: suffixes of their names, a test of the content, and the reader.

    `read` takes the path that the user gave, and the file, which may be in that folder.
    """

    suffixes: tuple[str, ...]
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Path], FactorSet]


def encode_factors(columns: np.ndarray, kinds: Kinds) -> FactorColumns:
    """The factors in columns [n, K] of any values, such as angles or hues. Constant columns are left out."""
    factors = dict[str, np.ndarray]()
    for (name, kind), values in zip(kinds.items(), columns.T, strict=True):
        distinct, codes = np.unique(values, return_inverse=True)
        if len(distinct) > 1:
            factors[name] = codes.astype(kind)
    return factors


def grid_factors(sizes: tuple[int, ...], kinds: Kinds) -> FactorColumns:
    """The factors of images that are in the order of all combinations; the last factor varies fastest."""
    return encode_factors(np.indices(sizes, np.int16).reshape(len(sizes), prod(sizes)).T, kinds)
