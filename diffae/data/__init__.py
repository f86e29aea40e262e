"""Data sets: `open_dataset(path, image_size)` finds out the format and gives a `Dataset`.

A format is one module with a test (does this folder look like it?) and an opener, and one line in
`READERS`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from diffae.data.celeba import is_celeba, open_celeba
from diffae.data.dataset import Dataset
from diffae.data.folder import is_image_folder, open_image_folder
from diffae.data.idx import is_idx, open_idx
from diffae.data.transforms import Transform
from diffae.errors import UserError

__all__ = ["Dataset", "Transform", "open_dataset", "open_portraits"]

Detector = Callable[[Path], bool]
Opener = Callable[[Path, int, str | None, int], Dataset]

# The first that recognises the folder opens it.
READERS: tuple[tuple[Detector, Opener], ...] = (
    (is_celeba, open_celeba),
    (is_idx, open_idx),
    (is_image_folder, open_image_folder),
)

PORTRAIT_SIZE = 64


def open_dataset(
    path: str | Path, image_size: int, crop: str | None = None, seed: int = 0
) -> Dataset:
    """Open CelebA's layout, an IDX folder (Fashion-MNIST) or a folder of images.

    `image_size` is the side of the square images that come out; `crop` is "center", "d2c", "none",
    or None for the format's own; `seed` makes the split where the data has none. Raises `UserError`
    when the data is not as it should be.
    """
    try:
        return _open_first(Path(path), image_size, crop, seed)
    except PermissionError as error:
        raise UserError(f"{error.filename}: no permission to read this") from error


def _open_first(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    if not path.exists():
        raise UserError(f"{path}: no such folder")
    for recognises, open_format in READERS:
        if recognises(path):
            return open_format(path, image_size, crop, seed)
    raise UserError(f"{path}: a file, not a folder; give the folder that holds the images")


def open_portraits(count: int, image_size: int, seed: int = 0) -> Dataset:
    """`count` procedural portraits, drawn on first use, with 40 attributes and identities."""
    from diffae.data import portraits

    folder = portraits.ensure(count, max(PORTRAIT_SIZE, image_size), seed)
    return replace(open_dataset(folder, image_size, seed=seed), name="portraits")
