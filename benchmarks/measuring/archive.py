"""Images in an npz file, as guided-diffusion (ADM) and its evaluator keep them: `arr_0`, uint8
N x H x W x 3. They are read one after the other, so that memory does not grow with the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.runtime import npz
from diffae.system.errors import UserError

IMAGES = "arr_0"
LARGEST_SIDE = 16_384


def is_archive(path: Path) -> bool:
    """Whether a path is an npz file with images, whatever else it holds.

    Raises UserError for a file that is no npz file, or a damaged one.
    """
    return path.is_file() and IMAGES in npz.names(path)


def has_statistics(path: Path) -> bool:
    """Whether an npz file holds `mu` and `sigma`."""
    return {"mu", "sigma"} <= npz.names(path)


@dataclass(frozen=True)
class Archive:
    """The images of an npz file, each uint8 3 x H x W, in order."""

    path: Path
    shape: tuple[int, ...]

    @staticmethod
    def open(path: Path) -> "Archive":
        """Raises UserError, naming the file, if `arr_0` are not images."""
        with npz.opened(path, IMAGES) as (header, _):
            return Archive(path, _shape(path, header))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        count, *size = self.shape
        with npz.opened(self.path, IMAGES) as (_, file):
            for number in range(count):
                with npz.reading(self.path, f"image {number:,} cannot be read"):
                    content = bytearray(file.read(prod(size)))
                    image = np.frombuffer(content, np.uint8).reshape(size)
                yield torch.from_numpy(image).permute(2, 0, 1)


def _shape(path: Path, header: npz.Header) -> tuple[int, ...]:
    shape = header.shape
    if header.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise UserError(f"{path}: {IMAGES} is {header}, not images: uint8 N x H x W x 3")
    if header.by_column:
        raise UserError(
            f"{path}: {IMAGES} is in Fortran order; save np.ascontiguousarray of it, in C order"
        )
    if not all(0 < side <= LARGEST_SIDE for side in shape[1:3]):
        raise UserError(f"{path}: images of {shape[2]} x {shape[1]} are not read")
    if not shape[0]:
        raise UserError(f"{path}: {IMAGES} holds no images")
    return shape
