"""Cars3D and smallNORB, whose files of two formats are both called .mat."""

from functools import lru_cache
from math import prod
from pathlib import Path

import numpy as np

from diffae.data.dataset import TEST, TRAIN
from diffae.data.factors.images import (
    CLASSES,
    ORDERED,
    FactorImages,
    FactorSet,
    Format,
    in_order,
    numbered,
)
from diffae.data.factors.stream import AGAIN, GZIPPED, PLAIN, StoredArray, Stream
from diffae.system.errors import UserError
from diffae.system.files import file_size, read_text

# ----------------------------------------------------------------------------------------------
# Cars3D

LIST = "list.txt"
CARS = {"object": CLASSES, "elevation": ORDERED, "azimuth": CLASSES}
OF_A_CAR = (128, 128, 3, 24, 4)  # azimuths, elevations
LARGEST, KEPT = 1 << 27, 2  # bytes of a car's file, and cars in memory, of 5 MB each


class _Cars(FactorImages):
    """The images of each car in turn: by elevation, then azimuth."""

    def __init__(self, root: Path, own: tuple[Path, ...], cars: list[Path]):
        self.root, self.own, self.cars = root, own, cars
        self.count = len(cars) * prod(OF_A_CAR[3:])

    def pixels(self, index: int) -> np.ndarray:
        car, elevation, azimuth = np.unravel_index(index, (len(self.cars), *OF_A_CAR[:2:-1]))
        try:
            return _images_of(self.cars[car])[..., azimuth, elevation]
        except Exception as error:  # of a dozen kinds, by where the file is damaged
            why = f"no array im {OF_A_CAR} of bytes ({error or type(error).__name__})"
            raise UserError(f"{self.where(index)}: {why}; {AGAIN}") from None


@lru_cache(KEPT)
def _images_of(car: Path) -> np.ndarray:
    from scipy.io import loadmat

    images = loadmat(car, variable_names=["im"])["im"]
    if images.dtype != np.uint8 or images.shape != OF_A_CAR:
        raise ValueError(f"{images.dtype} {images.shape}")
    return images


def _cars3d(root: Path, files: list[Path]) -> FactorSet:
    """The cars that list.txt names, in its order: others number them by the folder's."""
    folder = files[0].parent
    own = [files[0], *sorted(folder.glob("car_*.mat"))]
    cars = [folder / f"{line}.mat" for line in read_text(files[0]).split()]
    if lacking := [car.name for car in cars if car not in own]:
        raise UserError(f"{root}: {lacking[0]} is missing, which {LIST} names; {AGAIN}")
    for car in cars:
        file_size(car, LARGEST)
    factors = in_order((len(cars), *OF_A_CAR[:2:-1]), CARS)
    return FactorSet("cars3d", _Cars(root, tuple(own), cars), factors)


# ----------------------------------------------------------------------------------------------
# smallNORB

PARTS = {"training": TRAIN, "testing": TEST}
BYTES, INTEGERS = 0x1E3D4C55, 0x1E3D4C54  # by which files of the two types begin
NORB = {"category": CLASSES, "instance": CLASSES, "elevation": ORDERED}
NORB |= {"azimuth": CLASSES, "lighting": CLASSES}


class _LeftImages(FactorImages):
    """The left images of the pairs of arrays [n, 2, 96, 96]."""

    def __init__(self, root: Path, own: tuple[Path, ...], arrays: list[StoredArray]):
        self.root, self.own, self.arrays = root, own, arrays
        self.ends = np.cumsum([array.shape[0] for array in arrays])
        self.count = int(self.ends[-1])

    def pixels(self, index: int) -> np.ndarray:
        which = int(np.searchsorted(self.ends, index, side="right"))
        array = self.arrays[which]
        return array.row(index - int(self.ends[which]) + array.shape[0])[0]


def _smallnorb(root: Path, files: list[Path]) -> FactorSet:
    """Training (instances 4, 6 to 9), testing (0 to 3, 5), or both; an azimuth is twice its place."""
    own, arrays, tables, parts = [], [], [], []
    for dat in sorted(files, reverse=True):  # training comes first
        kinds = [dat.with_name(dat.name.replace("-dat.", f"-{kind}.")) for kind in ("cat", "info")]
        images, cat, info = (_binary(path) for path in (dat, *kinds))
        n = images.shape[0]
        if images.shape != (n, 2, 96, 96) or cat.shape != (n,) or info.shape != (n, 4):
            found = f"dat {images.shape}, cat {cat.shape}, info {info.shape}"
            raise UserError(f"{dat}: {found} are not those of smallNORB")
        tables.append(np.column_stack([_whole(cat), _whole(info)]))
        parts.append((next(split for part, split in PARTS.items() if part in dat.name), n))
        arrays.append(images)
        own += [dat, *kinds]
    factors = numbered(np.concatenate(tables), NORB)
    return FactorSet("smallnorb", _LeftImages(root, tuple(own), arrays), factors, tuple(parts))


def _binary(path: Path) -> StoredArray:
    """An array of bytes, or of int32. Raises UserError for a file of another kind."""
    file_size(path)
    with open(path, "rb") as file:
        stream = Stream(path, wbits=GZIPPED if file.read(2) == b"\x1f\x8b" else PLAIN)
    magic, axes, *sizes = np.frombuffer(stream.read(0, 24).ljust(24, b"\0"), "<i4").tolist()
    if magic not in (BYTES, INTEGERS) or not 1 <= axes <= 4:
        raise UserError(f"{path}: not of smallNORB (it starts with {magic}, {axes}); {AGAIN}")
    return StoredArray(stream, 8 + 4 * max(3, axes), tuple(sizes[:axes]))


def _whole(array: StoredArray) -> np.ndarray:
    """The int32 of a small array. Raises UserError if the file ends before them."""
    content = array.stream.read(array.offset, 4 * prod(array.shape))
    if len(content) < 4 * prod(array.shape):
        raise UserError(f"{array.stream.path}: ends before its last label; {AGAIN}")
    return np.frombuffer(content, "<i4").reshape(array.shape)


def _is_norb(path: Path) -> bool:
    return path.name.startswith("smallnorb-") and any(part in path.name for part in PARTS)


SMALLNORB = Format(("-dat.mat", "-dat.mat.gz"), _is_norb, _smallnorb)
FORMATS = (
    Format((LIST,), lambda path: bool([*path.parent.glob("car_*.mat")]), _cars3d),
    SMALLNORB,
)
