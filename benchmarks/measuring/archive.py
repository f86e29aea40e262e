"""Images in an npz file, as guided-diffusion (ADM) and its evaluator keep them: `arr_0`, uint8
N x H x W x 3. They are read one after the other, so that memory does not grow with the file.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from diffae.system.errors import UserError

IMAGES = "arr_0"
READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
LARGEST_SIDE = 16_384


def is_archive(path: Path) -> bool:
    """Whether a file is an npz with images, whatever else it holds."""
    return IMAGES in _arrays(path)


def has_statistics(path: Path) -> bool:
    """Whether an npz file holds `mu` and `sigma`."""
    return {"mu", "sigma"} <= _arrays(path)


def _arrays(path: Path) -> set[str]:
    """The names of the arrays of an npz file; none if it is none."""
    if not path.is_file():  # opening a pipe would wait for a writer
        return set()
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


@dataclass(frozen=True)
class Archive:
    """The images of an npz file, each uint8 3 x H x W, in order."""

    path: Path
    shape: tuple[int, int, int, int]

    @staticmethod
    def open(path: Path) -> "Archive":
        """Raises UserError, naming the file, if `arr_0` are not images."""
        with _reading(path) as file:
            return Archive(path, _shape(path, file))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        count, *size = self.shape
        with _reading(self.path) as file:
            _shape(self.path, file)
            for number in range(count):
                content = _content(self.path, file, int(np.prod(size)), number)
                image = np.frombuffer(content, np.uint8).reshape(size).copy()
                yield torch.from_numpy(image).permute(2, 0, 1)


def _reading(path: Path) -> IO[bytes]:
    try:
        return zipfile.ZipFile(path).open(f"{IMAGES}.npy")
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{path}: no npz file with images in {IMAGES}: {error}") from None


def _content(path: Path, file: IO[bytes], size: int, number: int) -> bytearray:
    try:
        content = bytearray(file.read(size))
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path}: image {number:,} cannot be read: {error}") from None
    if len(content) < size:
        raise UserError(f"{path}: ends within image {number:,}; is the file cut off?")
    return content


def _shape(path: Path, file: IO[bytes]) -> tuple[int, int, int, int]:
    try:
        version = np.lib.format.read_magic(file)
        shape, by_column, dtype = READ_HEADER[version](file)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: {IMAGES} is not an array of NumPy: {error}") from None
    if dtype != np.uint8 or by_column or len(shape) != 4 or shape[3] != 3:
        raise UserError(f"{path}: {IMAGES} is {dtype} {shape}, not images: uint8 N x H x W x 3")
    if not all(0 < side <= LARGEST_SIDE for side in shape[1:3]):
        raise UserError(f"{path}: images of {shape[2]} x {shape[1]} are not read")
    return shape
