"""What formats of shards share: where they lie, the sizes of their images, and classes as attributes."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from diffae.data.folder import IMAGE_SUFFIXES, sample_of
from diffae.data.splits import NAMES
from diffae.data.transforms import size_of
from diffae.errors import UserError

FOLDERS = {"data", *NAMES}  # where shards lie, in any case, below the folder that is given
MOST_CLASSES = 1000


def find_shards(path: Path, suffix: str) -> list[Path]:
    """The files of that suffix in `path` or in `data`, `train`, `test`, ... below it, sorted; or `path` itself."""
    if path.is_file():
        return [path]
    below = [entry for entry in path.iterdir() if entry.name.lower() in FOLDERS and entry.is_dir()]
    return sorted(file for folder in (path, *below) for file in folder.glob(f"*{suffix}"))


def holds(path: Path, suffix: str) -> bool:
    """Whether a folder is one of such shards: some are there, and no images lie beside them."""
    if not path.is_dir() or not find_shards(path, suffix):
        return False
    return not any(name.lower().endswith(IMAGE_SUFFIXES) for name in os.listdir(path))


class Contents(Protocol):
    """A source of image files."""

    def __len__(self) -> int: ...

    def content(self, index: int) -> bytes: ...


def sizes_of(source: Contents) -> Iterator[tuple[int, int] | None]:
    """Width and height of a few images, by their headers; None for a damaged one, which `read` will say."""
    for index in sample_of(len(source)):
        try:
            yield size_of(io.BytesIO(source.content(index)))
        except UserError:
            yield None


def classes_as_attributes(
    labels: np.ndarray, names: Sequence[str] = ()
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """A name each and bool N x classes, of int64 N; None where they are no classes, from 0 to 999, of all images."""
    if not len(labels) or labels.min() < 0 or labels.max() >= (len(names) or MOST_CLASSES):
        return None
    count = len(names) or int(labels.max()) + 1
    called = tuple(names) or tuple(f"class {i}" for i in range(count))
    return called, labels[:, None] == np.arange(count)
