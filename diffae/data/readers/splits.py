"""Splits by name: of shards by their own name or their folder's, of images by their folders."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from diffae.data.dataset import SEEDED_FRACTIONS, TEST, TRAIN, VALID, seeded_partition

NAMES = {
    **{"train": TRAIN, "test": TEST},
    **{name: VALID for name in ("validation", "valid", "val", "dev", "val2017", "val2014")},
    **{"train2017": TRAIN, "train2014": TRAIN, "test2017": TEST},  # COCO's folders
}
SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(NAMES)})(?=[-_.]|$)", re.IGNORECASE)


def split_of(path: Path) -> int | None:
    """The split in a file's own name, or else in its folder's; None without.

    A name is such as train-00000-of-00002.parquet.
    """
    for name in (path.name, path.parent.name):
        if found := SPLIT.search(name):
            return NAMES[found[1].lower()]
    return None


def partition_of_folders(
    names: Sequence[str], seed: int, root: str = "", spread: bool = False
) -> tuple[np.ndarray, str]:
    """As `partition_of`, for images by relative path: the outermost folder of a split decides.

    All images are test if they lie in val or test folders only, or, without any folder of a split,
    in one that is called `root` itself, such as val2017.
    """
    splits = [split for split, _ in map(split_folder, names)]
    if set(splits) == {None} and NAMES.get(root.lower()) == VALID:
        splits = [VALID] * len(names)
    if set(splits) in ({VALID}, {TEST}):
        return np.full(len(names), TEST, np.int8), "all images as test, by their folder"
    return partition_of(splits, [1] * len(names), seed, spread)


def split_folder(name: str) -> tuple[int | None, tuple[str, ...]]:
    """The split of an image by its relative path, and the folders below that of the split."""
    folders = PurePosixPath(name).parts[:-1]
    place = next((i for i, folder in enumerate(folders) if folder.lower() in NAMES), None)
    return (None, ()) if place is None else (NAMES[folders[place].lower()], folders[place + 1 :])


def partition_of(
    splits: Sequence[int | None], counts: Sequence[int], seed: int, spread: bool = False
) -> tuple[np.ndarray, str]:
    """The partition (int8) of all images and its source, from the number and split of each part.

    If a part has no split, or all have the same, it is seeded by image. Without a test split, valid
    becomes test; without a valid split, the last tenth of train becomes valid, or with `spread`
    every tenth image, so that each class has some. A part without images does not count.
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
        partition[train[9::10] if spread else train[-(len(train) // 10) :]] = VALID
        source += f", {'every tenth image' if spread else 'last 10 %'} of train as valid"
    return partition, source


def seeded(count: int, seed: int, identities: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """A seeded partition and its source, such as "seeded by identity 60/10/30, seed 0".

    All images of a person are in one split where identities are known.
    """
    groups, unit = (np.arange(count), "image") if identities is None else (identities, "identity")
    shares = "/".join(f"{100 * fraction:.0f}" for fraction in SEEDED_FRACTIONS)
    return seeded_partition(groups, seed), f"seeded by {unit} {shares}, seed {seed}"
