"""WebDataset shards: tar files in which files of one name and several suffixes form one sample.

    faces/train-000000.tar      0001.jpg  0001.cls  0002.jpg  0002.cls  ...

The headers of the tar files give the offset of each image, so images are read in any order. A sample
has one image (jpg, jpeg, png, webp, bmp), and a `.cls` file has the number of its class. Other files,
and links, are not read.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffae.data.dataset import Dataset, LabelFields
from diffae.data.readers import folder, shards
from diffae.data.readers.label_files import LONGEST_NUMBER
from diffae.data.readers.sources import EncodedImages, dataset_of, partition_of, split_of
from diffae.system.errors import UserError, refuse_duplicates
from diffae.system.files import file_size
from diffae.system.free_memory import fits

BLOCK = tarfile.BLOCKSIZE
LARGEST_NOTE = 1 << 20  # bytes of a name, or of a label


class ShardEntry(NamedTuple):
    """A file in a shard: its name, and the position of its bytes."""

    shard: Path
    name: str
    start: int
    size: int

    @property
    def key(self) -> str:
        """The part of the name that the files of a sample share, up to the first dot of the base name."""
        above, slash, name = self.name.rpartition("/")
        return above + slash + name.partition(".")[0]

    @property
    def is_label(self) -> bool:
        suffix = self.name.removeprefix(self.key).lower()
        return suffix == ".cls" and not folder.is_hidden(self.name)


class Sample(NamedTuple):
    """An image and its class, or -1."""

    image: ShardEntry
    label: int


@dataclass(frozen=True)
class ShardImages(EncodedImages):
    """The images of tar files in their order. A file is opened for each read, so any process may read."""

    root: Path
    shards: tuple[Path, ...]
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def where(self, index: int) -> str:
        entry = self.samples[index].image
        return f"{entry.shard}, entry {entry.name}"

    def name(self, index: int) -> bytes:
        sample = self.samples[index]
        return f"{sample.image.name} {sample.label}".encode(errors="surrogateescape")

    def content(self, index: int) -> bytes:
        entry = self.samples[index].image
        fits(entry.size, self.where(index))
        return read_entry(entry)

    def files(self) -> Iterator[tuple[str, Path]]:
        yield from ((shards.name_in(path, self.root), path) for path in self.shards)


def read_entry(entry: ShardEntry) -> bytes:
    try:
        with entry.shard.open("rb") as file:
            content = os.pread(file.fileno(), entry.size, entry.start)
    except OSError as error:
        raise UserError(f"{entry.shard}: cannot read this file ({error.strerror})") from error
    if len(content) < entry.size:
        raise UserError(f"{entry.shard}, entry {entry.name}: cut short; copy the file again")
    return content


def is_webdataset(path: Path) -> bool:
    return bool(shards.find_shards(path, ".tar"))


def open_webdataset(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open shards. The classes become attributes if every sample has one.

    The split is that of the shards' names, else seeded by image.
    """
    files = tuple(shards.find_shards(path, ".tar"))
    indexed = [read_shard(file) for file in files]
    samples = tuple(sample for shard_samples, _ in indexed for sample in shard_samples)
    if not samples:
        raise UserError(f"{path}: no images in these tar files (jpg, jpeg, png, webp, bmp)")
    labels = np.array([sample.label for sample in samples], np.int64)
    classes = shards.classes_as_attributes(labels)
    left_out = [*folder.left_out_of(name for _, others in indexed for name in others)]
    left_out += folder.describe_others(path, files, most=len(samples))
    if isinstance(classes, str):
        if labels.max() >= 0:
            left_out.append(f"the classes: {classes}")
        classes = LabelFields()
    counts = [len(shard_samples) for shard_samples, _ in indexed]
    split = partition_of(list(map(split_of, files)), counts, seed)
    source = ShardImages(path, files, samples)
    return dataset_of(path, source, image_size, crop, split, left_out, **classes)


def read_shard(path: Path) -> tuple[list[Sample], list[str]]:
    """The samples of a tar file, in its order, and the names of files that are not read."""
    files, others = [], []
    for member in read_members(path):
        entry = ShardEntry(path, member.name, member.offset_data, member.size)
        if member.isreg() and (folder.is_image(entry.name) or entry.is_label):
            files.append(entry)
        elif not member.isdir():
            others.append(entry.name)
    refuse_duplicates([file.name for file in files], path, "entry")
    samples = []
    for key, group in groupby(files, key=lambda file: file.key):
        together = list(group)
        images = [file for file in together if folder.is_image(file.name)]
        if len(images) > 1:
            problem = f"{len(images)} images, and one is read; keep one of them"
            raise UserError(f"{path}, sample {key}: {problem}")
        if images:
            samples.append(Sample(images[0], read_label(together)))
        else:
            others += [file.name for file in together]
    return samples, others


def read_label(entries: list[ShardEntry]) -> int:
    """The class of a sample, or -1."""
    for entry in entries:
        if entry.is_label:
            text = read_entry(entry).strip() if entry.size <= LARGEST_NOTE else b""
            if not text.isdigit() or len(text) > LONGEST_NUMBER:
                raise UserError(f"{entry.shard}, entry {entry.name}: not the number of a class")
            return int(text)
    return -1


# ----------------------------------------------------------------------------------------------
# Tar files


class _Headers(io.FileIO):
    """A tar file of which only headers are read; their size is limited."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LARGEST_NOTE:
            raise tarfile.ReadError("its headers have no end")
        return super().read(size)


def only_zeros(file: io.FileIO) -> bool:
    """Whether the rest of an open file is zero bytes."""
    while piece := file.read(LARGEST_NOTE):
        if piece.strip(b"\0"):
            return False
    return True


def read_members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar file by their headers.

    Raises UserError unless everything that the headers describe lies in the file, and an end mark
    follows, with nothing but zeros after it. Python's reader would take a file that was cut between two
    entries for a complete one, and would read only the first of several tar files in one.
    """
    end = file_size(path)
    try:
        with (
            _Headers(path) as file,
            tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape") as archive,
        ):
            for member in archive:
                where = f"{path}, entry {member.name}"
                if member.issparse():
                    raise UserError(f"{where}: packed as sparse; pack it without --sparse")
                if member.size < 0:
                    raise tarfile.ReadError(f"entry {member.name} has {member.size} bytes")
                if archive.offset > end:
                    raise UserError(f"{where}: the file ends within it; copy it again")
                yield member
            file.seek(archive.offset)
            mark = file.read(BLOCK)
            if any(mark):
                raise tarfile.ReadError("a damaged header")
            whole = only_zeros(file)
    except (tarfile.TarError, OSError, ValueError, IndexError, RecursionError) as error:
        raise UserError(f"{path}: cannot read this tar file ({error}); unpack it") from None
    if len(mark) < BLOCK:
        raise UserError(f"{path}: has no mark of its end, so it was cut short; copy it again")
    if not whole:
        raise UserError(f"{path}: goes on after the mark of its end; mend it: tar --ignore-zeros")
