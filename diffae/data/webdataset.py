"""WebDataset shards: tar files in which files of one name and several suffixes are one sample.

    faces/train-000000.tar      0001.jpg  0001.cls  0002.jpg  0002.cls  ...

The tar files are indexed by their headers and images are read by place, in any order. A sample has one image (jpg, jpeg,
png, webp, bmp); `.cls`, or the number under "label" in `.json`, is its class. Other files are not read.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from diffae.data.dataset import Dataset
from diffae.data.folder import IMAGE_SUFFIXES, crop_without_labels
from diffae.data.shards import classes_as_attributes, find_shards, holds, sizes_of
from diffae.data.splits import partition_of, split_of
from diffae.data.survey import Survey, look_at
from diffae.data.transforms import LARGEST_IMAGE, Transform, decode_bytes
from diffae.errors import UserError
from diffae.files import file_size

LARGEST_LABEL = 1 << 20  # bytes of a .cls or .json
CLASSES, NOTE = ("cls", "cls.txt"), "json"
TAR_ERRORS = (tarfile.TarError, OSError, EOFError, ValueError)


class Entry(NamedTuple):
    """A file in a shard: its name, and where its bytes are."""

    shard: int
    name: str
    start: int
    size: int

    @property
    def key(self) -> str:
        """What the files of a sample share: the name up to the first dot that follows the folders."""
        folder, slash, name = self.name.rpartition("/")
        return folder + slash + name.partition(".")[0]

    @property
    def suffix(self) -> str:
        return self.name.rpartition("/")[2].partition(".")[2].lower()

    @property
    def is_image(self) -> bool:
        return self.name.lower().endswith(IMAGE_SUFFIXES)


class Sample(NamedTuple):
    """An image and its class, -1 without one."""

    image: Entry
    label: int


@dataclass(frozen=True)
class ShardImages:
    """An `ImageSource`: the images of tar files in their order. A file is opened for each read, so any process may."""

    root: Path
    shards: tuple[Path, ...]
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int) -> Image.Image:
        return decode_bytes(self.content(index), self.where(index))

    def where(self, index: int) -> str:
        entry = self.samples[index].image
        return f"{self.shards[entry.shard]}, entry {entry.name}"

    def content(self, index: int) -> bytes:
        entry = self.samples[index].image
        if entry.size > LARGEST_IMAGE:
            raise UserError(f"{self.where(index)}: {entry.size} bytes, too large for an image")
        return read_entry(self.shards[entry.shard], entry)

    def files(self) -> Iterator[tuple[str, Path]]:
        yield from ((name_in(path, self.root), path) for path in self.shards)

    def look(self) -> Survey:
        """Name, class and bytes of every image, however they are spread over shards."""
        return look_at(self.root.name, [], len(self), self._fetch)

    def _fetch(self, index: int) -> tuple[bytes, bytes]:
        sample = self.samples[index]
        name = f"{sample.image.name} {sample.label}"
        return name.encode(errors="surrogateescape"), self.content(index)


def name_in(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def read_entry(path: Path, entry: Entry) -> bytes:
    try:
        with path.open("rb") as file:
            content = os.pread(file.fileno(), entry.size, entry.start)
    except OSError as error:
        raise UserError(f"{path}: cannot read this file ({error.strerror})") from error
    if len(content) < entry.size:
        raise UserError(f"{path}, entry {entry.name}: the file ends within it; copy it again")
    return content


def is_webdataset(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".tar"
    return holds(path, ".tar")


def open_webdataset(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Classes are attributes where every sample has one; the split is the shards', else by image with `seed`."""
    shards = tuple(find_shards(path, ".tar"))
    parts = [list(read_samples(shard, number)) for number, shard in enumerate(shards)]
    without = sum(sample is None for part in parts for sample in part)
    kept = [[sample for sample in part if sample] for part in parts]
    samples = tuple(sample for part in kept for sample in part)
    if not samples:
        raise UserError(
            f"{path}: no images in these tar files (looked for jpg, jpeg, png, webp, bmp)"
        )
    refuse_twins(shards, samples)
    source = ShardImages(path, shards, samples)
    partition, partition_source = partition_of(
        list(map(split_of, shards)), list(map(len, kept)), seed
    )
    labels = np.array([sample.label for sample in samples], np.int64)
    names, attributes = classes_as_attributes(labels) or ((), None)
    return Dataset(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        root=path,
        source=source,
        transform=Transform(image_size, crop or crop_without_labels(path, sizes_of(source))),
        partition=partition,
        partition_source=partition_source,
        attribute_names=names,
        attributes=attributes,
        left_out=tuple(left_out(without, labels)),
    )


def left_out(without: int, labels: np.ndarray) -> Iterator[str]:
    if without:
        yield f"{without:,} samples without an image"
    missing = int((labels < 0).sum())
    if 0 < missing < len(labels):
        yield f"the classes: {missing:,} of {len(labels):,} images have none"


def refuse_twins(shards: tuple[Path, ...], samples: tuple[Sample, ...]) -> None:
    """Names may come again in another shard, but not in the same: which would be meant?"""
    [(twin, count)] = Counter((s.image.shard, s.image.name) for s in samples).most_common(1)
    if count > 1:
        raise UserError(
            f"{shards[twin[0]]}, entry {twin[1]}: {count} times in this file; pack it again"
        )


def read_samples(path: Path, shard: int) -> Iterator[Sample | None]:
    """The samples of a tar file, in its order; None for one without an image."""
    for key, group in groupby(read_index(path, shard), key=lambda entry: entry.key):
        entries = list(group)
        images = [entry for entry in entries if entry.is_image]
        if len(images) > 1:
            raise UserError(
                f"{path}, sample {key}: {len(images)} images ({', '.join(e.suffix for e in images)}), "
                "and one is read; pack shards with one of them"
            )
        yield Sample(images[0], read_label(path, entries)) if images else None


def read_index(path: Path, shard: int) -> Iterator[Entry]:
    """The files of a tar file that are not hidden; UserError if it is damaged or compressed."""
    size = file_size(path)
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isreg() and not member.sparse and not hidden(member.name):
                    if member.offset_data + member.size > size:
                        raise UserError(
                            f"{path}, entry {member.name}: the file ends within it; copy it again"
                        )
                    yield Entry(shard, member.name, member.offset_data, member.size)
                archive.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
    except TAR_ERRORS as error:
        raise UserError(
            f"{path}: cannot read this tar file ({error}); a compressed one must be unpacked to .tar"
        ) from error


def hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def read_label(path: Path, entries: list[Entry]) -> int:
    """The class of a sample, -1 without one."""
    for entry in entries:
        if entry.suffix in CLASSES or entry.suffix == NOTE:
            if entry.size > LARGEST_LABEL:
                raise UserError(
                    f"{path}, entry {entry.name}: {entry.size} bytes, too large for a label"
                )
            content = read_entry(path, entry)
            label = number_of(content) if entry.suffix in CLASSES else label_in(content)
            if label is None and entry.suffix in CLASSES:
                raise UserError(f"{path}, entry {entry.name}: not the number of a class")
            if label is not None:
                return label
    return -1


def number_of(text: bytes) -> int | None:
    stripped = text.strip()
    return int(stripped) if stripped.isdigit() and len(stripped) < 10 else None


def label_in(text: bytes) -> int | None:
    """The whole number that JSON is, or has under "label"; None if it is anything else, which is no fault."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    label = found.get("label") if isinstance(found, dict) else found
    return label if type(label) is int and 0 <= label < 10**9 else None
