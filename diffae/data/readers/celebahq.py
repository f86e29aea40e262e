"""CelebA-HQ as CelebAMask-HQ distributes it (Karras et al., ICLR 2018; Lee et al., CVPR 2020).

    CelebA-HQ-img/                         0.jpg to 29999.jpg, 1024 x 1024
    CelebAMask-HQ-attribute-anno.txt       the number of images; the attributes; "0.jpg  -1  1 ..."
    CelebA-HQ-to-CelebA-mapping.txt        "idx orig_idx orig_file" rows under such a header, optional
    list_eval_partition.txt                CelebA's own, optional
    identity_CelebA.txt                    CelebA's own, optional

The mapping says which picture of CelebA each image was made of, and so who it shows and which split
CelebA puts it in. Without it the same person may be trained and tested on.
"""

import os
from pathlib import Path

from diffae.data.dataset import Dataset
from diffae.data.readers import celeba, label_files
from diffae.data.readers.celeba import IDENTITY_FILE, PARTITION_FILE, is_celeba
from diffae.data.readers.splits import seeded
from diffae.system.errors import UserError

IMAGE_FOLDER = "CelebA-HQ-img"
ATTRIBUTE_FILE = "CelebAMask-HQ-attribute-anno.txt"
MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"
CELEBAHQ_IMAGES = 30_000


def is_celebahq(path: Path) -> bool:
    """Whether this is CelebA-HQ.

    It is not if it has CelebA's own images: label files may be copied from one to the other.
    """
    own = (path / IMAGE_FOLDER).is_dir() or label_files.find_label_file(
        path, ATTRIBUTE_FILE
    ) is not None
    return own and not (is_celeba(path) and (path / celeba.IMAGE_FOLDER).is_dir())


def open_celebahq(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open CelebA-HQ. Crop "center": the images are square.

    Named "celeba-hq" if all 30,000 are there.
    """
    if label_files.find_label_file(path, ATTRIBUTE_FILE) is None:
        raise UserError(f"{path / ATTRIBUTE_FILE}: no such file; or give {IMAGE_FOLDER} alone")
    labels, whole = read_celebahq_labels(path, seed), ("celeba-hq", CELEBAHQ_IMAGES)
    return celeba.labelled(path, path / IMAGE_FOLDER, labels, whole, image_size, crop or "center")


def read_celebahq_labels(folder: Path, seed: int) -> label_files.Labels:
    """Labels of `folder`'s files; identities and CelebA's partition only through the mapping."""
    files = label_files.files_of(
        folder, [ATTRIBUTE_FILE, MAPPING_FILE, PARTITION_FILE, IDENTITY_FILE]
    )
    names, fields = label_files.read_attributes(files[0])
    if os.path.lexists(folder / MAPPING_FILE):
        originals = read_originals(folder / MAPPING_FILE, names)
        people = celeba.read_people(folder, originals, seed, through=f" through {MAPPING_FILE}")
    else:
        files = files[:1]
        partition, source = seeded(len(names), seed)
        people = {"identities": None, "partition": partition, "partition_source": source}
    if people["identities"] is None and people["partition_source"].startswith("seeded"):
        people["partition_source"] += "; identities unknown, a person may be in several splits"
    return label_files.Labels(names, files, fields | people)


def read_originals(path: Path, names: list[str]) -> list[str]:
    """CelebA's file name for each of `names` ("7.jpg" is row 7).

    The mapping may list more images than there are, so that a subset needs no mapping of its own.
    """
    rows = label_files.read_rows(path)
    rows, first = (rows[1:], 2) if rows and rows[0][0] == "idx" else (rows, 1)
    for line, fields in enumerate(rows, start=first):
        if len(fields) != 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
            raise UserError(f"{path}: line {line}: expected idx, orig_idx and orig_file")
    indices = [str(label_files.whole_number(row[0], str(path))) for row in rows]
    originals = [row[2] for row in rows]
    label_files.refuse_duplicates(indices, path, "image")
    label_files.refuse_duplicates(originals, path, "CelebA's")
    mapping = dict(zip(indices, originals, strict=True))
    stems = [Path(name).stem for name in names]
    label_files.refuse_difference(path, "has no row for image", set(stems) - set(mapping))
    return [mapping[stem] for stem in stems]
