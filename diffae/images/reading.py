"""Read the user's pictures: files and folders become squares for a model, as in the evaluation.

The EXIF orientation is applied, transparency becomes white, grey and palettes become RGB
(`diffae.data.transforms`). A picture is cut to its central square, or as --crop says.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from diffae.data.dataset import in_floats
from diffae.data.readers.folder import find_images
from diffae.data.transforms import Transform, decode
from diffae.system.errors import UserError


def find(paths: Sequence[str | Path]) -> tuple[list[Path], list[str]]:
    """The pictures in files and folders, in the order given; those of a folder are sorted by name.

    Also returns a line for each kind of file that may be a picture but is not read. Raises
    UserError if a file does not exist, or if a folder holds none.
    """
    pictures: list[Path] = []
    left_out: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = find_images(path)
            pictures += [path / name for name in inside.names]
            left_out += [f"{path}: {line}" for line in inside.left_out]
        elif not os.path.lexists(path):
            raise UserError(f"{path}: no such file or folder")
        else:
            pictures.append(path)
    return pictures, left_out


def read(paths: Sequence[str | Path] | str | Path, image_size: int, crop: str = "center") -> Tensor:
    """Read files and folders of images for a model of `image_size` px: N x 3 x S x S in [-1, 1].

    `crop` is one of `diffae.data.transforms.CROPS`: "center", "d2c" (of a 178 x 218 aligned CelebA
    image) or "none" (it is square), among others. Raises UserError naming a file that cannot be read.
    """
    pictures, _ = find([paths] if isinstance(paths, str | Path) else paths)
    transform = Transform(image_size, crop)
    return in_floats(np.stack([transform.apply(decode(path), str(path)) for path in pictures]))
