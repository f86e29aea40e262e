"""Classes of images by their folders, as in ImageNet, or by Kaggle's list of ImageNet's classes.

    train/n01440764/n01440764_10026.JPEG
    val/n01440764/ILSVRC2012_val_00000293.JPEG      or val/ILSVRC2012_val_00000293.JPEG
    LOC_val_solution.csv                            the classes of the latter

As in torchvision's `ImageFolder`, each folder below that of the split is a class, in sorted order.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from diffae.data.dataset import LabelFields
from diffae.data.partition import TEST, TRAIN, VALID
from diffae.data.readers.label_files import honest_name, read_rows
from diffae.data.readers.sources import split_folder
from diffae.system.cli import printable
from diffae.system.errors import UserError

SOLUTION, HEADER = "LOC_val_solution.csv", ["ImageId", "PredictionString"]
MOST_CLASSES = 1000
# Sets that papers report numbers on: the number of images, and the form of their file names.
HELD_OUT = {
    "imagenet-val": (50_000, re.compile(r"ILSVRC2012_val_\d{8}")),
    "coco-val2017": (5_000, re.compile(r"\d{12}")),
}

PUBLIC = ("imagenet", "imagenetk", "coco", "cifar")  # the letters of names that any folder may have


class Classes(NamedTuple):
    """The images of a folder that are read, by relative path, and their labels.

    `files` are the label files. `left_out` has lines of text on images and labels that are not read.
    `splits` are those of a table of labels, if it has such a column.
    """

    images: tuple[str, ...]
    fields: LabelFields = {}
    files: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()
    splits: tuple[int, ...] = ()


class ClassOfImage(NamedTuple):
    """The split and the class of an image, each None if unknown."""

    split: int | None
    label: str | None


def read_classes(root: Path, images: tuple[str, ...]) -> Classes:
    """The classes of images, by relative path, if all have one.

    Test images are left out if they have no class, but validation images do, as in ImageNet.
    """
    files = (root / SOLUTION,) if os.path.lexists(root / SOLUTION) else ()
    listed = read_solution(files[0]) if files else {}
    places = {name: place_of(name, listed) for name in images}
    splits = {place.split for place in places.values() if place.label}
    if VALID in splits and TEST not in splits:
        places = {name: place for name, place in places.items() if place.split != TEST}
    labels = sorted({place.label for place in places.values() if place.label})
    if len(labels) < 2:
        return Classes(images)
    reasons = list(refusals(list(places.values()), labels))
    if reasons:
        return Classes(images, left_out=tuple(f"the classes: {reason}" for reason in reasons))
    number = {label: i for i, label in enumerate(labels)}
    classes = np.array([number[place.label] for place in places.values() if place.label], np.int16)
    fields: LabelFields = {"attribute_names": tuple(map(printable, labels)), "classes": classes}
    without = len(images) - len(places)
    left_out = (f"{without:,} test images without a class",) if without else ()
    return Classes(tuple(places), fields, files, left_out)


def refusals(places: Sequence[ClassOfImage], labels: Sequence[str]) -> Iterator[str]:
    """The reasons why images are read without their classes, as texts."""
    missing = sum(place.label is None for place in places)
    if missing:
        yield f"{missing:,} of {len(places):,} images have none"
        return
    train = {place.label for place in places if place.split == TRAIN}
    lacking = [label for label in labels if label not in train]
    if train and lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        yield f"train has no image of {printable(lacking[0])}{more}"
    if len(labels) > MOST_CLASSES:
        yield f"{len(labels):,}, and at most {MOST_CLASSES:,} are read"


def place_of(name: str, listed: dict[str, str]) -> ClassOfImage:
    """The split of an image, and its class: the folder below that of the split, else the one `listed`."""
    split, folders = split_folder(name)
    if split is None or folders:
        return ClassOfImage(split, folders[0] if folders else None)
    return ClassOfImage(split, listed.get(PurePosixPath(name).stem))


def read_solution(path: Path) -> dict[str, str]:
    """The class of each image, by its name without suffix, from "ImageId,PredictionString" rows.

    The prediction begins with the class, and boxes follow. Raises UserError for another file.
    """
    header, *rows = read_rows(path) or [[]]
    if header != HEADER:
        raise UserError(f"{path}: expected a line {','.join(HEADER)}, then rows")
    listed = {}
    for line, row in enumerate(rows, start=2):
        if len(row) != 2 or not row[1].split():
            raise UserError(f"{path}: line {line}: expected an image and its class")
        listed[row[0]] = row[1].split()[0]
    return listed


def name_of_test(images: Sequence[str], folder: str) -> str:
    """The name of the data set that has these test images: that of one of HELD_OUT, else its folder's.

    A folder that is called as a public set, such as `imagenet`, is `folder imagenet`: its name is no
    evidence.
    """
    stems = [PurePosixPath(name).stem for name in images]
    for title, (count, pattern) in HELD_OUT.items():
        complete = len(images) == count and all(map(pattern.fullmatch, stems))
        folder = honest_name(title, complete, folder)
    return f"folder {folder}" if re.sub(r"[^a-z]", "", folder.lower()) in PUBLIC else folder
