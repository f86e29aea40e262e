"""CelebA's own layout: 40 attributes, the official partition, identities (Liu et al., ICCV 2015).

    img_align_celeba/           the images, jpg or png
    list_attr_celeba.txt        the number of images; the attributes; "name -1 1 ..." rows
    list_eval_partition.txt     "name 0|1|2" rows, optional
    identity_CelebA.txt         "name number" rows, optional

or as Kaggle has it, with list_attr_celeba.csv, list_eval_partition.csv and the images in
img_align_celeba/img_align_celeba/. Images that the attribute file does not list are left out and
counted.

CelebA-HQ as CelebAMask-HQ distributes it (Karras et al., ICLR 2018; Lee et al., CVPR 2020):

    CelebA-HQ-img/                         0.jpg to 29999.jpg, 1024 x 1024
    CelebAMask-HQ-attribute-anno.txt       the number of images; the attributes; "0.jpg  -1  1 ..."
    CelebA-HQ-to-CelebA-mapping.txt        "idx orig_idx orig_file" rows under such a header, optional
    list_eval_partition.txt                CelebA's own, optional
    identity_CelebA.txt                    CelebA's own, optional

The mapping names the picture of CelebA that each image was made from, and so gives its person and its
split in CelebA. Without it the same person may be in the training and in the test split.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from diffae.data.dataset import Dataset, Split
from diffae.data.partition import SPLITS
from diffae.data.readers import label_files
from diffae.data.readers.folder import ImageFiles, counted, find_files, names_without
from diffae.data.readers.label_files import CelebaLabels
from diffae.data.readers.sources import seeded
from diffae.data.transforms import ALIGNED_CELEBA, Transform, decode
from diffae.system.errors import UserError, refuse_duplicates

IMAGE_FOLDER = "img_align_celeba"
ATTRIBUTE_FILE = label_files.CELEBA_ATTRIBUTES
PARTITION_FILE = "list_eval_partition.txt"
IDENTITY_FILE = "identity_CelebA.txt"
CELEBA_IMAGES = 202_599
SPLIT_NUMBERS = tuple(map(str, SPLITS.values()))


def is_celeba(path: Path) -> bool:
    return label_files.find_label_file(path, ATTRIBUTE_FILE) is not None


def open_celeba(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open CelebA's layout. Crop "d2c" by default where the images are 178 x 218, else "center".

    It is named "celeba" if it has as many images as CelebA, else after the folder.
    """
    folder = path / IMAGE_FOLDER
    if (folder / IMAGE_FOLDER).is_dir():  # as in Kaggle's archive
        folder /= IMAGE_FOLDER
    return labelled(path, folder, read_celeba_labels(path, seed), image_size, crop)


def labelled(
    path: Path, folder: Path, labels: CelebaLabels, size: int, crop: str | None
) -> Dataset:
    """The data set of the files in `folder` that `labels` lists."""
    names = label_files.names_on_disk(folder, labels)
    transform = Transform(size, crop or default_crop(decode(folder / names[0])))
    left_out = describe_unlisted(path, [folder / name for name in names], labels.files[0].name)
    source, name = ImageFiles(folder, names, labels.files), labels.title(path.resolve().name)
    return Dataset(name, path, source, transform, *labels.split, left_out=left_out, **labels.fields)


def describe_unlisted(path: Path, listed: list[Path], file: str) -> tuple[str, ...]:
    """E.g. "3 images that list_attr_celeba.txt does not list"; empty if there are none."""
    count = len(list(names_without(find_files(path).names, path, listed)))
    return (f"{counted(count, 'image')} that {file} does not list",) if count else ()


def default_crop(first_image: Image.Image) -> str:
    return "d2c" if first_image.size == ALIGNED_CELEBA else "center"


def read_celeba_labels(folder: Path, seed: int) -> CelebaLabels:
    """The labels of `folder`, which has an attribute file."""
    files = label_files.files_of(folder, (ATTRIBUTE_FILE, PARTITION_FILE, IDENTITY_FILE))
    names, fields = label_files.read_attributes(files[0])
    fields["identities"], split = read_people(folder, names, seed, only=ATTRIBUTE_FILE)
    return CelebaLabels(names, files, fields, split, ("celeba", CELEBA_IMAGES))


