"""Shared by formats of shards: where the files are, and classes as attributes."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from diffae.data.readers.classes import MOST_CLASSES
from diffae.data.readers.folder import IMAGE_SUFFIXES
from diffae.data.readers.splits import NAMES

FOLDERS = {"data", *NAMES}  # where shards lie, in any case, below the folder that is given


def find_shards(path: Path, suffix: str) -> list[Path]:
    """The files of that suffix in `path` or in `data`, `train`, ... below it, sorted; or `path` itself."""
    if path.is_file():
        return [path]
    below = [entry for entry in path.iterdir() if entry.name.lower() in FOLDERS and entry.is_dir()]
    return sorted(file for folder in (path, *below) for file in folder.glob(f"*{suffix}"))


def name_in(path: Path, root: Path) -> str:
    """The name of a shard in the data set at `root`."""
    return path.name if path == root else path.relative_to(root).as_posix()


def holds(path: Path, suffix: str, images_in: Callable[[Path], int]) -> bool:
    """Whether a folder is one of such shards.

    They hold at least as many images as lie beside them, such as a banner.
    """
    if not path.is_dir():
        return False
    shards, beside = find_shards(path, suffix), images_beside(path)
    if not beside:
        return bool(shards)
    return any(total >= beside for total in accumulate(map(images_in, shards)))


def images_beside(path: Path) -> int:
    """The number of image files in a folder of shards itself, which are not part of the data set."""
    names = os.listdir(path) if path.is_dir() else []
    return sum(name.lower().endswith(IMAGE_SUFFIXES) for name in names)


def describe_beside(path: Path) -> tuple[str, ...]:
    """E.g. "1 image file beside the files that hold the images"; empty if none."""
    count = images_beside(path)
    files = "1 image file" if count == 1 else f"{count:,} image files"
    return (f"{files} beside the files that hold the images",) if count else ()


def classes_as_attributes(
    labels: np.ndarray, names: Sequence[str] = ()
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Names, and bool N x classes, of int64 N; None unless all images have a class from 0 to 999.

    Classes of the same name are distinguished by their numbers.
    """
    if not len(labels) or labels.min() < 0 or len(names) > MOST_CLASSES:
        return None
    if labels.max() >= (len(names) or MOST_CLASSES):
        return None
    count = len(names) or int(labels.max()) + 1
    times = Counter(names)
    called = [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]
    called = called or [f"class {i}" for i in range(count)]
    return tuple(called), labels[:, None] == np.arange(count)
