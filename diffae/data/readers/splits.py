"""Splits that names say: of shards by their own name or their folder's, of images by the folders that they lie in."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from diffae.data.dataset import SEEDED_FRACTIONS, TEST, TRAIN, VALID, seeded_partition

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
    """As `partition_of`, of images by relative path: the outermost folder that is called like a split says which it is."""
    splits = []
    for name in names:
        folders = PurePosixPath(name).parts[:-1]
        splits.append(next((NAMES[f.lower()] for f in folders if f.lower() in NAMES), None))
    return partition_of(splits, [1] * len(names), seed)


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
        return seeded(len(of_each), seed)
    partition = np.array(of_each, np.int8)
    source = "splits of the files"
    if TEST not in known:
        partition[partition == VALID] = TEST
        source += ", validation as test"
    train = np.flatnonzero(partition == TRAIN)
    if VALID not in partition and len(train) >= 10:
        partition[train[-(len(train) // 10) :]] = VALID
        source += ", last 10 % of train as valid"
    return partition, source


def seeded(count: int, seed: int, identities: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """A seeded partition of so many images, all of a person in one split where they are known, and its source, such as
    "seeded by identity 60/10/30, seed 0"."""
    groups, unit = (np.arange(count), "image") if identities is None else (identities, "identity")
    shares = "/".join(f"{100 * fraction:.0f}" for fraction in SEEDED_FRACTIONS)
    return seeded_partition(groups, seed), f"seeded by {unit} {shares}, seed {seed}"
