"""CelebA's own layout: 40 attributes, the official partition, identities (Liu et al., ICCV 2015).

    img_align_celeba/           the images, jpg or png
    list_attr_celeba.txt        the number of images; the attributes; "name -1 1 ..." rows
    list_eval_partition.txt     "name 0|1|2" rows, optional
    identity_CelebA.txt         "name number" rows, optional

The attribute file defines the data set: images that it does not list are left out.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from diffae.data.dataset import SPLITS, Dataset, seeded_partition, seeded_source
from diffae.data.folder import ImageFiles
from diffae.data.label_files import (
    Labels,
    files_of,
    honest_name,
    names_on_disk,
    pick,
    read_attributes,
    read_numbers,
    refuse_difference,
)
from diffae.data.transforms import ALIGNED_CELEBA, Transform, decode

IMAGE_FOLDER = "img_align_celeba"
ATTRIBUTE_FILE = "list_attr_celeba.txt"
PARTITION_FILE = "list_eval_partition.txt"
IDENTITY_FILE = "identity_CelebA.txt"
CELEBA_IMAGES = 202_599
SPLIT_NUMBERS = tuple(SPLITS.values())


def is_celeba(path: Path) -> bool:
    return (path / ATTRIBUTE_FILE).is_file()


def open_celeba(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Crop "d2c" unless told otherwise where the images are 178 x 218, else "center".

    It is named "celeba" when it has as many images as CelebA, else after the folder.
    """
    labels = read_celeba_labels(path, seed)
    folder = path / IMAGE_FOLDER
    names = names_on_disk(folder, labels.names, ATTRIBUTE_FILE)
    return labels.dataset(
        name=honest_name("celeba", len(names) == CELEBA_IMAGES, path.resolve().name),
        root=path,
        source=ImageFiles(folder, names, labels.files),
        transform=Transform(image_size, crop or default_crop(decode(folder / names[0]))),
    )


def default_crop(first_image: Image.Image) -> str:
    return "d2c" if first_image.size == ALIGNED_CELEBA else "center"


def read_celeba_labels(folder: Path, seed: int) -> Labels:
    names, attribute_names, attributes = read_attributes(folder / ATTRIBUTE_FILE)
    identities = read_column(folder / IDENTITY_FILE, names)
    partition, partition_source = read_partition(folder, names, identities, seed)
    return Labels(
        names=names,
        attribute_names=attribute_names,
        attributes=attributes,
        identities=identities,
        partition=partition,
        partition_source=partition_source,
        files=files_of(folder, (ATTRIBUTE_FILE, PARTITION_FILE, IDENTITY_FILE)),
    )


def read_partition(
    path: Path, names: Sequence[str], identities: np.ndarray | None, seed: int
) -> tuple[np.ndarray, str]:
    """The file's partition, else a seeded one; with identities it keeps a person in one split."""
    partition = read_column(path / PARTITION_FILE, names, SPLIT_NUMBERS)
    if partition is not None:
        return partition.astype(np.int8), PARTITION_FILE
    if identities is not None:
        return seeded_partition(identities, seed), seeded_source("identity", seed)
    return seeded_partition(np.arange(len(names)), seed), seeded_source("image", seed)


def read_column(
    path: Path, names: Sequence[str], allowed: tuple[int, ...] | None = None
) -> np.ndarray | None:
    """int64 N: the number of each of `names` in a file of "name number" rows; None without one."""
    numbers = read_numbers(path, allowed)
    if numbers is None:
        return None
    column = pick(numbers, names, path)
    refuse_difference(path, f"lists what {ATTRIBUTE_FILE} does not:", set(numbers) - set(names))
    return column
