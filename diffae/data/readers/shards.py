"""Shared by formats of shards: finding the files, and attributes from the numbers of classes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffae.data.dataset import LabelFields
from diffae.data.readers.classes import MOST_CLASSES
from diffae.data.readers.sources import NAMES
from diffae.system.free_memory import fits

FOLDERS = {"data", *NAMES}  # names of subfolders that may hold shards, in upper or lower case


def find_shards(path: Path, suffix: str) -> list[Path]:
    """The files of a suffix in the folder `path` and its FOLDERS, sorted; or `path` if it is such a file."""
    if path.is_file():
        return [path] if path.suffix.lower() == suffix else []
    below = [entry for entry in path.iterdir() if entry.name.lower() in FOLDERS and entry.is_dir()]
    return sorted(file for folder in (path, *below) for file in folder.glob(f"*{suffix}"))


def name_in(path: Path, root: Path) -> str:
    """The name of a shard in the data set at `root`."""
    return path.name if path == root else path.relative_to(root).as_posix()


def classes_as_attributes(labels: np.ndarray, names: Sequence[str] = ()) -> LabelFields | str:
    """Attributes from the numbers of the images' classes, int64 N; or the reason why there are none.

    All images must have a class from 0 to 999, or an index of one of `names`. If classes have the same
    name, their numbers are appended.
    """
    most = len(names) or MOST_CLASSES
    if most > MOST_CLASSES:
        return f"{most:,} classes, and at most {MOST_CLASSES:,} are read"
    if missing := int((labels < 0).sum()):
        return f"{missing:,} of {len(labels):,} images have none"
    if beyond := int((labels >= most).sum()):
        problem = f"{beyond:,} of {len(labels):,} images have numbers up to {labels.max():,}"
        return f"{problem}, and 0 to {most - 1} are read"
    count = len(names) or int(labels.max()) + 1
    fits(count * len(labels), f"{len(labels):,} images of {count:,} classes")
    uses = Counter(names)
    titles = [f"{name} ({i})" if uses[name] > 1 else name for i, name in enumerate(names)]
    titles = titles or [f"class {i}" for i in range(count)]
    return {"attribute_names": tuple(titles), "attributes": labels[:, None] == np.arange(count)}
