"""Shapes3D, dSprites and MPI3D: all images of a set in one array, in the order of their factors."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from diffae.data.factors.images import (
    CLASSES,
    ORDERED,
    FactorImages,
    FactorSet,
    Format,
    in_order,
    numbered,
)
from diffae.data.factors.stream import AGAIN, StoredArray, array_in
from diffae.system.errors import UserError, needed
from diffae.system.free_memory import fits

SHAPES3D = dict.fromkeys(("floor_hue", "wall_hue", "object_hue"), CLASSES)
SHAPES3D |= {"scale": ORDERED, "shape": CLASSES, "orientation": ORDERED}
# The orientations of dSprites are a circle.
DSPRITES = {"color": CLASSES, "shape": CLASSES, "scale": ORDERED, "orientation": CLASSES}
DSPRITES |= {"pos_x": ORDERED, "pos_y": ORDERED}
MPI3D = {"object_color": CLASSES, "object_shape": CLASSES, "object_size": ORDERED}
MPI3D |= {"camera_height": ORDERED, "background_color": CLASSES}
MPI3D |= {"horizontal_axis": ORDERED, "vertical_axis": ORDERED}
# Of MPI3D as published, and of its complex shapes and its first release, by the number of images.
SIZES = {1_036_800: (6, 6, 2, 3, 3, 40, 40), 460_800: (4, 4, 2, 3, 3, 40, 40)}
SIDES = (64, 64)  # of the images of every set
PER_LABEL = 32  # bytes of memory, while factors are found out
UNPACKED = 1032  # bytes that a byte of zlib becomes at most
REARRANGING = (2, 3)  # filters of HDF5 that change no size: shuffle and fletcher32
# By part of the file's name, the first that fits.
VERSIONS = {"toy": "toy", "realistic": "realistic", "complicated": "complex", "real": "real"}


@contextmanager
def _hdf5(file: Path, name: str) -> Iterator[Any]:
    """An array of an HDF5 file, and not of another: no fingerprint would see that."""
    h5py = needed("h5py", file, "factors")
    try:
        with h5py.File(file, "r") as arrays:
            is_here = isinstance(arrays.get(name, getlink=True), h5py.HardLink)
            if not is_here or arrays[name].is_virtual or arrays[name].external:
                raise ValueError("is no array of this file, or a link; copy its data into the file")
            yield arrays[name]
    except Exception as error:  # OSError, KeyError, RuntimeError: by where it is damaged
        raise UserError(f"{file}: {name} cannot be read ({error}); {AGAIN}") from None


def _rows(file: Path, name: str, rows: int | slice) -> np.ndarray:
    """Rows of an array of an HDF5 file, which is opened for each: processes share no handle."""
    with _hdf5(file, name) as array:
        return np.asarray(array[rows])


def _header(file: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array of an HDF5 file.

    Raises UserError if a chunk, which HDF5 unpacks as a whole, does not fit into memory: as long as it
    ought to be, or as its packed bytes may become.
    """
    with _hdf5(file, name) as array:
        largest, made = [0], array.id.get_create_plist()
        if array.chunks:
            array.id.chunk_iter(lambda chunk: largest.append(max(largest.pop(), chunk.size)))
        filters = {made.get_filter(place)[0] for place in range(made.get_nfilters())}
        packed = largest[0] * UNPACKED ** len(filters.difference(REARRANGING))
        size = max(packed, prod(array.chunks or (0,)) * array.dtype.itemsize)
        shape, dtype = array.shape, array.dtype
    fits(size, f"{file}: a chunk of {name}")
    return shape, dtype


def _shapes3d(root: Path, file: Path) -> FactorSet:
    """3dshapes.h5: `images` uint8 [n, 64, 64, 3] and `labels` float64 [n, 6]."""
    (images, pixels), (labels, dtype) = _header(file, "images"), _header(file, "labels")
    if pixels != np.uint8 or images[1:] != (*SIDES, 3):
        raise UserError(f"{file}: images are {pixels} {images}, not Shapes3D's")
    fits(PER_LABEL * prod(labels), f"{file}: labels")
    is_table = labels == (images[0], len(SHAPES3D)) and dtype.kind in "iuf"
    values = _rows(file, "labels", slice(None)) if is_table else np.array(np.nan)
    if not np.isfinite(values).all():
        raise UserError(f"{file}: labels {dtype} {labels} are not finite numbers [n, 6]; {AGAIN}")
    source = FactorImages(root, (file,), images[0], partial(_rows, file, "images"))
    return "shapes3d", source, numbered(values, SHAPES3D)


def _names_in(path: Path) -> set[str]:
    """The names of the arrays of an npz file; none of another file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def _black_and_white(images: StoredArray, index: int) -> np.ndarray:
    """An image of 0 and 1, times 255."""
    row = images.row(index)
    if row.max() > 1:
        raise UserError(
            f"{images.stream.path}: image {index} has {row.max()}, not 0 and 1; {AGAIN}"
        )
    return row * np.uint8(255)


def _dsprites(root: Path, file: Path) -> FactorSet:
    """`imgs` uint8 [n, 64, 64] of 0 and 1, and `latents_classes` [n, 6]; the colour is constant.

    `metadata` is a pickle of Python 2, and not read.
    """
    images = array_in(file, "imgs")
    stored = array_in(file, "latents_classes", np.typecodes["AllInteger"])
    if images.shape[1:] != SIDES or stored.shape != (images.shape[0], len(DSPRITES)):
        found = f"imgs {images.shape} and latents_classes {stored.shape}"
        raise UserError(f"{file}: {found} are not those of dSprites")
    fits(PER_LABEL * prod(stored.shape), f"{file}: latents_classes")
    classes = stored._replace(shape=(1, *stored.shape)).row(0)
    source = FactorImages(root, (file,), len(classes), partial(_black_and_white, images))
    return "dsprites", source, numbered(classes, DSPRITES)


def _mpi3d(root: Path, file: Path) -> FactorSet:
    """`images` uint8 [n, 64, 64, 3]; n tells the sizes of the factors, and the file's name which it is."""
    images = array_in(file, "images")
    if (sizes := SIZES.get(images.shape[0])) is None or images.shape[1:] != (*SIDES, 3):
        known = " or ".join(f"{n:,}" for n in SIZES)
        raise UserError(f"{file}: images {images.shape} are not MPI3D's {known}")
    named = file.name.lower()
    version = next((text for part, text in VERSIONS.items() if part in named), "unnamed")
    source = FactorImages(root, (file,), images.shape[0], images.row)
    return f"mpi3d-{version}", source, in_order(sizes, MPI3D)


FORMATS = (
    Format((".h5", ".hdf5"), Path.is_file, _shapes3d),
    Format((".npz",), lambda path: _names_in(path) >= {"imgs", "latents_classes"}, _dsprites),
    Format((".npz",), lambda path: _names_in(path) == {"images"}, _mpi3d),
)
