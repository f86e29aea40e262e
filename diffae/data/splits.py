"""What formats of shards share: the split that a file's name says, and classes as attributes."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from diffae.data.dataset import TEST, TRAIN, VALID, seeded_partition, seeded_source
from diffae.data.folder import IMAGE_SUFFIXES, sample_of
from diffae.data.transforms import size_of
from diffae.errors import UserError

NAMES = {
    **{"train": TRAIN, "test": TEST},
    **{name: VALID for name in ("validation", "valid", "val", "dev")},
}
SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(NAMES)})(?=[-_.]|$)")
FOLDERS = ("", "data", *NAMES)  # where shards lie, below the folder that is given
MOST_CLASSES = 1000


def find_shards(path: Path, suffix: str) -> list[Path]:
    """The files of that suffix in `path` or in `data`, `train`, `test`, ... below it, sorted; or `path` itself."""
    if path.is_file():
        return [path]
    return sorted({file for folder in FOLDERS for file in (path / folder).glob(f"*{suffix}")})


def split_of(path: Path) -> int | None:
    """By the file's own name, such as train-00000-of-00002.parquet, or else by its folder's; None without."""
    for name in (path.name, path.parent.name):
        if found := SPLIT.search(name):
            return NAMES[found[1]]
    return None


def partition_of(
    splits: Sequence[int | None], counts: Sequence[int], seed: int
) -> tuple[np.ndarray, str]:
    """int8 of all images and its source, of parts of so many images, each of a split.

    Where a part has none, or all have the same, it is seeded by image. Train without a valid split gives its last
    tenth for it; without a test split the valid one is test.
    """
    total = sum(counts)
    known = {split for split in splits if split is not None}
    if None in splits or len(known) < 2:
        return seeded_partition(np.arange(total), seed), seeded_source("image", seed)
    partition = np.repeat(np.array(splits, np.int8), counts)
    source = "splits of the files"
    if TEST not in known:
        partition[partition == VALID] = TEST
        source += ", validation as test"
    if VALID not in partition:
        train = np.flatnonzero(partition == TRAIN)
        partition[train[len(train) - len(train) // 10 :]] = VALID
        source += ", last 10 % of train as valid"
    return partition, source


def classes_as_attributes(
    labels: np.ndarray, names: Sequence[str] = ()
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """A name each and bool N x classes, of int64 N; None where they are no classes, from 0 to 999, of all images."""
    if not len(labels) or labels.min() < 0 or labels.max() >= (len(names) or MOST_CLASSES):
        return None
    count = len(names) or int(labels.max()) + 1
    called = tuple(names) or tuple(f"class {i}" for i in range(count))
    return called, labels[:, None] == np.arange(count)


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
