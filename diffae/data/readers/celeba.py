"""CelebA's own layout: 40 attributes, the official partition, identities (Liu et al., ICCV 2015).

    img_align_celeba/           the images, jpg or png
    list_attr_celeba.txt        the number of images; the attributes; "name -1 1 ..." rows
    list_eval_partition.txt     "name 0|1|2" rows, optional
    identity_CelebA.txt         "name number" rows, optional

or as Kaggle has it, with list_attr_celeba.csv, list_eval_partition.csv and the images in
img_align_celeba/img_align_celeba/. The attribute file defines the data set: images that it does not
list are left out and counted.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffae.data.dataset import SPLITS, Dataset
from diffae.data.readers import label_files
from diffae.data.readers.folder import ImageFiles, counted, find_files, kinds, without
from diffae.data.readers.splits import seeded
from diffae.data.transforms import ALIGNED_CELEBA, Transform, decode

IMAGE_FOLDER = "img_align_celeba"
ATTRIBUTE_FILE = label_files.CELEBA_ATTRIBUTES
PARTITION_FILE = "list_eval_partition.txt"
IDENTITY_FILE = "identity_CelebA.txt"
CELEBA_IMAGES = 202_599
SPLIT_NUMBERS = tuple(SPLITS.values())


def is_celeba(path: Path) -> bool:
    return label_files.find_label_file(path, ATTRIBUTE_FILE) is not None


def open_celeba(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open CelebA's layout. Crop "d2c" by default where the images are 178 x 218, else "center".

    It is named "celeba" if it has as many images as CelebA, else after the folder.
    """
    folder = path / IMAGE_FOLDER
    if (folder / IMAGE_FOLDER).is_dir():  # as in Kaggle's archive
        folder /= IMAGE_FOLDER
    labels = read_celeba_labels(path, seed)
    return labelled(path, folder, labels, ("celeba", CELEBA_IMAGES), image_size, crop)


def labelled(
    path: Path,
    folder: Path,
    labels: label_files.Labels,
    whole: tuple[str, int],
    image_size: int,
    crop: str | None,
) -> Dataset:
    """The data set of the files in `folder` that `labels` lists; the `whole` has this name and size."""
    names = label_files.names_on_disk(folder, labels)
    return Dataset(
        name=label_files.honest_name(whole[0], len(names) == whole[1], path.resolve().name),
        root=path,
        source=ImageFiles(folder, names, labels.files),
        transform=Transform(image_size, crop or default_crop(decode(folder / names[0]))),
        left_out=tuple(unlisted(path, [folder / name for name in names], labels.files[0].name)),
        **labels.fields,
    )


def unlisted(path: Path, listed: list[Path], file: str) -> Iterator[str]:
    """E.g. "3 images that list_attr_celeba.txt does not list: img_align_celeba 3", by folder."""
    others = list(without(find_files(path).names, path, listed))
    if others:
        folders = Counter(name.rpartition("/")[0].partition("/")[0] or "." for name in others)
        yield f"{counted(len(others), 'image')} that {file} does not list: {kinds(folders)}"


def default_crop(first_image: Image.Image) -> str:
    return "d2c" if first_image.size == ALIGNED_CELEBA else "center"


def read_celeba_labels(folder: Path, seed: int) -> label_files.Labels:
    """The labels of `folder`, which has an attribute file: the first of `files`."""
    files = label_files.files_of(folder, (ATTRIBUTE_FILE, PARTITION_FILE, IDENTITY_FILE))
    names, fields = label_files.read_attributes(files[0])
    people = read_people(folder, names, seed, only=ATTRIBUTE_FILE)
    return label_files.Labels(names, files, fields | people)


def read_people(
    folder: Path, names: list[str], seed: int, only: str = "", through: str = ""
) -> dict[str, Any]:
    """Identities and split of images by CelebA's names; the split is seeded where it is not known.

    `only` is a file that must list every name of theirs, `through` what led to the names.
    """
    identities = label_files.read_column(folder, IDENTITY_FILE, names, only=only)
    official = label_files.read_column(folder, PARTITION_FILE, names, SPLIT_NUMBERS, only=only)
    if official is None:
        partition, source = seeded(len(names), seed, identities)
    else:
        [file] = label_files.files_of(folder, [PARTITION_FILE])
        partition, source = official.astype(np.int8), f"{file.name}{through}"
    return {"identities": identities, "partition": partition, "partition_source": source}
