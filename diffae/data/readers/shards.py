"""Shared by formats of shards: where the files are, and classes as attributes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffae.data.readers.classes import MOST_CLASSES
from diffae.data.readers.sources import NAMES
from diffae.system.free_memory import fits

FOLDERS = {"data", *NAMES}  # where shards lie, in any case, below the folder that is given


def find_shards(path: Path, suffix: str) -> list[Path]:
    """The files of that suffix in `path` or in `data`, `train`, ... below it, sorted; or `path` itself."""
    if path.is_file():
        return [path] if path.suffix.lower() == suffix else []
    below = [entry for entry in path.iterdir() if entry.name.lower() in FOLDERS and entry.is_dir()]
    return sorted(file for folder in (path, *below) for file in folder.glob(f"*{suffix}"))


def name_in(path: Path, root: Path) -> str:
    """The name of a shard in the data set at `root`."""
    return path.name if path == root else path.relative_to(root).as_posix()


def classes_as_attributes(labels: np.ndarray, names: Sequence[str] = ()) -> dict[str, Any] | str:
    """Attributes, as fields of `Dataset`, of int64 N; or in words why there are none.

    All images must have a class from 0 to 999, or one of `names`. Classes of the same name are
    distinguished by their numbers.
    """
    most = len(names) or MOST_CLASSES
    if most > MOST_CLASSES:
        return f"{most:,} classes, and at most {MOST_CLASSES:,} are read"
    if missing := int((labels < 0).sum()):
        return f"{missing:,} of {len(labels):,} images have none"
    if beyond := int((labels >= most).sum()):
        of = f"{beyond:,} of {len(labels):,} images have numbers up to {labels.max():,}"
        return f"{of}, and 0 to {most - 1} are read"
    count = len(names) or int(labels.max()) + 1
    fits(count * len(labels), f"{len(labels):,} images of {count:,} classes")
    times = Counter(names)
    called = [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]
    called = called or [f"class {i}" for i in range(count)]
    return {"attribute_names": tuple(called), "attributes": labels[:, None] == np.arange(count)}
