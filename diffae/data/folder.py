"""A folder of image files, without labels: FFHQ as PNG, LSUN exported, or one's own pictures."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from diffae.data.dataset import Dataset, seeded_partition, seeded_source
from diffae.data.survey import Survey, look_at
from diffae.data.transforms import LARGEST_IMAGE, Transform, decode
from diffae.errors import UserError
from diffae.files import MOST, read_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class ImageFiles:
    """An `ImageSource`: files under `root`, by relative name, with the files that label them."""

    root: Path
    names: tuple[str, ...]
    label_files: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> Image.Image:
        return decode(self.root / self.names[index])

    def where(self, index: int) -> str:
        return str(self.root / self.names[index])

    def files(self) -> Iterator[tuple[str, Path]]:
        yield from ((name, self.root / name) for name in self.names)
        yield from ((path.name, path) for path in self.label_files)

    def look(self) -> Survey:
        """The label files, and name and bytes of every image."""
        return look_at(self.root.name, read_labels(self.label_files), len(self), self._fetch)

    def _fetch(self, index: int) -> tuple[bytes, bytes]:
        name = self.names[index]
        return os.fsencode(name), read_file(self.root / name, LARGEST_IMAGE)


def read_labels(files: Iterable[Path]) -> Iterator[bytes]:
    """Name and content of each label file, for a fingerprint."""
    for path in files:
        yield path.name.encode()
        yield read_file(path, MOST)


def is_image_folder(path: Path) -> bool:
    return path.is_dir()


def open_image_folder(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Every image below `path`, sorted by relative path; split by image with `seed`."""
    names = image_names(path)
    if not names:
        suffixes = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
        raise UserError(f"{path}: no images in this folder (looked for {suffixes})")
    return Dataset(
        name=path.resolve().name,
        root=path,
        source=ImageFiles(path, names),
        transform=Transform(image_size, crop or "center"),
        partition=seeded_partition(np.arange(len(names)), seed),
        partition_source=seeded_source("image", seed),
    )


def image_names(root: Path) -> tuple[str, ...]:
    """Relative paths of the images below `root`, sorted; hidden files are left out."""
    return tuple(
        sorted(
            (folder / file).relative_to(root).as_posix()
            for folder, files in walk(root)
            for file in files
            if file.lower().endswith(IMAGE_SUFFIXES) and not file.startswith(".")
        )
    )


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below `root` once, with its files; links are followed, loops of links end."""
    seen = set()
    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(folder), files


def refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename}: cannot list this folder ({error.strerror})") from error
