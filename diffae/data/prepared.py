"""Read a prepared copy of a data set, as `python -m diffae.data prepare` writes it.

    pixels.npy              uint8 N x S x S x 3, as `np.load(..., mmap_mode="r")` maps it
    labels.npz              partition, and attributes and identities where there are any
    names.json              the name of each image in the data set that was copied
    diffae-prepared.json    what the copy is, and the SHA-256 of the other files: written last

At its own size a copy equals its data set: the same pixels to the bit, labels, split, names,
transform and fingerprint, so the same protocol. Where images were left out it is another data set,
with a fingerprint of its own; and at a smaller size its images are resampled twice, which
`describe` says.

An image is read, not mapped: if the file was cut short or lost during the run, the read is an error
that can be reported, and a mapped file would end the process (SIGBUS).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffae.data import npz
from diffae.data.dataset import Dataset
from diffae.data.fingerprint import Survey, sealed, unsealed
from diffae.data.readers.folder import beside, counted
from diffae.data.transforms import Transform
from diffae.system.errors import UserError, naming
from diffae.system.files import LOCK, read_file, sha256
from diffae.system.free_memory import fits

VERSION = 1
HEADER, UNFINISHED = "diffae-prepared.json", "diffae-unfinished"
PIXELS, LABELS, NAMES = "pixels.npy", "labels.npz", "names.json"
PORTRAITS_NOTE = "portraits.json"  # by which a training recognises portraits
LARGEST_HEADER, LARGEST_PART = 1 << 26, 1 << 31  # bytes
AGAIN = "prepare it again in another folder"


@dataclass(frozen=True)
class Header:
    """The header of a copy: `images` of `of` images, `side` px, by the `transform` of their data set.

    `survey` is that of the data set, or the copy's own where images were `skipped` (name: reason);
    `enlarged` counts those that were smaller than `side`. `state` is that of the source's files, to
    notice changes; `sha256` is that of each file beside this one.
    """

    version: int
    name: str
    of: int
    images: int
    side: int
    transform: dict[str, Any]
    partition_source: str
    attribute_names: list[str]
    left_out: list[str]
    skipped: dict[str, str]
    enlarged: int
    survey: dict[str, Any]
    state: str
    sha256: dict[str, str]

    def to_bytes(self) -> bytes:
        return sealed(asdict(self))

    @staticmethod
    def read(folder: Path) -> Header:
        """Read a header. Raises UserError if the file is damaged, or of a different version."""
        path = folder / HEADER
        try:
            content = unsealed(read_file(path, LARGEST_HEADER))
        except ValueError:
            raise UserError(f"{path}: damaged, or not ours; {AGAIN}") from None
        if content.get("version") != VERSION or content.keys() != Header.__annotations__.keys():
            raise UserError(f"{path}: written by a different version; {AGAIN}")
        return Header(**content)


# ----------------------------------------------------------------------------------------------
# Pixels


@dataclass(frozen=True)
class PreparedImages:
    """An `ImageSource`: the squares of a copy, which begin at `start` of the file."""

    root: Path
    header: Header
    names: tuple[str, ...]
    start: int

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> Image.Image:
        side = self.header.side
        size = side * side * 3
        place = range(len(self))[index]  # of a negative index too, counted from the end
        try:
            pixels = np.fromfile(
                self.root / PIXELS, np.uint8, size, offset=self.start + place * size
            )
        except OSError as error:
            raise UserError(f"{self.where(index)}: cannot be read ({error.strerror})") from error
        if len(pixels) < size:
            raise UserError(f"{self.root / PIXELS}: ends before image {index}; {AGAIN}")
        return Image.fromarray(pixels.reshape(side, side, 3))

    def where(self, index: int) -> str:
        return f"{self.root}, {self.names[index]}"

    def files(self) -> Iterator[tuple[str, Path]]:
        for name in (HEADER, *self.header.sha256):
            yield name, self.root / name

    def look(self) -> Survey:
        """The survey of the data set that was copied, after checking the pixels' SHA-256."""
        if sha256(self.root / PIXELS) != self.header.sha256[PIXELS]:
            raise UserError(f"{self.root / PIXELS}: damaged (checksum does not match); {AGAIN}")
        return Survey(**self.header.survey)


