"""Shapes3D, dSprites and MPI3D: all images of a set in one array, in the order of their factors."""

import zipfile
from collections.abc import Callable
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


class _Rows(FactorImages):
    """The rows of an array of images, times a `scale`."""

    def __init__(self, root: Path, array: StoredArray, scale: int = 1):
        self.root, self.own, self.count = root, (array.stream.path,), array.shape[0]
        self.array, self.scale = array, scale

    def pixels(self, index: int) -> np.ndarray:
        row = self.array.row(index)
        if int(row.max()) * self.scale > 255:
            raise UserError(f"{self.where(index)}: pixels are 0 and 1, not {row.max()}; {AGAIN}")
        return row * np.uint8(self.scale)


class _Hdf5Rows(FactorImages):
    """The array `images` of an HDF5 file, which is opened for each image: processes share no handle."""

    def __init__(self, root: Path, file: Path):
        self.root, self.own = root, (file,)
        images = self._read("images", slice(0))
        if images.dtype != np.uint8 or images.shape[1:] != (64, 64, 3):
            raise UserError(f"{file}: images are {images.dtype} {images.shape}, not Shapes3D's")
        self.labels = self._read("labels", slice(None))
        self.count = len(self.labels)

    def _read(self, name: str, rows: int | slice) -> np.ndarray:
        h5py = needed("h5py", self.own[0], "factors")
        try:
            with h5py.File(self.own[0], "r") as file:
                return np.asarray(file[name][rows])
        except Exception as error:  # OSError, KeyError, RuntimeError: by where it is damaged
            raise UserError(f"{self.own[0]}: {name} cannot be read ({error}); {AGAIN}") from None

    def pixels(self, index: int) -> np.ndarray:
        return self._read("images", index)


def _shapes3d(root: Path, file: Path) -> FactorSet:
    """3dshapes.h5: `images` uint8 [n, 64, 64, 3] and `labels` float64 [n, 6]."""
    source = _Hdf5Rows(root, file)
    labels = source.labels
    if labels.shape[1:] != (len(SHAPES3D),) or not np.isfinite(labels).all():
        raise UserError(f"{file}: labels {labels.shape} are not finite numbers [n, 6]; {AGAIN}")
    return FactorSet("shapes3d", source, numbered(labels, SHAPES3D))


def _holds(path: Path, is_it: Callable[[set[str]], bool]) -> bool:
    """Whether a file is an npz file, and by the names of its arrays the one that is meant."""
    try:
        with zipfile.ZipFile(path) as archive:
            return is_it({name.removesuffix(".npy") for name in archive.namelist()})
    except (OSError, zipfile.BadZipFile):
        return False


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
    return FactorSet("dsprites", _Rows(root, images, 255), numbered(classes, DSPRITES))


def _mpi3d(root: Path, file: Path) -> FactorSet:
    """`images` uint8 [n, 64, 64, 3]; n tells the sizes of the factors, and the file's name which it is."""
    images = array_in(file, "images")
    if (sizes := SIZES.get(images.shape[0])) is None or len(images.shape) != 4:
        known = " or ".join(f"{n:,}" for n in SIZES)
        raise UserError(f"{file}: images {images.shape} are not MPI3D's {known}")
    named = file.name.lower()
    version = next((text for part, text in VERSIONS.items() if part in named), "unnamed")
    return FactorSet(f"mpi3d-{version}", _Rows(root, images), in_order(sizes, MPI3D))


FORMATS = (
    Format((".h5", ".hdf5"), Path.is_file, _shapes3d),
    Format((".npz",), partial(_holds, is_it={"imgs", "latents_classes"}.issubset), _dsprites),
    Format((".npz",), partial(_holds, is_it=lambda names: names == {"images"}), _mpi3d),
)
