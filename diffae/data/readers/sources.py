"""Shared by readers of image files: a source of encoded images, and the split of a data set."""

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Unpack

import numpy as np
from PIL import Image

from diffae.data import transforms
from diffae.data.dataset import Dataset, ImageSource, LabelFields, Split
from diffae.data.fingerprint import Survey, look_at
from diffae.data.partition import SEEDED_FRACTIONS, TEST, TRAIN, VALID, seeded_partition
from diffae.data.readers.label_files import CELEBA_ATTRIBUTES
from diffae.system.errors import UserError
from diffae.system.files import MOST, read_file


class EncodedImages(ImageSource):
    """An `ImageSource` of image files, in a folder or in an archive."""

    root: Path
    label_files: tuple[Path, ...] = ()
    has_own_sizes = True

    @abstractmethod
    def content(self, index: int) -> bytes:
        """The bytes of the image file."""

    def name(self, index: int) -> bytes:
        """What the fingerprint covers of image `index` besides its bytes, such as its name."""
        return b""

    def heading(self) -> Iterator[bytes]:
        """What the fingerprint covers first: the name and the content of each label file."""
        for path in self.label_files:
            yield path.name.encode()
            yield read_file(path, MOST)

    def read(self, index: int) -> Image.Image:
        return transforms.decode_bytes(self.content(index), self.where(index))

    def look(self) -> Survey:
        """Survey names and bytes of all images, and the label files, however they are stored."""

        def fetch(index: int) -> tuple[bytes, bytes]:
            return self.name(index), self.content(index)

        return look_at(self.root.name, self.heading(), len(self), fetch)


def dataset_of(
    path: Path,
    source: EncodedImages,
    size: int,
    crop: str | None,
    split: Split,
    left_out: Sequence[str],
    **labels: Unpack[LabelFields],
) -> Dataset:
    """The data set of the images of `source`, named after `path`, with these `labels`."""
    name = path.resolve().stem if path.is_file() else path.resolve().name
    transform = transforms.Transform(size, crop or crop_without_labels(path, source))
    return Dataset(name, path, source, transform, *split, left_out=tuple(left_out), **labels)


def crop_without_labels(path: Path, source: EncodedImages) -> str:
    """The crop of images without CelebA's attribute file: "center".

    Raises UserError if one of eight images has the size of CelebA's. With the attribute file these
    images would be cut by the crop "d2c", and every number would differ.
    """
    sample = sorted({*np.linspace(0, len(source) - 1, 8).round().astype(int).tolist()})
    if transforms.ALIGNED_CELEBA not in (_size_of(source, index) for index in sample):
        return "center"
    mend = f"give the folder with {CELEBA_ATTRIBUTES}, or --crop d2c (the face) or --crop center"
    raise UserError(f"{path}: images of 178 x 218, as CelebA's, without attributes; {mend}")


def _size_of(source: EncodedImages, index: int) -> tuple[int, int] | None:
    """Width and height of an image; None for a damaged one, which is reported when it is used."""
    try:
        return source.read(index).size
    except UserError:
        return None


# ----------------------------------------------------------------------------------------------
# The split by names: that of a shard by its own name or its folder's, that of an image by its folders


NAMES = {
    **{"train": TRAIN, "test": TEST},
    **{name: VALID for name in ("validation", "valid", "val", "dev", "val2017", "val2014")},
    **{"train2017": TRAIN, "train2014": TRAIN, "test2017": TEST},  # COCO's folders
}
SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(NAMES)})(?=[-_.]|$)", re.IGNORECASE)


def split_of(path: Path) -> int | None:
    """The split in the name of a file, such as train-00000-of-00002.parquet, or in its folder's; or None."""
    for name in (path.name, path.parent.name):
        if match := SPLIT.search(name):
            return NAMES[match[1].lower()]
    return None


def partition_of_folders(
    names: Sequence[str],
    seed: int,
    root: str = "",
    spread: bool = False,
    own: Sequence[int | None] = (),
    people: np.ndarray | None = None,
) -> Split:
    """As `partition_of`, for images by relative path: the outermost folder with a split's name decides.

    All images are test images if they lie in val or test folders only. So are they if there is no
    folder of a split, but the data set itself, `root`, is called val, such as val2017. The splits
    `own` of the images, if given, replace those of folders. A seeded split keeps `people` together.
    """
    splits = [*own] or [split for split, _ in map(split_folder, names)]
    if set(splits) == {None} and NAMES.get(root.lower()) == VALID:
        splits = [VALID] * len(names)
    if set(splits) in ({VALID}, {TEST}):
        reason = "label" if own else "folder"
        return np.full(len(names), TEST, np.int8), f"all images as test, by their {reason}"
    return partition_of(splits, [1] * len(names), seed, spread, people)


def split_folder(name: str) -> tuple[int | None, tuple[str, ...]]:
    """The split of an image by its relative path, and the folders below that of the split."""
    folders = PurePosixPath(name).parts[:-1]
    place = next((i for i, folder in enumerate(folders) if folder.lower() in NAMES), None)
    return (None, ()) if place is None else (NAMES[folders[place].lower()], folders[place + 1 :])


def partition_of(
    splits: Sequence[int | None],
    counts: Sequence[int],
    seed: int,
    spread: bool = False,
    people: np.ndarray | None = None,
) -> Split:
    """The partition (int8) of all images and its source, from the number and split of each part.

    If a part has no split, or all have the same, the partition is seeded, and keeps `people` together.
    Without a test split, valid becomes test. Without a valid split, the last tenth of train becomes
    valid, or with `spread` every tenth image, so that each class has some. A part without images does
    not count.
    """
    parts = zip(splits, counts, strict=True)
    split_of_each = [split for split, count in parts for _ in range(count)]
    different = {*split_of_each}
    if None in different or len(different) < 2:
        return seeded(len(split_of_each), seed, people)
    partition = np.array(split_of_each, np.int8)
    source = "splits of the files"
    if TEST not in different:
        partition[partition == VALID] = TEST
        source += ", validation as test"
    train = np.flatnonzero(partition == TRAIN)
    if VALID not in partition and len(train) >= 10:
        partition[train[9::10] if spread else train[-(len(train) // 10) :]] = VALID
        source += f", {'every tenth image' if spread else 'last 10 %'} of train as valid"
    return partition, source


def seeded(count: int, seed: int, identities: np.ndarray | None = None) -> Split:
    """A seeded partition and its source, such as "seeded by identity 60/10/30, seed 0".

    If identities are known, all images of a person are in one split.
    """
    groups, unit = (np.arange(count), "image") if identities is None else (identities, "identity")
    shares = "/".join(f"{100 * fraction:.0f}" for fraction in SEEDED_FRACTIONS)
    return seeded_partition(groups, seed), f"seeded by {unit} {shares}, seed {seed}"
