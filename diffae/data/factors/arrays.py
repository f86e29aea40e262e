"""Shapes3D, dSprites and MPI3D: all images of a set in one array, in the order of their factors."""

import zipfile
from functools import partial
from pathlib import Path

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
from diffae.data.readers.label_files import refuse_duplicates
from diffae.system.errors import UserError, needed

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
# By part of the file's name, the first that fits.
VERSIONS = {"toy": "toy", "realistic": "realistic", "complicated": "complex", "real": "real"}


def _hdf5(file: Path, name: str, rows: int | slice) -> np.ndarray:
    """Rows of an array of an HDF5 file, which is opened for each: processes share no handle."""
    h5py = needed("h5py", file, "factors")
    try:
        with h5py.File(file, "r") as arrays:
            return np.asarray(arrays[name][rows])
    except Exception as error:  # OSError, KeyError, RuntimeError: by where it is damaged
        raise UserError(f"{file}: {name} cannot be read ({error}); {AGAIN}") from None


def _shapes3d(root: Path, file: Path) -> FactorSet:
    """3dshapes.h5: `images` uint8 [n, 64, 64, 3] and `labels` float64 [n, 6]."""
    images, labels = _hdf5(file, "images", slice(0)), _hdf5(file, "labels", slice(None))
    if images.dtype != np.uint8 or images.shape[1:] != (64, 64, 3):
        raise UserError(f"{file}: images are {images.dtype} {images.shape}, not Shapes3D's")
    if labels.shape[1:] != (len(SHAPES3D),) or not np.isfinite(labels).all():
        raise UserError(f"{file}: labels {labels.shape} are not finite numbers [n, 6]; {AGAIN}")
    source = FactorImages(root, (file,), len(labels), partial(_hdf5, file, "images"))
    return "shapes3d", source, numbered(labels, SHAPES3D)


def _names_in(path: Path) -> set[str]:
    """The names of the arrays of an npz file; none of another file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            refuse_duplicates(names, path, "array")
            return set(names)
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
    try:
        with np.load(file, allow_pickle=False) as arrays:
            classes = arrays["latents_classes"]
    except Exception as error:
        raise UserError(f"{file}: latents_classes cannot be read ({error}); {AGAIN}") from None
    if len(images.shape) != 3 or classes.shape != (images.shape[0], len(DSPRITES)):
        found = f"imgs {images.shape} and latents_classes {classes.shape}"
        raise UserError(f"{file}: {found} are not those of dSprites")
    source = FactorImages(root, (file,), len(classes), partial(_black_and_white, images))
    return "dsprites", source, numbered(classes, DSPRITES)


def _mpi3d(root: Path, file: Path) -> FactorSet:
    """`images` uint8 [n, 64, 64, 3]; n tells the sizes of the factors, and the file's name which it is."""
    images = array_in(file, "images")
    if (sizes := SIZES.get(images.shape[0])) is None or len(images.shape) != 4:
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
