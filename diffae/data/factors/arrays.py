"""Shapes3D, dSprites and MPI3D: all images of a set in one array, in the order of their factors."""

import zipfile
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from diffae.data import npz
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
# Sides of all images, and bytes of memory of a label, while factors are found out.
SIDES, PER_LABEL = (64, 64), 32
# Bytes that a byte of zlib becomes at most, and filters of HDF5 that change no size: shuffle, fletcher32.
UNPACKED, REARRANGING = 1032, (2, 3)
# By part of the file's name, the first that fits.
VERSIONS = {"toy": "toy", "realistic": "realistic", "complicated": "complex", "real": "real"}


T = TypeVar("T")


def _hdf5(file: Path, name: str, read: Callable[[Any], T]) -> T:
    """What `read` makes of an array of an HDF5 file, and not of another: no fingerprint sees that."""
    h5py = needed("h5py", file, "factors")
    try:
        with h5py.File(file, "r") as arrays:  # for each read: processes share no handle
            is_here = isinstance(arrays.get(name, getlink=True), h5py.HardLink)
            if not is_here or arrays[name].is_virtual or arrays[name].external:
                raise ValueError("no array, or one of another file; copy its data into this one")
            return read(arrays[name])
    except Exception as error:  # OSError, KeyError, RuntimeError: by where it is damaged
        raise UserError(f"{file}: {name} cannot be read ({error}); {AGAIN}") from None


def _rows(file: Path, name: str, rows: int | slice) -> np.ndarray:
    return _hdf5(file, name, lambda array: np.asarray(array[rows]))


def _header(array: Any) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape and dtype of an array of an HDF5 file, and the bytes that a chunk may become in memory.

    HDF5 unpacks a chunk to its end, even if that is more than it announces.
    """
    made, largest = array.id.get_create_plist(), [0]
    if array.chunks:
        array.id.chunk_iter(lambda chunk: largest.append(max(largest.pop(), chunk.size)))
    filters = [made.get_filter(place)[0] for place in range(made.get_nfilters())]
    packed = largest[0] * UNPACKED ** sum(each not in REARRANGING for each in filters)
    return array.shape, array.dtype, max(packed, prod(array.chunks or ()) * array.dtype.itemsize)


def _shapes3d(root: Path, file: Path) -> FactorSet:
    """3dshapes.h5: `images` uint8 [n, 64, 64, 3] and `labels` float64 [n, 6]."""
    images, pixels, of_images = _hdf5(file, "images", _header)
    labels, dtype, of_labels = _hdf5(file, "labels", _header)
    if pixels != np.uint8 or images[1:] != (*SIDES, 3):
        raise UserError(f"{file}: images are {pixels} {images}, not Shapes3D's")
    fits(max(of_images, of_labels, PER_LABEL * prod(labels)), f"{file}: its labels or a chunk")
    is_table = labels == (images[0], len(SHAPES3D)) and dtype.kind in "iuf"
    values = _rows(file, "labels", slice(None)) if is_table else np.array(np.nan)
    if not np.isfinite(values).all():
        raise UserError(f"{file}: labels {labels} are not {images[0]} x 6 finite numbers; {AGAIN}")
    source = FactorImages(root, (file,), images[0], partial(_rows, file, "images"))
    return "shapes3d", source, numbered(values, SHAPES3D)


def _names_in(path: Path) -> set[str]:
    """The names of the arrays of an npz file; none of another file."""
    return npz.names(path) if zipfile.is_zipfile(path) else set()


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
    fits(PER_LABEL * images.shape[0] * len(DSPRITES), f"{file}: latents_classes")
    classes = npz.array(file, "latents_classes")
    if images.shape[1:] != SIDES or classes.shape != (images.shape[0], len(DSPRITES)):
        found = f"imgs {images.shape} and latents_classes {classes.shape}"
        raise UserError(f"{file}: {found} are not those of dSprites")
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
