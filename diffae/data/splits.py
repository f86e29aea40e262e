"""Splits that names say: of shards by their own name or their folder's, of images by the folders that they lie in."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from diffae.data.dataset import TEST, TRAIN, VALID, seeded_partition, seeded_source

NAMES = {
    **{"train": TRAIN, "test": TEST},
    **{name: VALID for name in ("validation", "valid", "val", "dev")},
}
SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(NAMES)})(?=[-_.]|$)", re.IGNORECASE)


def split_of(path: Path) -> int | None:
    """By the file's own name, such as train-00000-of-00002.parquet, or else by its folder's; None without."""
    for name in (path.name, path.parent.name):
        if found := SPLIT.search(name):
            return NAMES[found[1].lower()]
    return None


def partition_of_folders(names: Sequence[str], seed: int) -> tuple[np.ndarray, str]:
    """As `partition_of`, of images by relative path: each lies in a folder that is called train, valid or test, at any depth."""
    splits = [_split_of_folders(name) for name in names]
    return partition_of(splits, [1] * len(names), seed)


def _split_of_folders(name: str) -> int | None:
    """Of the outermost folder that is called like a split; None without one."""
    folders = PurePosixPath(name).parts[:-1]
    return next((NAMES[folder.lower()] for folder in folders if folder.lower() in NAMES), None)


def partition_of(
    splits: Sequence[int | None], counts: Sequence[int], seed: int
) -> tuple[np.ndarray, str]:
    """int8 of all images and its source, of parts of so many images, each of a split.

    Where a part has none, or all have the same, it is seeded by image. Train without a valid split gives its last
    tenth for it; without a test split the valid one is test. A part without images says nothing.
    """
    of_each = [split for split, count in zip(splits, counts, strict=True) for _ in range(count)]
    known = set(of_each)
    if None in known or len(known) < 2:
        return seeded_partition(np.arange(len(of_each)), seed), seeded_source("image", seed)
    partition = np.array(of_each, np.int8)
    source = "splits of the files"
    if TEST not in known:
        partition[partition == VALID] = TEST
        source += ", validation as test"
    if VALID not in partition:
        train = np.flatnonzero(partition == TRAIN)
        partition[train[len(train) - len(train) // 10 :]] = VALID
        source += ", last 10 % of train as valid"
    return partition, source
