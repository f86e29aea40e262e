"""A folder of image files: FFHQ as PNG, LSUN exported, ImageNet, COCO, or one's own pictures.

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
from diffae.data.readers.sources import EncodedImages, partition_of_folders, unlabelled
from diffae.data.transforms import LARGEST_IMAGE
from diffae.system.cli import printable
from diffae.system.errors import UserError
from diffae.system.files import cache_root, read_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOST_KINDS = 6  # of files that are not read, named in a message


@dataclass(frozen=True)
class ImageFiles(EncodedImages):
    """Files under `root`, by relative name, with the files that label them."""

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

    The split is that of folders called train and test, else seeded by image; folders below these
    are classes, if every image is in one. A table of labels beside them goes before both. Images that
    are only counterfactuals by pairs.csv are left out.
    """
    found = find_images(path)
    classes = read_labels(path, found.names)
    pairs = read_pairs(path / PAIRS, classes.images)
    files = (*classes.files, *[path / PAIRS] * bool(pairs))
    root, people = path.resolve().name, classes.fields.get("identities")
    fields = classes.fields | {"identities": people_of(pairs, len(classes.images), people)}
    own = (bool(classes.fields), classes.splits, fields["identities"])
    split = partition_of_folders(classes.images, seed, root, *own)
    source = ImageFiles(path, classes.images, files)
    left_out = (*left_out_of(without(found.others, path, files)), *classes.left_out)
    data = unlabelled(path, source, image_size, crop, split, left_out=left_out, **fields)
    test = [classes.images[index] for index in data.indices("test")]
    data = replace(data, name=name_of_test(test, root))
    return with_pairs(data, pairs) if pairs else data


def nothing_in(path: Path, kind: str, left_out: Iterable[str]) -> str:
    suffixes = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    more = "".join(f"; {line}" for line in left_out)
    return f"{path}: no images in this {kind} (looked for {suffixes}){more}"


# ----------------------------------------------------------------------------------------------
# Which files count


class FolderListing(NamedTuple):
    """The images below a folder, by relative path, sorted, and what else is there.

    All other files, and the errors of folders that cannot be listed.
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    closed: tuple[OSError, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """What a user should hear of what else is there, one line for each kind."""
        closed = f"{counted(len(self.closed), 'folder')} that cannot be listed"
        return (*left_out_of(self.others), *([closed] if self.closed else []))


def find_images(root: Path) -> FolderListing:
    """The images below `root`.

    Raises UserError if there are none, or if a folder cannot be listed.
    """
    if is_run_folder(os.listdir(root)):
        raise UserError(f"{root}: a run folder of diffae-bench, not data; give your own images")
    found = find_files(root)
    for error in found.closed:
        raise UserError(f"{error.filename}: cannot list this folder ({error.strerror})") from error
    if not found.names:
        raise UserError(nothing_in(root, "folder", found.left_out))
    return found


def find_files(root: Path) -> FolderListing:
    """As `find_images`, but there may be no images, and folders that cannot be listed."""
    closed: list[OSError] = []
    images: list[str] = []
    others: list[str] = []
    for folder, files in walk(root, closed.append):
        place = folder.relative_to(root).as_posix()
        for name in files if place == "." else (f"{place}/{file}" for file in files):
            (images if is_image(name) else others).append(name)
    return FolderListing(tuple(sorted(images)), tuple(others), tuple(closed))


def beside(path: Path, own: Iterable[Path], most: int | None = None) -> tuple[str, ...]:
    """What else is in a folder whose images are in the files `own`: a line for each kind of file.

    Raises UserError if there are more than `most` image files beside them.
    """
    if not path.is_dir():
        return ()
    found = find_files(path)
    count = len(found.names)
    if most is not None and count > most:
        problem = f"{count:,} image files lie beside files that hold {most:,} images"
        raise UserError(f"{path}: {problem}; move one kind to another folder")
    images = f"{counted(count, 'image file')} beside the files that hold the images"
    others = found._replace(others=tuple(without(found.others, path, own)))
    return (*([images] if count else []), *others.left_out)


def without(names: Iterable[str], root: Path, own: Iterable[Path]) -> Iterator[str]:
    """Those of `names`, relative to `root`, that are none of the files `own` of the data set.

    A folder may be reached by several links.
    """
    real = cache(os.path.realpath)
    places = {(real(file.parent), file.name) for file in own}
    for name in names:
        folder, _, base = name.rpartition("/")
        if (real(f"{root}/{folder}"), base) not in places:
            yield name


def is_image(name: str) -> bool:
    """Whether a file is an image to be read, by its relative path."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_hidden(name)


def left_out_of(names: Iterable[str]) -> tuple[str, ...]:
    """A line on files that are not read, by their relative paths: how many of each suffix.

    E.g. "12 other files: tiff 10, gif 2". Hidden files do not count.
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


def counted(count: int, what: str) -> str:
    """E.g. "1 file" or "1,200 files"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def is_run_folder(files: Iterable[str]) -> bool:
    """Whether `benchmarks.run` made the folder of these files: it writes `lock` at its start."""
    names = set(files)
    return "run.json" in names and not names.isdisjoint(("records.csv", "lock"))


def is_hidden(name: str) -> bool:
    """Whether a file is left out, by its path: hidden files, macOS's `._NAME` among them."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def walk(root: Path, failed: Callable[[OSError], None]) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below `root` once, with its files; links are followed, loops of links end.

    Run folders and the cache are left out, unless `root` is within one. `failed` gets the errors of
    folders that cannot be listed.
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