def read_people(
    folder: Path, names: list[str], seed: int, only: str = "", through: str = ""
) -> tuple[np.ndarray | None, Split]:
    """Identities, None if unknown, and split of the images of CelebA that have these `names`.

    The split is seeded without a file of it. If the file `only` is given, identities and split must not
    list images that it does not list. `through` is added to the source of the split.
    """
    identities = label_files.read_column(folder, IDENTITY_FILE, names, only=only)
    official = label_files.read_column(folder, PARTITION_FILE, names, SPLIT_NUMBERS, only=only)
    if official is None:
        return identities, seeded(len(names), seed, identities)
    [file] = label_files.files_of(folder, [PARTITION_FILE])
    return identities, (official.astype(np.int8), f"{file.name}{through}")


# ----------------------------------------------------------------------------------------------
# CelebA-HQ


HQ_IMAGE_FOLDER = "CelebA-HQ-img"
HQ_ATTRIBUTE_FILE = "CelebAMask-HQ-attribute-anno.txt"
MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"
CELEBAHQ_IMAGES = 30_000


def is_celebahq(path: Path) -> bool:
    """Whether this is CelebA-HQ.

    A folder with CelebA's own images is not, since label files may be copied from one to the other.
    """
    labels = label_files.find_label_file(path, HQ_ATTRIBUTE_FILE)
    own = (path / HQ_IMAGE_FOLDER).is_dir() or labels is not None
    return own and not (is_celeba(path) and (path / IMAGE_FOLDER).is_dir())


def open_celebahq(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open CelebA-HQ, named "celeba-hq" if all 30,000 images are there. The images are square."""
    if label_files.find_label_file(path, HQ_ATTRIBUTE_FILE) is None:
        raise UserError(f"{path / HQ_ATTRIBUTE_FILE}: no such file; or give {HQ_IMAGE_FOLDER}")
    labels = read_celebahq_labels(path, seed)
    return labelled(path, path / HQ_IMAGE_FOLDER, labels, image_size, crop or "center")


def read_celebahq_labels(folder: Path, seed: int) -> CelebaLabels:
    """The labels of `folder`. Identities and CelebA's partition are read only if the mapping is there."""
    file_names = (HQ_ATTRIBUTE_FILE, MAPPING_FILE, PARTITION_FILE, IDENTITY_FILE)
    files = label_files.files_of(folder, file_names)
    names, fields = label_files.read_attributes(files[0])
    if os.path.lexists(folder / MAPPING_FILE):
        originals = read_originals(folder / MAPPING_FILE, names)
        through = f" through {MAPPING_FILE}"
        identities, (partition, source) = read_people(folder, originals, seed, through=through)
    else:
        files = files[:1]
        identities, (partition, source) = None, seeded(len(names), seed)
    if identities is None and source.startswith("seeded"):
        source += "; identities unknown, a person may be in several splits"
    fields["identities"] = identities
    whole = ("celeba-hq", CELEBAHQ_IMAGES)
    return CelebaLabels(names, files, fields, (partition, source), whole)


def read_originals(path: Path, names: list[str]) -> list[str]:
    """CelebA's file name for each of `names` ("7.jpg" is row 7).

    The mapping may list more images than there are, so that it can be used for a subset.
    """
    rows = label_files.read_rows(path)
    rows, first = (rows[1:], 2) if rows and rows[0][0] == "idx" else (rows, 1)
    for line, fields in enumerate(rows, start=first):
        if len(fields) != 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
            raise UserError(f"{path}: line {line}: expected idx, orig_idx and orig_file")
    indices = [str(label_files.whole_number(row[0], str(path))) for row in rows]
    originals = [row[2] for row in rows]
    refuse_duplicates(indices, path, "image")
    refuse_duplicates(originals, path, "CelebA's")
    mapping = dict(zip(indices, originals, strict=True))
    stems = [Path(name).stem for name in names]
    label_files.refuse_difference(path, "has no row for image", set(stems) - set(mapping))
    return [mapping[stem] for stem in stems]
