"""Shapes3D, dSprites and MPI3D, whose images are all in one array."""

import zipfile
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from diffae.data import npz
from diffae.data.factors.images import (
    CLASSES,
    ORDERED,
    FactorImages,
    FactorSet,
    Format,
    encode_factors,
    grid_factors,
)
from diffae.data.factors.stream import AGAIN, StoredArray, array_in
from diffae.system.errors import UserError, needed
from diffae.system.free_memory import fits

if TYPE_CHECKING:
    import h5py

SHAPES3D = dict.fromkeys(("floor_hue", "wall_hue", "object_hue"), CLASSES)
SHAPES3D |= {"scale": ORDERED, "shape": CLASSES, "orientation": ORDERED}
# The orientations of dSprites go round in a circle, so they are classes.
DSPRITES = {"color": CLASSES, "shape": CLASSES, "scale": ORDERED, "orientation": CLASSES}
DSPRITES |= {"pos_x": ORDERED, "pos_y": ORDERED}
MPI3D = {"object_color": CLASSES, "object_shape": CLASSES, "object_size": ORDERED}
MPI3D |= {"camera_height": ORDERED, "background_color": CLASSES}
MPI3D |= {"horizontal_axis": ORDERED, "vertical_axis": ORDERED}
# Numbers of values of the factors of MPI3D, by the number of images. The second set is that of complex
# shapes, and of the first release.
SIZES = {1_036_800: (6, 6, 2, 3, 3, 40, 40), 460_800: (4, 4, 2, 3, 3, 40, 40)}
SIDES = (64, 64)  # pixels of every image
PER_LABEL = 32  # bytes of memory that a label takes while it becomes a factor
UNPACKED = 1032  # bytes that zlib makes of a byte at most
REARRANGING = (2, 3)  # filters of HDF5 that do not change the size: shuffle, fletcher32
# Versions of MPI3D, by a part of the file's name; the first that fits counts.
VERSIONS = {"toy": "toy", "realistic": "realistic", "complicated": "complex", "real": "real"}


T = TypeVar("T")


def _read_hdf5(file: Path, name: str, read: Callable[["h5py.Dataset"], T]) -> T:
    """Call `read` on an array of an HDF5 file. Raises UserError if the array cannot be read.

    An array whose data is in another file is refused, since the fingerprint would not cover that file.
    """
    h5py = needed("h5py", file, "factors")
    try:
        # The file is opened for each read, since processes must not share a handle.
        with h5py.File(file, "r") as arrays:
            is_here = isinstance(arrays.get(name, getlink=True), h5py.HardLink)
            if not is_here or arrays[name].is_virtual or arrays[name].external:
                raise ValueError("no array, or one of another file; copy its data into this one")
            return read(arrays[name])
    except Exception as error:  # OSError, KeyError, RuntimeError: it depends on the damage
        raise UserError(f"{file}: {name} cannot be read ({error}); {AGAIN}") from None


def _rows(file: Path, name: str, rows: int | slice) -> np.ndarray:
    return _read_hdf5(file, name, lambda array: np.asarray(array[rows]))


def _read_header(array: "h5py.Dataset") -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape and dtype of an array of an HDF5 file, and the bytes that a chunk may take in memory.

    HDF5 unpacks a chunk to its end, even if it is larger than the header says.
    """
    sizes = [0]  # of the packed chunks
    if array.chunks:
        array.id.chunk_iter(lambda chunk: sizes.append(chunk.size))
    creation = array.id.get_create_plist()
    filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
    compressions = sum(code not in REARRANGING for code in filters)
    unpacked = max(sizes) * UNPACKED**compressions
    return array.shape, array.dtype, max(unpacked, prod(array.chunks or ()) * array.dtype.itemsize)


def _shapes3d(root: Path, file: Path) -> FactorSet:
    """3dshapes.h5: `images` uint8 [n, 64, 64, 3] and `labels` float64 [n, 6]."""
    images, pixels, of_images = _read_hdf5(file, "images", _read_header)
    labels, dtype, of_labels = _read_hdf5(file, "labels", _read_header)
    if pixels != np.uint8 or images[1:] != (*SIDES, 3):
        raise UserError(f"{file}: images are {pixels} {images}, not Shapes3D's")
    fits(max(of_images, of_labels, PER_LABEL * prod(labels)), f"{file}: its labels or a chunk")
    is_table = labels == (images[0], len(SHAPES3D)) and dtype.kind in "iuf"
    values = _rows(file, "labels", slice(None)) if is_table else np.array(np.nan)
    if not np.isfinite(values).all():
        raise UserError(f"{file}: labels {labels} are not {images[0]} x 6 finite numbers; {AGAIN}")
    source = FactorImages(root, (file,), images[0], partial(_rows, file, "images"))
    return "shapes3d", source, encode_factors(values, SHAPES3D)


def _names_in(path: Path) -> set[str]:
    """The names of the arrays of an npz file; empty for another file."""
    return npz.names(path) if zipfile.is_zipfile(path) else set()


def _black_and_white(images: StoredArray, index: int) -> np.ndarray:
    """An image of zeros and ones, times 255."""
    row = images.row(index)
    if row.max() > 1:
        path = images.stream.path
        raise UserError(f"{path}: image {index} has {row.max()}, not 0 and 1; {AGAIN}")
    return row * np.uint8(255)


def _dsprites(root: Path, file: Path) -> FactorSet:
    """`imgs` uint8 [n, 64, 64] of 0 and 1, and `latents_classes` [n, 6], with a constant colour.

    `metadata` is a pickle of Python 2, and is not read.
    """
    images = array_in(file, "imgs")
    fits(PER_LABEL * images.shape[0] * len(DSPRITES), f"{file}: latents_classes")
    classes = npz.array(file, "latents_classes")
    if images.shape[1:] != SIDES or classes.shape != (images.shape[0], len(DSPRITES)):
        shapes = f"imgs {images.shape} and latents_classes {classes.shape}"
        raise UserError(f"{file}: {shapes} are not those of dSprites")
    source = FactorImages(root, (file,), len(classes), partial(_black_and_white, images))
    return "dsprites", source, encode_factors(classes, DSPRITES)


def _mpi3d(root: Path, file: Path) -> FactorSet:
    """`images` uint8 [n, 64, 64, 3]. n decides the sizes of the factors, and the file's name the version."""
    images = array_in(file, "images")
    if (sizes := SIZES.get(images.shape[0])) is None or images.shape[1:] != (*SIDES, 3):
        counts = " or ".join(f"{count:,}" for count in SIZES)
        raise UserError(f"{file}: images {images.shape} are not MPI3D's {counts}")
    file_name = file.name.lower()
    version = next((title for part, title in VERSIONS.items() if part in file_name), "unnamed")
    source = FactorImages(root, (file,), images.shape[0], images.row)
    return f"mpi3d-{version}", source, grid_factors(sizes, MPI3D)


FORMATS = (
    Format((".h5", ".hdf5"), Path.is_file, _shapes3d),
    Format((".npz",), lambda path: _names_in(path) >= {"imgs", "latents_classes"}, _dsprites),
    Format((".npz",), lambda path: _names_in(path) == {"images"}, _mpi3d),
)
