"""Shared by readers of image files: reading, surveying, and data sets without known labels."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffae.data import transforms
from diffae.data.dataset import Dataset
from diffae.data.fingerprint import Survey, look_at
from diffae.data.readers.label_files import CELEBA_ATTRIBUTES, find_label_file
from diffae.system.errors import UserError
from diffae.system.files import MOST, read_file


class EncodedImages(ABC):
    """An `ImageSource` of image files, wherever their bytes are."""

    root: Path
    label_files: tuple[Path, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def where(self, index: int) -> str: ...

    @abstractmethod
    def files(self) -> Iterable[tuple[str, Path]]: ...

    @abstractmethod
    def content(self, index: int) -> bytes:
        """The bytes of the image file."""

    def name(self, index: int) -> bytes:
        """The part of the fingerprint for image `index` besides its bytes."""
        return b""

    def heading(self) -> Iterator[bytes]:
        """The beginning of the fingerprint: name and content of each label file."""
        for path in self.label_files:
            yield path.name.encode()
            yield read_file(path, MOST)

    def refuse_size(self, index: int, size: int) -> None:
        """Raise UserError if an image file of `size` bytes is too large to read."""
        if size > transforms.LARGEST_IMAGE:
            raise UserError(f"{self.where(index)}: {size} bytes, too large for an image")

    def read(self, index: int) -> Image.Image:
        return transforms.decode_bytes(self.content(index), self.where(index))

    def look(self) -> Survey:
        """Survey names and bytes of all images, and the label files, however they are stored."""
        fetch = lambda index: (self.name(index), self.content(index))  # noqa: E731
        return look_at(self.root.name, self.heading(), len(self), fetch)


def unlabelled(
    path: Path,
    source: EncodedImages,
    image_size: int,
    crop: str | None,
    split: tuple[np.ndarray, str],
    **more: Any,
) -> Dataset:
    """The data set of `source`, named after `path`.

    It has the partition and its source, and `more` fields of `Dataset`.
    """
    partition, partition_source = split
    return Dataset(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        root=path,
        source=source,
        transform=transforms.Transform(image_size, crop or crop_without_labels(path, source)),
        partition=partition,
        partition_source=partition_source,
        **more,
    )


def crop_without_labels(path: Path, source: EncodedImages) -> str:
    """The crop of unlabelled images. Raises UserError if some of a sample have CelebA's size.

    With CelebA's attribute file the same images would be cut otherwise ("d2c"), and every number
    would differ.
    """
    some = np.linspace(0, len(source) - 1, 8).round().astype(int).tolist()
    if transforms.ALIGNED_CELEBA not in (_size_of(source, index) for index in sorted(set(some))):
        return "center"
    above = path.absolute().parent
    labels = find_label_file(above, CELEBA_ATTRIBUTES)
    there = f"give {above}, which has {labels.name}" if labels else f"put {CELEBA_ATTRIBUTES} there"
    raise UserError(
        f"{path}: images of 178 x 218, as CelebA's aligned ones, without their attributes; {there} (see "
        "`diffae-bench docs data`), or say how to cut them: --crop d2c (the face, as DiffAE's authors do) or --crop center"
    )


def _size_of(source: EncodedImages, index: int) -> tuple[int, int] | None:
    """Width and height by an image's header; None for a damaged one, which `read` will report."""
    try:
        with Image.open(io.BytesIO(source.content(index)), formats=transforms.FORMATS) as image:
            return image.size
    except (UserError, *transforms.DECODING_ERRORS):
        return None
