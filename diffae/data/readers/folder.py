"""A folder of image files: FFHQ as PNG, LSUN exported, ImageNet, COCO, or one's own pictures.

Output of this software is not data: run folders with their pictures, and the cache, are left out.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NoReturn

from PIL import Image

from diffae.data.dataset import Dataset
from diffae.data.readers.classes import name_of_test, read_classes
from diffae.data.readers.sources import EncodedImages, unlabelled
from diffae.data.readers.splits import partition_of_folders
from diffae.data.transforms import LARGEST_IMAGE, decode
from diffae.system.errors import UserError
from diffae.system.files import cache_root, read_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# Formats of pictures that are not read, by suffix. They are counted, as the user may expect to have them read.
UNREAD = {
    **{name: name for name in ("gif", "avif", "jxl", "jp2", "psd", "svg", "tga", "exr", "dng")},
    **{"tif": "tiff", "tiff": "tiff", "heic": "heic", "heif": "heic", "jfif": "jfif"},
    **{"pbm": "pnm", "pgm": "pnm", "ppm": "pnm", "pnm": "pnm"},
    **{name: name for name in ("tar", "parquet")},  # if they hold fewer images than lie beside them
}


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

    def read(self, index: int) -> Image.Image:
        return decode(self.root / self.names[index])

    def files(self) -> Iterator[tuple[str, Path]]:
        yield from ((name, self.root / name) for name in self.names)
        yield from ((path.name, path) for path in self.label_files)


def open_image_folder(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open all images below `path`, sorted by relative path.

    The split is that of folders called train and test, else seeded by image; folders below these
    are classes, if every image is in one.
    """
    found = find_images(path)
    classes = read_classes(path, found.names)
    root = path.resolve().name
    split = partition_of_folders(classes.images, seed, root, spread=bool(classes.fields))
    source = ImageFiles(path, classes.images, classes.files)
    left_out = (*found.left_out, *classes.left_out)
    data = unlabelled(path, source, image_size, crop, split, left_out=left_out, **classes.fields)
    test = [classes.images[index] for index in data.indices("test")]
    return replace(data, name=name_of_test(test, root))


def nothing_in(path: Path, kind: str, left_out: Iterable[str]) -> str:
    suffixes = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    more = "".join(f"; {line}" for line in left_out)
    return f"{path}: no images in this {kind} (looked for {suffixes}){more}"


# ----------------------------------------------------------------------------------------------
# Which files count


@dataclass(frozen=True)
class Found:
    """The images below a folder, by relative path, sorted; and what was left out, one line each."""

    names: tuple[str, ...]
    left_out: tuple[str, ...]


def find_images(root: Path) -> Found:
    """The images below `root`; hidden files are left out. Raises UserError if there are none."""
    if is_run_folder(os.listdir(root)):
        raise UserError(
            f"{root}: this is a run folder of diffae-bench: its pictures are results, not data; give the folder of your own images"
        )
    names, suffixes, runs = [], [], 0
    for folder, files in walk(root):
        if is_run_folder(files):
            runs += 1
            continue
        visible = [file for file in files if not file.startswith(".")]
        suffixes += [suffix_of(file) for file in visible]
        names += [
            (folder / file).relative_to(root).as_posix()
            for file in visible
            if file.lower().endswith(IMAGE_SUFFIXES)
        ]
    left_out = unread(suffixes)
    if runs:
        some = f"{runs} run folder{'s' if runs > 1 else ''}"
        left_out = (*left_out, f"the pictures of {some} of this software")
    if not names:
        raise UserError(nothing_in(root, "folder", left_out))
    return Found(tuple(sorted(names)), left_out)


def suffix_of(name: str) -> str:
    return name.lower().rpartition(".")[2]


def unread(suffixes: Iterable[str]) -> tuple[str, ...]:
    """E.g. "12 files of formats that are not read: tiff 10, gif 2"; empty if none."""
    counts = Counter(UNREAD[suffix] for suffix in suffixes if suffix in UNREAD)
    each = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    files = (
        "1 file of a format that is"
        if counts.total() == 1
        else f"{counts.total()} files of formats that are"
    )
    return (f"{files} not read: {each}",) if counts else ()


def is_run_folder(files: Iterable[str]) -> bool:
    """Whether `benchmarks.run` made the folder of these files: it writes `lock` at its start."""
    names = set(files)
    return "run.json" in names and not names.isdisjoint(("records.csv", "lock"))


def is_hidden(name: str) -> bool:
    """Whether a file is left out, by its path: hidden files, macOS's `._NAME` among them."""
    return any(part.startswith(".") and part != ".." for part in PurePosixPath(name).parts)


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below `root` once, with its files; links are followed, loops of links end.

    Run folders and the cache are not entered, unless `root` is within one.
    """
    seen = {identity_of(path) for path in [cache_root()] if path.is_dir()} - {identity_of(root)}
    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        if identity_of(folder) in seen:
            subfolders.clear()
            continue
        seen.add(identity_of(folder))
        if is_run_folder(files):
            subfolders.clear()
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(folder), files


def identity_of(folder: Path | str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename}: cannot list this folder ({error.strerror})") from error
