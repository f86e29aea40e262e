"""A folder of image files: FFHQ as PNG, an export of LSUN, ImageNet, COCO, or your own pictures.

Output of this software is not data: run folders with their pictures, and the cache, are left out.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from diffae.data.dataset import Dataset
from diffae.data.pairs import PAIRS, people_of, read_pairs, with_pairs
from diffae.data.readers.classes import name_of_test
from diffae.data.readers.label_table import read_labels
from diffae.data.readers.sources import EncodedImages, dataset_of, partition_of_folders
from diffae.data.transforms import LARGEST_IMAGE
from diffae.system.cli import printable
from diffae.system.errors import UserError
from diffae.system.files import cache_root, read_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOST_KINDS = 6  # suffixes that a message on files that are not read names


@dataclass(frozen=True)
class ImageFiles(EncodedImages):
    """The images of these `names`, relative to `root`, and the files of their labels."""

    root: Path
    names: tuple[str, ...]
    label_files: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def where(self, index: int) -> str:
        return str(self.root / self.names[index])

    def name(self, index: int) -> bytes:
        return os.fsencode(self.names[index])

    def content(self, index: int) -> bytes:
        return read_file(self.root / self.names[index], LARGEST_IMAGE)

    def files(self) -> Iterator[tuple[str, Path]]:
        yield from ((name, self.root / name) for name in self.names)
        yield from ((path.name, path) for path in self.label_files)


def open_image_folder(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open all images below `path`, sorted by relative path.

    The split is that of folders called train and test, else seeded by image. The folders below these
    are classes, if every image is in one. A table of labels beside the images takes the place of both.
    Images that are only counterfactuals in pairs.csv are left out.
    """
    listing = find_images(path)
    labels = read_labels(path, listing.names)
    images, label_files = labels.images, labels.files
    if pairs := read_pairs(path / PAIRS, images):
        label_files += (path / PAIRS,)
    root = path.resolve().name
    people = people_of(pairs, len(images), labels.fields.get("identities"))
    spread = bool(labels.fields)
    split = partition_of_folders(images, seed, root, spread, labels.splits, people)
    source = ImageFiles(path, images, label_files)
    left_out = (*left_out_of(names_without(listing.others, path, label_files)), *labels.left_out)
    fields = labels.fields | {"identities": people}
    data = dataset_of(path, source, image_size, crop, split, left_out, **fields)
    test_images = [images[index] for index in data.indices("test")]
    data = replace(data, name=name_of_test(test_images, root))
    return with_pairs(data, pairs) if pairs else data


def nothing_in(path: Path, kind: str, left_out: Iterable[str]) -> str:
    suffixes = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    more = "".join(f"; {line}" for line in left_out)
    return f"{path}: no images in this {kind} (looked for {suffixes}){more}"


# ----------------------------------------------------------------------------------------------
# Finding the images, and what else is there


class FolderListing(NamedTuple):
    """The files below a folder, by relative path.

    `names` are the images, sorted, and `others` all other files. `closed` are the errors of folders
    that cannot be listed.
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    closed: tuple[OSError, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Lines of text on other files, and on folders that cannot be listed."""
        lines = left_out_of(self.others)
        if self.closed:
            lines += (f"{counted(len(self.closed), 'folder')} that cannot be listed",)
        return lines


def find_images(root: Path) -> FolderListing:
    """The images below `root`.

    Raises UserError if there are none, or if a folder cannot be listed.
    """
    if is_run_folder(os.listdir(root)):
        raise UserError(f"{root}: a run folder of diffae-bench, not data; give your own images")
    listing = find_files(root)
    for error in listing.closed:
        raise UserError(f"{error.filename}: cannot list this folder ({error.strerror})") from error
    if not listing.names:
        raise UserError(nothing_in(root, "folder", listing.left_out))
    return listing


def find_files(root: Path) -> FolderListing:
    """As `find_images`, but it is no error if there are no images or if a folder cannot be listed."""
    closed: list[OSError] = []
    images: list[str] = []
    others: list[str] = []
    for folder, files in walk(root, closed.append):
        place = folder.relative_to(root).as_posix()
        for name in files if place == "." else (f"{place}/{file}" for file in files):
            (images if is_image(name) else others).append(name)
    return FolderListing(tuple(sorted(images)), tuple(others), tuple(closed))


def describe_others(path: Path, own: Iterable[Path], most: int | None = None) -> tuple[str, ...]:
    """Lines of text on the files in a folder that are not the data set's files, `own`.

    Raises UserError if there are more than `most` image files among them.
    """
    if not path.is_dir():
        return ()
    listing = find_files(path)
    count = len(listing.names)
    if most is not None and count > most:
        problem = f"{count:,} image files lie beside files that hold {most:,} images"
        raise UserError(f"{path}: {problem}; move one kind to another folder")
    others = listing._replace(others=tuple(names_without(listing.others, path, own)))
    if not count:
        return others.left_out
    images = f"{counted(count, 'image file')} beside the files that hold the images"
    return (images, *others.left_out)


def names_without(names: Iterable[str], root: Path, own: Iterable[Path]) -> Iterator[str]:
    """The `names`, relative to `root`, without those of the data set's files, `own`.

    A folder may have several names, because of links.
    """
    real = cache(os.path.realpath)
    places = {(real(file.parent), file.name) for file in own}
    for name in names:
        folder, _, base = name.rpartition("/")
        if (real(f"{root}/{folder}"), base) not in places:
            yield name


def is_image(name: str) -> bool:
    """Whether a file is an image that is read, by its relative path."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_hidden(name)


def left_out_of(names: Iterable[str]) -> tuple[str, ...]:
    """A line of text on files that are not read: "12 other files: tiff 10, gif 2".

    Hidden files do not count; without others there is no line.
    """
    suffixes = Counter[str]()
    for name in names:
        if not is_hidden(name):
            base = name.rpartition("/")[2].lower()
            suffixes[printable(base.rpartition(".")[2]) if "." in base else "no suffix"] += 1
    if not suffixes:
        return ()
    commonest = sorted(suffixes.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_KINDS]
    kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in commonest)
    return (f"{counted(suffixes.total(), 'other file')}: {kinds}",)


def counted(count: int, noun: str) -> str:
    """A number and its noun: "1 file" or "1,200 files"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def is_run_folder(files: Iterable[str]) -> bool:
    """Whether these are the files of a run folder. A run writes `lock` when it starts."""
    names = set(files)
    return "run.json" in names and not names.isdisjoint(("records.csv", "lock"))


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder in its path, is hidden. macOS writes hidden files ._NAME."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def walk(root: Path, failed: Callable[[OSError], None]) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below `root` once, with its files. Links are followed, and loops of links end.

    Run folders and the cache are left out, unless `root` is inside one. `failed` is called with the
    error of a folder that cannot be listed.
    """
    seen = {identity_of(path) for path in [cache_root()] if path.is_dir()} - {identity_of(root)}
    for folder, subfolders, files in os.walk(root, onerror=failed, followlinks=True):
        if identity_of(folder) in seen or is_run_folder(files):
            subfolders.clear()
            continue
        seen.add(identity_of(folder))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(folder), files


def identity_of(folder: Path | str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino
