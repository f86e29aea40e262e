"""WebDataset shards: tar files in which files of one name and several suffixes form one sample.

    faces/train-000000.tar      0001.jpg  0001.cls  0002.jpg  0002.cls  ...

The tar files are indexed by their headers and images are read by offset, in any order. A sample has
one image (jpg, jpeg, png, webp, bmp); `.cls`, or the number under "label" in `.json`, is its class.
Other files, and links, are not read.
"""

import io
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

from diffae.data.dataset import Dataset
from diffae.data.readers import folder, shards
from diffae.data.readers.sources import EncodedImages, partition_of, split_of, unlabelled
from diffae.system.errors import UserError
from diffae.system.files import file_size

LARGEST_LABEL = 1 << 20  # bytes of a .cls or .json
CLASSES, NOTE = ("cls", "cls.txt"), "json"  # suffixes of labels
BLOCK = tarfile.BLOCKSIZE
PIECE = 1 << 20  # bytes that are read at once
LARGEST_NOTE = 1 << 20  # bytes of a name


class Entry(NamedTuple):
    """A file in a shard: its name, and the position of its bytes."""

    shard: Path
    name: str
    start: int
    size: int

    @property
    def key(self) -> str:
        """The common part of a sample's file names: up to the first dot after the folders."""
        above, slash, name = self.name.rpartition("/")
        return above + slash + name.partition(".")[0]

    @property
    def suffix(self) -> str:
        return self.name.rpartition("/")[2].partition(".")[2].lower()

    @property
    def is_image(self) -> bool:
        return self.name.lower().endswith(folder.IMAGE_SUFFIXES)

    @property
    def is_label(self) -> bool:
        return self.suffix in (*CLASSES, NOTE)


class Index(NamedTuple):
    """The images and labels of a tar file, the names of other files, and the number of links."""

    entries: list[Entry]
    others: list[str]
    links: int


class Sample(NamedTuple):
    """An image and its class, -1 without one."""

    image: Entry
    label: int


@dataclass(frozen=True)
class ShardImages(EncodedImages):
    """The images of tar files in their order.

    A file is opened for each read, so any process may read.
    """

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
        self.refuse_size(index, entry.size)
        return read_entry(entry)

    def files(self) -> Iterator[tuple[str, Path]]:
        yield from ((shards.name_in(path, self.root), path) for path in self.shards)


def read_entry(entry: Entry) -> bytes:
    try:
        with entry.shard.open("rb") as file:
            content = os.pread(file.fileno(), entry.size, entry.start)
    except OSError as error:
        raise UserError(f"{entry.shard}: cannot read this file ({error.strerror})") from error
    if len(content) < entry.size:
        raise UserError(f"{entry.shard}, entry {entry.name}: cut short; copy the file again")
    return content


def is_webdataset(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".tar"
    return shards.holds(
        path, ".tar", lambda shard: sum(e.is_image for e in read_index(shard).entries)
    )


def open_webdataset(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open shards. Classes become attributes if every sample has one.

    The split is that of the shards, else seeded by image.
    """
    files = tuple(shards.find_shards(path, ".tar"))
    indexed = [read_index(shard) for shard in files]
    parts = [list(read_samples(index.entries)) for index in indexed]
    without = sum(sample is None for part in parts for sample in part)
    kept = [[sample for sample in part if sample] for part in parts]
    samples = tuple(sample for part in kept for sample in part)
    if not samples:
        raise UserError(f"{path}: no images in these tar files (jpg, jpeg, png, webp, bmp)")
    # In different shards a name may occur twice.
    [(twin, count)] = Counter((s.image.shard, s.image.name) for s in samples).most_common(1)
    if count > 1:
        raise UserError(f"{twin[0]}, entry {twin[1]}: {count} times in this file; pack it again")
    labels = np.array([sample.label for sample in samples], np.int64)
    classes = shards.classes_as_attributes(labels)
    told = [*left_out(without, indexed), *folder.beside(path, files)]
    if isinstance(classes, str) and labels.max() >= 0:
        told.append(f"the classes: {classes}")
    more = {} if isinstance(classes, str) else classes
    split = partition_of(list(map(split_of, files)), list(map(len, kept)), seed)
    source = ShardImages(path, files, samples)
    return unlabelled(path, source, image_size, crop, split, left_out=tuple(told), **more)


def left_out(without: int, indexed: list[Index]) -> Iterator[str]:
    if without:
        yield f"{folder.counted(without, 'sample')} without an image"
    if links := sum(index.links for index in indexed):
        yield f"{links:,} entries that are links or devices"
    yield from folder.left_out_of(name for index in indexed for name in index.others)


def read_samples(entries: list[Entry]) -> Iterator[Sample | None]:
    """The samples of a tar file, in its order; None for one without an image."""
    for key, group in groupby(entries, key=lambda entry: entry.key):
        of_one = list(group)
        images = [entry for entry in of_one if entry.is_image]
        if len(images) > 1:
            where = f"{images[0].shard}, sample {key}"
            raise UserError(f"{where}: {len(images)} images, and one is read; keep one of them")
        yield Sample(images[0], read_label(of_one)) if images else None


def read_index(shard: Path) -> Index:
    """What a tar file has, by its headers."""
    entries, others, links = [], [], 0
    for member in read_members(shard):
        entry = Entry(shard, member.name, member.offset_data, member.size)
        if member.isdir():
            continue
        if not member.isreg():
            links += 1
        elif folder.is_hidden(entry.name) or not (entry.is_image or entry.is_label):
            others.append(entry.name)
        else:
            entries.append(entry)
    return Index(entries, others, links)


def read_label(entries: list[Entry]) -> int:
    """The class of a sample, -1 without one."""
    for entry in entries:
        if not entry.is_label:
            continue
        where = f"{entry.shard}, entry {entry.name}"
        if entry.size > LARGEST_LABEL:
            raise UserError(f"{where}: {entry.size} bytes, too large for a label")
        content = read_entry(entry)
        label = label_in(content) if entry.suffix == NOTE else number_of(content)
        if label is not None:
            return label
        if entry.suffix != NOTE:
            raise UserError(f"{where}: not the number of a class")
    return -1


def number_of(text: bytes) -> int | None:
    stripped = text.strip()
    return int(stripped) if stripped.isdigit() and len(stripped) < 10 else None


def label_in(text: bytes) -> int | None:
    """The integer that JSON is, or has under "label"; None for anything else, which is no error."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    label = found.get("label") if isinstance(found, dict) else found
    return label if type(label) is int and 0 <= label < 10**9 else None


# ----------------------------------------------------------------------------------------------
# Tar files


class _Headers(io.FileIO):
    """A tar file of which only headers are read, with a limit on their size."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LARGEST_NOTE:
            raise tarfile.ReadError("its headers have no end")
        return super().read(size)


def only_zeros(file: io.FileIO) -> bool:
    """Whether nothing but zero bytes follows in an open file."""
    while piece := file.read(PIECE):
        if piece.strip(b"\0"):
            return False
    return True


def read_members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar file by their headers.

    Raises UserError unless everything that the headers describe lies in the file, and an end mark
    follows, with nothing but zeros after it: Python's reader takes a file that was cut between two
    entries for a whole one, and the first of several that were put together for all.
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
