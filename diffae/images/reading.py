"""Read the user's pictures: files and folders become squares for a model, as in the evaluation.

The EXIF orientation is applied, transparency becomes white, grey and palettes become RGB
(`diffae.data.transforms`). A picture is cut to its central square; if the five landmarks of a face
are known, to the face as FFHQ is aligned (`diffae.images.faces`).
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffae.data.readers.folder import find_images
from diffae.data.transforms import Transform, decode
from diffae.images import faces
from diffae.images.faces import Points, aligned
from diffae.system.errors import UserError

CENTRE, ALIGNED = "center", "aligned"


@dataclass(frozen=True)
class Picture:
    """A picture's file, its pixels, uint8 S x S x 3, its original size, and how it was cut."""

    path: Path
    pixels: np.ndarray
    size: tuple[int, int]
    cut: str

    @property
    def name(self) -> str:
        """The beginning of the names of its results."""
        return self.path.stem[:80] or "picture"

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(self.pixels)

    @property
    def was_cut(self) -> bool:
        return self.cut == CENTRE and self.size[0] != self.size[1]


def find(paths: Sequence[str | Path]) -> tuple[list[Path], list[str]]:
    """The pictures that files and folders hold, in the order given; those of a folder by name.

    With a line for each kind of file that may be a picture but is not read. Raises UserError if a
    file does not exist, or if a folder holds none.
    """
    found: list[Path] = []
    left_out: list[str] = []
    for given in map(Path, paths):
        if given.is_dir():
            inside = find_images(given)
            found += [given / name for name in inside.names]
            left_out += [f"{given}: {line}" for line in inside.left_out]
        elif not os.path.lexists(given):
            raise UserError(f"{given}: no such file or folder")
        else:
            found.append(given)
    return found, left_out


def read_one(path: Path, transform: Transform, points: Points | None = None) -> Picture:
    """Read one picture for a model; it is aligned by `points`. Raises UserError naming the file."""
    image = decode(path)
    if points is not None:
        pixels = aligned(image, points, transform.image_size, str(path))
        return Picture(path, pixels, image.size, ALIGNED)
    return Picture(path, transform.apply(image, str(path)), image.size, transform.crop)


def batches(
    paths: Sequence[Path], transform: Transform, size: int, landmarks: Mapping[Path, Points]
) -> Iterator[list[Picture]]:
    """Read `size` pictures at a time. Those in `landmarks` are aligned."""
    for start in range(0, len(paths), size):
        some = paths[start : start + size]
        yield [read_one(path, transform, landmarks.get(path)) for path in some]


def find_faces(paths: Iterable[Path]) -> dict[Path, Points]:
    """Five points of the largest face of each picture, by dlib (`diffae.images.faces`).

    Raises UserError if dlib is not installed, or naming a picture in which no face is found.
    """
    finder = faces.FaceFinder(faces.model_file(faces.LANDMARKS_68, "--align"), "--align")
    found = {path: finder(np.asarray(decode(path))) for path in paths}
    if missing := [path for path, face in found.items() if face is None]:
        more = f" (and none in {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]}: --align found no face{more}; use --points, or leave it out")
    return {path: faces.five_points(face) for path, face in found.items() if face is not None}


def to_tensor(pixels: Sequence[np.ndarray]) -> Tensor:
    """Images, uint8 S x S x 3 each, as float32 N x 3 x S x S in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(pixels))
    return stacked.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def read(
    paths: Sequence[str | Path] | str | Path,
    image_size: int,
    crop: str = CENTRE,
    landmarks: Mapping[str, Points] | None = None,
    align: bool = False,
) -> Tensor:
    """Read files and folders of images for a model of `image_size` px: N x 3 x S x S in [-1, 1].

    `crop` is "center", "d2c" (of a 178 x 218 aligned CelebA image) or "none" (it is square);
    `landmarks` has five points of a face by file name (`faces.read_landmarks`); `align` finds the
    face of each with dlib. Raises UserError naming a file that cannot be read or has no face.
    """
    found, _ = find([paths] if isinstance(paths, str | Path) else paths)
    given = landmarks or {}
    known = {path: given[path.name] for path in found if path.name in given}
    if align:
        known = find_faces(found)
    [pictures] = batches(found, Transform(image_size, crop), len(found), known)
    return to_tensor([one.pixels for one in pictures])
