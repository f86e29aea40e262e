"""Read the user's pictures: files and folders become squares for a model, as in the evaluation.

The EXIF orientation is applied, transparency becomes white, grey and palettes become RGB
(`diffae.data.transforms`). A picture is cut to its central square, or to its face, as FFHQ is
aligned (`diffae.images.faces`).
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from diffae.data.dataset import in_floats
from diffae.data.readers.folder import find_images
from diffae.data.transforms import Transform, decode
from diffae.images import faces
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


def reader(
    image_size: int, crop: str = "center", align: bool = False
) -> Callable[[Sequence[Path]], Tensor]:
    """A function that reads pictures for a model of `image_size` px, N x 3 x S x S in [-1, 1].

    With `align` it cuts out the largest face of each. It raises UserError naming a file that cannot
    be read or has no face. Raises UserError if dlib is needed and not installed.
    """
    transform, finder = Transform(image_size, crop), None
    if align:
        landmarks = faces.model_file(faces.LANDMARKS_68, "--align")
        finder = faces.FaceFinder(landmarks, "--align")

    def pixels(path: Path) -> np.ndarray:
        image = decode(path)
        if finder is None:
            return transform.apply(image, str(path))
        face = finder(np.asarray(image))
        if face is None:
            raise UserError(f"{path}: --align found no face; remove it, or leave --align out")
        return faces.aligned(image, faces.five_points(face), image_size)

    return lambda paths: in_floats(np.stack([pixels(path) for path in paths]))


def read(
    paths: Sequence[str | Path] | str | Path,
    image_size: int,
    crop: str = "center",
    align: bool = False,
) -> Tensor:
    """Read files and folders of images for a model of `image_size` px: N x 3 x S x S in [-1, 1].

    `crop` is one of `diffae.data.transforms.CROPS`: "center", "d2c" (of a 178 x 218 aligned CelebA
    image) or "none" (it is square), among others; `align` finds the face of each with dlib. Raises
    UserError naming a file that cannot be read or has no face.
    """
    pictures, _ = find([paths] if isinstance(paths, str | Path) else paths)
    return reader(image_size, crop, align)(pictures)
