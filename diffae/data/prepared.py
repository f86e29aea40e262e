"""Read a prepared copy of a data set, as `python -m diffae.data prepare` writes it.

    pixels.npy              uint8 N x S x S x 3, as `np.load(..., mmap_mode="r")` maps it
    labels.npz              partition, and attributes and identities where there are any
    names.json              the name of each image in the data set that was copied
    diffae-prepared.json    what the copy is, and the SHA-256 of the other files: written last

At its own size a copy equals its data set: it has the same pixels to the bit, labels, split, names,
transform and fingerprint, hence the same protocol. If images were left out, it is another data set
with a fingerprint of its own. At a smaller size its images are resampled twice, and `describe` says so.

Images are read from the file, which is not mapped into memory: if the file is cut short or lost during
a run, a read is an error that can be reported, but with a mapped file the process would end (SIGBUS).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from diffae.data import npz
from diffae.data.dataset import Dataset
from diffae.data.fingerprint import Survey, sealed, unsealed
from diffae.data.readers.folder import counted, describe_others
from diffae.data.transforms import OPTIONS, Transform
from diffae.system.errors import UserError, naming
from diffae.system.files import LOCK, read_file, sha256
from diffae.system.free_memory import fits
from diffae.system.settings import Values, flag_of

VERSION = 1
HEADER, UNFINISHED = "diffae-prepared.json", "diffae-unfinished"
PIXELS, LABELS, NAMES = "pixels.npy", "labels.npz", "names.json"
PORTRAITS_NOTE = "portraits.json"  # of a set of portraits; a training recognises them by it
LARGEST_HEADER, LARGEST_PART = 1 << 26, 1 << 31  # bytes
AGAIN = "prepare it again in another folder"


@dataclass(frozen=True)
class Header:
    """The header of a copy, which has `images` of the `of` images of the data set, of `side` px.

    `transform` and `survey` are those of the data set, but if images were `skipped` (name: reason) the
    copy has a survey of its own. `enlarged` is the number of images that were smaller than `side`.
    `state` is that of the data set's files, by which changes are noticed. `sha256` has the digest of
    each file beside this one.
    """

    version: int
    name: str
    of: int
    images: int
    side: int
    transform: Transform
    partition_source: str
    attribute_names: list[str]
    left_out: list[str]
    skipped: dict[str, str]
    enlarged: int
    survey: Survey
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
        with naming(path):
            content["transform"] = Transform(**content["transform"])
        content["survey"] = Survey(**content["survey"])
        return Header(**content)


# ----------------------------------------------------------------------------------------------
# Pixels


@dataclass(frozen=True)
class PreparedImages:
    """An `ImageSource` of the images of a copy. The first one begins at byte `start` of the file."""

    root: Path
    header: Header
    names: tuple[str, ...]
    start: int

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> Image.Image:
        side = self.header.side
        size = side * side * 3
        # The range also accepts a negative index, which counts from the end.
        offset = self.start + range(len(self))[index] * size
        try:
            pixels = np.fromfile(self.root / PIXELS, np.uint8, size, offset=offset)
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
        """The survey of the data set that was copied, after the pixels' SHA-256 has been checked."""
        if sha256(self.root / PIXELS) != self.header.sha256[PIXELS]:
            raise UserError(f"{self.root / PIXELS}: damaged (checksum does not match); {AGAIN}")
        return self.header.survey


@dataclass(frozen=True)
class PreparedTransform(Transform):
    """The transform of a copy whose images have `prepared` px.

    It describes how they were made from the data set, and only resizes them.
    """

    prepared: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size > self.prepared:
            sizes = f"a copy of {self.prepared} px gives no images of {self.image_size} px"
            raise UserError(f"{sizes}; prepare one with --size {self.image_size}")

    def apply(self, image: Image.Image, where: str) -> np.ndarray:
        """The image of the copy, scaled down if `image_size` is smaller."""
        return Transform(self.image_size, "none").apply(image, where)

    def changed_by(self, options: Values) -> Self:
        """The same transform. Raises UserError for an option with which the copy was not made."""
        for name, value in options.items():
            if value != getattr(self, name):
                flag = flag_of(OPTIONS[name])
                raise UserError(f"{flag}: is not how this copy was made; {AGAIN}, with it")
        return self

    def native_side(self, width: int, height: int) -> int:
        return self.prepared

    def describe(self) -> dict[str, str | int | bool | None]:
        """The description of the data set's transform, and the size of the copy if that is different."""
        description = super().describe()
        if self.image_size == self.prepared:
            del description["prepared"]
        return description


# ----------------------------------------------------------------------------------------------
# Opening


def is_prepared(path: Path) -> bool:
    """Whether `path` is a copy, finished or not: an unfinished one is no folder without images.

    The header is looked for last. Another process that finishes the copy writes the header before it
    removes the mark of an unfinished copy, so one of the two files is always seen.
    """
    return any(os.path.lexists(path / name) for name in (UNFINISHED, HEADER))


def own_side(path: Path) -> int | None:
    """The side in pixels of the images of a finished copy; None for anything else."""
    return Header.read(path).side if os.path.lexists(path / HEADER) else None


def open_prepared(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open a copy. Everything but `root` is as in the data set; the split is stored, so `seed` is not used.

    Raises UserError if the copy is unfinished or damaged, if its images are smaller than `image_size`,
    or if they were cut by another crop than `crop`.
    """
    if not os.path.lexists(path / HEADER):
        raise UserError(f"{path}: a copy that is not finished; run its `prepare` again")
    header = Header.read(path)
    made = header.transform
    if crop not in (None, made.crop):
        problem = f"its images were cut with crop {made.crop}"
        raise UserError(f"{path}: {problem}; leave out --crop {crop}")
    with npz.opened_npy(path / PIXELS) as (_, pixels):
        start = pixels.tell()
    with np.load(io.BytesIO(part(path, LABELS, header)), allow_pickle=False) as columns:
        fits(sum(entry.file_size for entry in columns.zip.infolist()), path / LABELS)
        labels = dict(columns)
    names = tuple(json.loads(part(path, NAMES, header)))
    left_out = list(header.left_out)
    if header.skipped:
        examples = [*list(header.skipped)[:3], *(["..."] if len(header.skipped) > 3 else [])]
        damaged = counted(len(header.skipped), "damaged image")
        left_out.append(f"{damaged} that the copy is without: {', '.join(examples)}")
    own = [path / name for name in (HEADER, PIXELS, LABELS, NAMES, PORTRAITS_NOTE, LOCK)]
    left_out += describe_others(path, own)
    with naming(path):
        how_made = {**asdict(made), "image_size": image_size}
        transform = PreparedTransform(**how_made, prepared=header.side)
    source = PreparedImages(path, header, names, start)
    labels |= {"attribute_names": tuple(header.attribute_names)}
    labels |= {"partition_source": header.partition_source}
    return Dataset(header.name, path, source, transform, left_out=tuple(left_out), **labels)


def part(path: Path, name: str, header: Header) -> bytes:
    """Read a small file of the copy. Raises UserError unless it has the content that was written."""
    content = read_file(path / name, LARGEST_PART)
    if hashlib.sha256(content).hexdigest() != header.sha256[name]:
        raise UserError(f"{path / name}: damaged (checksum does not match); {AGAIN}")
    return content
