"""Cars3D: a file of MATLAB for each car."""

import zlib
from functools import lru_cache, partial
from math import prod
from pathlib import Path

import numpy as np

from diffae.data.factors.images import (
    CLASSES,
    ORDERED,
    FactorImages,
    FactorSet,
    Format,
    grid_factors,
)
from diffae.data.factors.stream import AGAIN
from diffae.system.errors import UserError, refuse_duplicates
from diffae.system.files import read_file, read_text

LIST = "list.txt"
CARS = {"object": CLASSES, "elevation": ORDERED, "azimuth": CLASSES}
CAR_SHAPE = (128, 128, 3, 24, 4)  # of the images of a car: height, width, RGB, azimuth, elevation
LARGEST = 1 << 25  # bytes of a car's file, packed or not
KEPT = 2  # cars that stay in memory, of 5 MB each


def _image(cars: list[Path], index: int) -> np.ndarray:
    """Image `index` of all cars, in the order of car, elevation and azimuth."""
    car, elevation, azimuth = np.unravel_index(index, (len(cars), *CAR_SHAPE[:2:-1]))
    try:
        return _images_of(cars[car])[..., azimuth, elevation]
    except Exception as error:  # of a dozen kinds: it depends on the damage
        why = f"no array im {CAR_SHAPE} of bytes ({error or type(error).__name__})"
        raise UserError(f"{cars[car]}: {why}; {AGAIN}") from None


@lru_cache(KEPT)
def _images_of(car: Path) -> np.ndarray:
    from scipy.io import loadmat

    _refuse_large(car)
    images = loadmat(car, variable_names=["im"])["im"]
    if images.dtype != np.uint8 or images.shape != CAR_SHAPE:
        raise ValueError(f"{images.dtype} {images.shape}")
    return images


def _refuse_large(car: Path) -> None:
    """Raise ValueError if a variable of a car's file unpacks to LARGEST bytes or more."""
    content, place = read_file(car, LARGEST), 128  # where the first variable begins
    order = "<u4" if content[:place].endswith(b"IM") else ">u4"
    while place + 8 <= len(content):
        kind, size = np.frombuffer(content, order, 2, place).tolist()
        place += 8 + size
        packed = content[place - size : place] if kind == 15 else b""  # compressed
        if packed and len(zlib.decompressobj().decompress(packed, LARGEST)) == LARGEST:
            raise ValueError(f"a variable of {LARGEST:,} bytes or more")


def _cars3d(root: Path, list_file: Path) -> FactorSet:
    """The cars that list.txt names, in its order. Other readers use the order of the folder."""
    folder = list_file.parent
    own = [list_file, *sorted(filter(Path.is_file, folder.glob("car_*.mat")))]
    cars = [folder / f"{line}.mat" for line in read_text(list_file).split()]
    if lacking := [car.name for car in cars if car not in own]:
        raise UserError(f"{root}: {lacking[0]} is missing, which {LIST} names; {AGAIN}")
    refuse_duplicates([car.stem for car in cars], list_file, "car")
    sizes = (len(cars), *CAR_SHAPE[:2:-1])
    source = FactorImages(root, tuple(own), prod(sizes), partial(_image, cars))
    return "cars3d", source, grid_factors(sizes, CARS)


FORMAT = Format((LIST,), lambda path: bool([*path.parent.glob("car_*.mat")]), _cars3d)