@dataclass(frozen=True)
class PreparedTransform(Transform):
    """The transform of a copy whose side is `prepared`.

    It says what was done to its images, and does what is left to do.
    """

    prepared: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size > self.prepared:
            sizes = f"a copy of {self.prepared} px gives no images of {self.image_size} px"
            raise UserError(f"{sizes}; prepare one with --size {self.image_size}")

    def apply(self, image: Image.Image, where: str) -> np.ndarray:
        """The stored square itself, or scaled down."""
        return Transform(self.image_size, "none").apply(image, where)

    def native_side(self, width: int, height: int) -> int:
        return self.prepared

    def describe(self) -> dict[str, str | int | bool | None]:
        """The description of the data set's transform, with the copy's size if it is another."""
        told = super().describe()
        if self.image_size == self.prepared:
            del told["prepared"]
        return told


# ----------------------------------------------------------------------------------------------
# Opening


def is_prepared(path: Path) -> bool:
    """Whether `path` is a copy, finished or not.

    An unfinished one must not pass for a folder without images. The header is looked for last:
    another process that finishes the copy writes it before it removes the other file.
    """
    return any(os.path.lexists(path / name) for name in (UNFINISHED, HEADER))


def own_side(path: Path) -> int | None:
    """Pixels a side of a finished copy; None for anything else."""
    return Header.read(path).side if os.path.lexists(path / HEADER) else None


def open_prepared(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open a copy: everything but `root` is as in the data set.

    `seed` is not used, the split is stored.

    Raises UserError for a copy that is not finished, damaged, smaller than `image_size`, or cut
    otherwise than `crop`.
    """
    if not os.path.lexists(path / HEADER):
        raise UserError(f"{path}: a copy that is not finished; run its `prepare` again")
    header = Header.read(path)
    if crop not in (None, header.transform["crop"]):
        own = header.transform["crop"]
        raise UserError(f"{path}: its images were cut with crop {own}; leave out --crop {crop}")
    with npz.opened_npy(path / PIXELS) as (_, pixels):
        start = pixels.tell()
    with np.load(io.BytesIO(part(path, LABELS, header)), allow_pickle=False) as columns:
        fits(sum(entry.file_size for entry in columns.zip.infolist()), path / LABELS)
        labels = dict(columns)
    names = tuple(json.loads(part(path, NAMES, header)))
    skipped: tuple[str, ...] = ()
    if header.skipped:
        some = ", ".join(list(header.skipped)[:3]) + (", ..." if len(header.skipped) > 3 else "")
        damaged = counted(len(header.skipped), "damaged image")
        skipped = (f"{damaged} that the copy is without: {some}",)
    own = [path / name for name in (HEADER, PIXELS, LABELS, NAMES, PORTRAITS_NOTE, LOCK)]
    settings = header.transform | {"image_size": image_size, "prepared": header.side}
    with naming(path):
        transform = PreparedTransform(**settings)
    source = PreparedImages(path, header, names, start)
    labels |= {"attribute_names": tuple(header.attribute_names)}
    labels |= {"partition_source": header.partition_source}
    told = (*header.left_out, *skipped, *beside(path, own))
    return Dataset(header.name, path, source, transform, left_out=told, **labels)


def part(path: Path, name: str, header: Header) -> bytes:
    """Read a small file of the copy. Raises UserError unless it is the one that was written."""
    content = read_file(path / name, LARGEST_PART)
    if hashlib.sha256(content).hexdigest() != header.sha256[name]:
        raise UserError(f"{path / name}: damaged (checksum does not match); {AGAIN}")
    return content
