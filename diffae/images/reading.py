"""Read the user's pictures: files and folders become squares for a model, as in the evaluation.

The EXIF orientation is applied, transparency becomes white, grey and palettes become RGB
(`diffae.data.transforms`). A picture is cut to its central square, or to its face, as FFHQ is
aligned (`diffae.images.faces`).
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

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


def face_finder(align: bool) -> faces.FaceFinder | None:
    """A finder of faces and their 68 landmarks. Raises UserError if dlib is not installed."""
    if not align:
        return None
    return faces.FaceFinder(faces.model_file(faces.LANDMARKS_68, "--align"), "--align")


def read_picture(
    path: Path, transform: Transform, finder: faces.FaceFinder | None = None
) -> np.ndarray:
    """Read one picture for a model, uint8 S x S x 3; with a `finder` the largest face is cut out.

    Raises UserError naming a file that cannot be read, or has no face.
    """
    image = decode(path)
    if finder is None:
        return transform.apply(image, str(path))
    face = finder(np.asarray(image))
    if face is None:
        raise UserError(f"{path}: --align found no face; remove it, or leave --align out")
    return faces.aligned(image, faces.five_points(face), transform.image_size)


def to_tensor(pixels: Sequence[np.ndarray]) -> Tensor:
    """Images, uint8 S x S x 3 each, as float32 N x 3 x S x S in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(pixels))
    return stacked.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


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
    transform, finder = Transform(image_size, crop), face_finder(align)
    return to_tensor([read_picture(path, transform, finder) for path in pictures])
