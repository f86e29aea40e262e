"""CelebA's own layout: 40 attributes, the official partition, identities (Liu et al., ICCV 2015).

    img_align_celeba/           the images, jpg or png
    list_attr_celeba.txt        the number of images; the attributes; "name -1 1 ..." rows
    list_eval_partition.txt     "name 0|1|2" rows, optional
    identity_CelebA.txt         "name number" rows, optional

The attribute file defines the data set: images that it does not list are left out.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffae.data.dataset import Dataset, seeded_partition, seeded_source
from diffae.data.folder import ImageFiles
from diffae.data.transforms import ALIGNED_CELEBA, Transform, decode
from diffae.errors import UserError

IMAGE_FOLDER = "img_align_celeba"
ATTRIBUTE_FILE = "list_attr_celeba.txt"
PARTITION_FILE = "list_eval_partition.txt"
IDENTITY_FILE = "identity_CelebA.txt"
CELEBA_IMAGES = 202_599


def is_celeba(path: Path) -> bool:
    return (path / ATTRIBUTE_FILE).is_file()


def open_celeba(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Crop "d2c" unless told otherwise where the images are 178 x 218, else "center".

    It is named "celeba" when it has as many images as CelebA, else after the folder: a subset, or
    another data set in the same layout, must not pass for CelebA in a table.
    """
    listed, attribute_names, attributes = read_attributes(path / ATTRIBUTE_FILE)
    names = names_on_disk(path / IMAGE_FOLDER, listed)
    identities = read_column(path / IDENTITY_FILE, listed)
    partition, partition_source = read_partition(path, listed, identities, seed)
    labels = (ATTRIBUTE_FILE, PARTITION_FILE, IDENTITY_FILE)
    return Dataset(
        name="celeba" if len(names) == CELEBA_IMAGES else path.resolve().name,
        root=path,
        source=ImageFiles(
            path / IMAGE_FOLDER, names, tuple(path / n for n in labels if (path / n).is_file())
        ),
        transform=Transform(image_size, crop or default_crop(path / IMAGE_FOLDER / names[0])),
        partition=partition,
        partition_source=partition_source,
        attribute_names=attribute_names,
        attributes=attributes,
        identities=identities,
    )


def default_crop(first_image: Path) -> str:
    return "d2c" if decode(first_image).size == ALIGNED_CELEBA else "center"


def read_attributes(path: Path) -> tuple[list[str], tuple[str, ...], np.ndarray]:
    """Image names (N), attribute names (A) and bool N x A of `list_attr_celeba.txt`."""
    lines = read_lines(path)
    count, attribute_names = read_header(path, lines)
    if len(lines) - 2 != count:
        raise UserError(f"{path}: line 1 promises {count} images, but {len(lines) - 2} rows follow")
    names, attributes = [], np.empty((count, len(attribute_names)), bool)
    for row, line in enumerate(lines[2:]):
        name, *values = line.split() or [""]
        check_values(values, len(attribute_names), f"{path}: line {row + 3}")
        names.append(name)
        attributes[row] = [value == "1" for value in values]
    refuse_duplicates(names, path, "image")
    return names, attribute_names, attributes


def read_header(path: Path, lines: list[str]) -> tuple[int, tuple[str, ...]]:
    if len(lines) < 3 or not lines[0].strip().isdecimal() or not lines[1].strip():
        raise UserError(
            f"{path}: expected a number of images, a line of attribute names, then rows"
        )
    names = tuple(lines[1].split())
    refuse_duplicates(names, path, "attribute")
    return int(lines[0]), names


def check_values(values: list[str], count: int, where: str) -> None:
    if len(values) != count:
        raise UserError(f"{where}: {len(values)} values for {count} attributes")
    strange = set(values) - {"1", "-1"}
    if strange:
        raise UserError(f"{where}: value {min(strange)!r} is neither -1 nor 1")


def read_partition(
    path: Path, names: Sequence[str], identities: np.ndarray | None, seed: int
) -> tuple[np.ndarray, str]:
    """The file's partition, else a seeded one; with identities it keeps a person in one split."""
    partition = read_column(path / PARTITION_FILE, names, allowed=(0, 1, 2))
    if partition is not None:
        return partition.astype(np.int8), PARTITION_FILE
    if identities is not None:
        return seeded_partition(identities, seed), seeded_source("identity", seed)
    return seeded_partition(np.arange(len(names)), seed), seeded_source("image", seed)


def read_column(
    path: Path, names: Sequence[str], allowed: tuple[int, ...] | None = None
) -> np.ndarray | None:
    """int64 N: the number of each of `names` in a file of "name number" rows; None without one."""
    if not path.is_file():
        return None
    rows = [
        read_row(line, allowed, f"{path}: line {number}")
        for number, line in enumerate(read_lines(path), start=1)
    ]
    refuse_duplicates([name for name, _ in rows], path, "image")
    numbers = dict(rows)
    refuse_difference(path, "has no row for", set(names) - set(numbers))
    refuse_difference(path, f"lists what {ATTRIBUTE_FILE} does not:", set(numbers) - set(names))
    return np.array([numbers[name] for name in names], np.int64)


def read_row(line: str, allowed: tuple[int, ...] | None, where: str) -> tuple[str, int]:
    name, *values = line.split() or [""]
    if len(values) != 1 or not values[0].isdecimal():
        raise UserError(f"{where}: expected an image name and a number")
    if allowed is not None and int(values[0]) not in allowed:
        raise UserError(f"{where}: {values[0]} is not one of {', '.join(map(str, allowed))}")
    return name, int(values[0])


def names_on_disk(folder: Path, listed: list[str]) -> tuple[str, ...]:
    """The file of each listed image, with any suffix: CelebA's PNG edition is listed as jpg."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; the images of {ATTRIBUTE_FILE} belong there")
    present = set(os.listdir(folder))
    by_stem = {os.path.splitext(name)[0]: name for name in present}
    names = [
        name if name in present else by_stem.get(os.path.splitext(name)[0], "") for name in listed
    ]
    missing = [name for name, found in zip(listed, names, strict=True) if not found]
    if missing:
        raise UserError(
            f"{folder}: {len(missing)} of {len(listed)} listed images missing, first {missing[0]}"
        )
    return tuple(names)


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without the empty ones at its end, whatever the line ends."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read this text file ({error})") from error
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def refuse_duplicates(names: Sequence[str], path: Path, what: str) -> None:
    for name, count in Counter(names).most_common(1):
        if count > 1:
            raise UserError(f"{path}: {what} {name} is listed {count} times")


def refuse_difference(path: Path, problem: str, names: set[str]) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UserError(f"{path}: {problem} {min(names)}{more}")
