"""Open a data set of known factors: a file of one of the formats, or the folder that holds it."""

from math import prod
from pathlib import Path

import numpy as np

from diffae.data.dataset import Dataset
from diffae.data.factors import arrays, cars3d
from diffae.data.factors.images import Format
from diffae.data.readers.folder import describe_others
from diffae.data.readers.label_files import honest_name
from diffae.data.readers.label_table import fields_of
from diffae.data.readers.sources import seeded
from diffae.data.transforms import Transform
from diffae.system.errors import UserError

FORMATS: tuple[Format, ...] = (*arrays.FORMATS, cars3d.FORMAT)
WHOLE = {"shapes3d": 480_000, "dsprites": 737_280, "cars3d": 17_568}


def _files(path: Path) -> list[tuple[Format, Path]]:
    """The files at or in `path` that are of a format, each after its format."""
    return [
        (form, file)
        for file in (path.iterdir() if path.is_dir() else [path])
        for form in FORMATS
        if file.name.endswith(form.suffixes) and file.is_file() and form.recognises(file)
    ]


def is_factors(path: Path) -> bool:
    return bool(_files(path))


def open_factors(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open Shapes3D, dSprites, MPI3D or Cars3D, with its factors as columns; the split is seeded.

    Raises UserError if a folder holds two data sets, or if a combination of the factors' values does
    not occur exactly once.
    """
    files = _files(path)
    if len(files) > 1:
        names = ", ".join(sorted(file.name for _, file in files))
        raise UserError(f"{path}: has several data sets: {names}; give one of these files")
    [(form, file)] = files
    name, source, factors = form.read(path, file)
    sizes = [int(values.max()) + 1 for values in factors.values()]
    places = np.ravel_multi_index([values.astype(int) for values in factors.values()], sizes)
    count = len(source)
    if count != prod(sizes) or len(np.unique(places)) != count:
        combinations = f"all combinations of {' x '.join(map(str, sizes))} values"
        raise UserError(f"{path}: {count:,} images are not {combinations}; download it again")
    title = honest_name(name, WHOLE.get(name, count) == count, path.resolve().stem)
    transform = Transform(image_size, crop or "center")
    left_out = describe_others(path, source.own)
    split, labels = seeded(count, seed), fields_of(factors)
    return Dataset(title, path, source, transform, *split, left_out=left_out, **labels)
