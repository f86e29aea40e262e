"""Open a data set of known factors: a file of one of the formats, or a folder with it."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from diffae.data.dataset import Dataset
from diffae.data.factors import arrays, matlab
from diffae.data.factors.images import Format
from diffae.data.readers.folder import beside
from diffae.data.readers.label_files import honest_name
from diffae.data.readers.label_table import fields_of
from diffae.data.readers.sources import partition_of, seeded
from diffae.data.transforms import Transform
from diffae.system.errors import UserError

FORMATS: tuple[Format, ...] = (*arrays.FORMATS, *matlab.FORMATS)
WHOLE = {"shapes3d": 480_000, "dsprites": 737_280, "cars3d": 17_568, "smallnorb": 48_600}
BELOW = ("cars", "data/cars")  # where Cars3D is in its archive


def _found(path: Path) -> Iterator[tuple[Format, list[Path]]]:
    """The formats of which there are files, with these."""
    for one in FORMATS:
        folders = [path, *(path / below for below in BELOW)] if path.is_dir() else []
        there = [
            file for folder in folders for end in one.suffixes for file in folder.glob(f"*{end}")
        ]
        named = there if folders else [path] * path.name.endswith(one.suffixes)
        if files := [file for file in named if file.is_file() and one.recognises(file)]:
            yield one, files


def is_factors(path: Path) -> bool:
    return next(_found(path), None) is not None


def open_factors(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open Shapes3D, dSprites, MPI3D, Cars3D or smallNORB, with its factors as columns.

    Without official splits a seed makes one. Raises UserError for two sets in a folder, and unless
    each combination of the factors' values occurs once.
    """
    (one, files), *others = _found(path)
    if others or (len(files) > 1 and one is not matlab.SMALLNORB):
        names = ", ".join(file.name for _, some in ((one, files), *others) for file in some)
        raise UserError(f"{path}: has several data sets: {names}; give one of these files")
    name, source, factors, parts = one.read(path, files)
    sizes = [int(values.max()) + 1 for values in factors.values()]
    places = np.ravel_multi_index([values.astype(int) for values in factors.values()], sizes)
    if len(source) != prod(sizes) or len(np.unique(places)) != len(source):
        found = " x ".join(f"{size} {factor}" for factor, size in zip(factors, sizes, strict=True))
        what = f"{len(source):,} images are not all combinations of {found}"
        raise UserError(f"{path}: {what}; download it again")
    n, (splits, counts) = len(source), zip(*parts, strict=True) if parts else ((), ())
    split = partition_of(splits, counts, seed, spread=True) if parts else seeded(n, seed)
    transform, told = Transform(image_size, crop or "center"), beside(path, source.own)
    title = honest_name(name, WHOLE.get(name, n) == n, path.resolve().stem)
    return Dataset(title, path, source, transform, *split, left_out=told, **fields_of(factors))
