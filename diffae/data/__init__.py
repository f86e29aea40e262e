"""Data sets: `open_dataset(path, image_size)` detects the format and returns a `Dataset`.

A format is a module with two functions, one that recognises a path and one that opens it, and a line
in `READERS`.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffae.data.dataset import Dataset, subset_of
from diffae.data.factors.combinations import subset_with_combinations
from diffae.data.factors.reader import is_factors, open_factors
from diffae.data.prepared import is_prepared, open_prepared
from diffae.data.readers.celeba import is_celeba, is_celebahq, open_celeba, open_celebahq
from diffae.data.readers.folder import open_image_folder
from diffae.data.readers.idx import is_idx, open_idx
from diffae.data.readers.lmdb_folder import is_lmdb, open_lmdb
from diffae.data.readers.parquet import is_parquet, open_parquet
from diffae.data.readers.webdataset import is_webdataset, open_webdataset
from diffae.data.readers.zip_archive import is_zip, open_zip
from diffae.data.transforms import Transform
from diffae.system.cli import printable
from diffae.system.errors import UserError
from diffae.system.files import file_size

__all__ = [
    "Dataset",
    "Transform",
    "open_combinations",
    "open_dataset",
    "open_for_model",
    "open_portraits",
]


class Reader(NamedTuple):
    """A format: its name, the test whether a path is of this format, and the function that opens it."""

    title: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path, int, str | None, int], Dataset]


# The first reader that recognises a path opens it.
READERS: tuple[Reader, ...] = (
    Reader("prepared copy", is_prepared, open_prepared),
    Reader("CelebA-HQ", is_celebahq, open_celebahq),
    Reader("CelebA", is_celeba, open_celeba),
    Reader("LMDB", is_lmdb, open_lmdb),
    Reader("IDX", is_idx, open_idx),
    Reader("known factors", is_factors, open_factors),
    Reader("parquet", is_parquet, open_parquet),
    Reader("WebDataset", is_webdataset, open_webdataset),
    Reader("zip of images", is_zip, open_zip),
    Reader("folder of images", Path.is_dir, open_image_folder),
)

PORTRAIT_SIZE = 64


def open_dataset(
    path: str | Path, image_size: int, crop: str | None = None, seed: int = 0
) -> Dataset:
    """Open the data set at `path`, which may be of any format in `READERS`.

    `image_size` is the side of the square images that a `Dataset` returns. `crop` is one of `CROPS`
    (`diffae.data.transforms`), or None for the default of the format. `seed` makes the split if the
    data has none. Raises `UserError` if the data is faulty.
    """
    try:
        dataset = find_reader(Path(path)).open(Path(path), image_size, crop, seed)
        return replace(dataset, name=printable(dataset.name))
    except PermissionError as error:
        raise UserError(f"{error.filename}: no permission to read this") from error


def open_for_model(
    path: str | Path, image_size: int, crop: str | None = None, model: str = "model"
) -> Dataset:
    """As `open_dataset`, for a model of `image_size` px. Raises `UserError` if the images are smaller.

    Only the first image that can be read is checked. A message calls the model by the text `model`.
    """
    dataset = open_dataset(path, image_size, crop)
    native = native_side(dataset)
    if native < image_size:
        raise UserError(f"{path}: images of {native} px, but the {model} is for {image_size} px")
    return dataset


def native_side(dataset: Dataset) -> int:
    """Side in px, before resizing, of the square that is cut out of the first readable image.

    Raises UserError if no image can be read.
    """
    first: UserError | None = None
    for index in range(len(dataset)):
        try:
            return dataset.transform.native_side(*dataset.source.read(index).size)
        except UserError as error:
            first = first or error
    raise first or UserError(f"{dataset.root}: no images")


def find_reader(path: Path) -> Reader:
    """The reader for the format of `path`; `UserError` if no reader recognises it."""
    if not path.exists():
        raise UserError(f"{path}: no such folder or zip file")
    if path.is_dir():
        try:  # a reader would name the first file that it looks for, not the folder
            os.listdir(path)
            os.stat(f"{path}/.")
        except PermissionError:
            raise UserError(f"{path}: no permission to read this folder") from None
    else:
        file_size(path)  # refuses a pipe or a device
    for reader in READERS:
        if reader.recognises(path):
            return reader
    raise UserError(f"{path}: of no known format; give the folder that holds the images")


def open_combinations(data: Dataset, most: int) -> Dataset | None:
    """Images of all combinations of known factors, at most `most`: drawn ones, or those of the data.

    None if the data has no known factors, or not all their combinations.
    """
    if data.drawing is not None:
        drawn = data.drawing.combinations(most)
        if drawn is None:
            return None
        if isinstance(drawn, int):  # in a dry run, this many images of the data stand in
            return subset_of(data, np.arange(drawn))
        data = open_dataset(drawn, data.image_size).changed_by(data.transform.options)
    return subset_with_combinations(data, most)


def open_portraits(count: int, image_size: int, seed: int = 0, dry: bool = False) -> Dataset:
    """`count` procedural portraits, drawn on first use, with 40 attributes, factors and identities.

    Several processes draw them. A script needs no `if __name__ == "__main__":` for this. Raises
    UserError if a process dies. In a `dry` run nothing is drawn: there may be no images.
    """
    from diffae.data import portraits

    side = max(PORTRAIT_SIZE, image_size)
    if dry and not portraits.are_drawn(count, side, seed):
        return portraits.planned(count, image_size, seed)
    folder = portraits.ensure(count, side, seed)
    drawing = portraits.PortraitDrawing(seed, side, dry)
    data = open_dataset(folder, image_size, seed=seed)
    return replace(data, name="portraits", drawing=drawing, truth=drawing)
