"""`Dataset`: images by index, their labels and their split, whatever the format on disk.

A reader (one module for each format) builds a `Dataset` from an `ImageSource`, which only fetches
single images. An image is decoded when it is needed, not before.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypedDict

import numpy as np
from PIL import Image

from diffae.data.fingerprint import Survey, Surveyed, digest_parts, in_succession, survey
from diffae.data.partition import HALVED, HALVES, SPLITS, seeded_partition, stream
from diffae.data.transforms import Transform, crop_to_multiples
from diffae.system.errors import UserError
from diffae.system.progress import shown
from diffae.system.settings import Values

if TYPE_CHECKING:
    import torch

WORKERS, CHUNK = 2, 64  # threads that read, and images that each reads at once
KEPT = 32 << 20  # bytes of images that stay in memory, since benchmarks read each several times
# The fields of `Dataset` that are arrays of N rows.
LABEL_FIELDS = ("partition", "attributes", "classes", "identities", "columns")
# Kinds of labels, by the kind of the dtype of their column.
KINDS = {"b": "binary", "U": "classes", "u": "classes", "i": "ordered", "f": "real"}

Indices = Sequence[int] | np.ndarray
Split = tuple[np.ndarray, str]  # `partition` and `partition_source` of a `Dataset`


class LabelFields(TypedDict, total=False):
    """Fields of a `Dataset` that a reader of labels may fill."""

    attribute_names: tuple[str, ...]
    attributes: np.ndarray
    classes: np.ndarray
    identities: np.ndarray | None
    columns: np.ndarray


class ImageSource(Surveyed, Protocol):
    """The source of the pixels: image files, an array, an archive."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Image.Image:
        """Image `index` as 8-bit RGB at its own size; `UserError` if it cannot be decoded."""

    def where(self, index: int) -> str:
        """The place of image `index`, for messages: a full path, or e.g. "faces.zip, val/0007.png"."""


class Factors(NamedTuple):
    """Labels of B images as numbers: `values` is float64 B x K, and each column is of one of `kinds`.

    A "binary" column holds 0 and 1, and a "real" column any numbers. A column of "classes" holds the
    index of the class among the sorted classes of the whole data set, and an "ordered" column the
    index of the value among all values, which are evenly spaced.
    """

    values: np.ndarray
    names: tuple[str, ...]
    kinds: tuple[str, ...]


class Truth(Protocol):
    """The counterfactuals of images: the same images with one attribute changed."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes for which there are counterfactuals."""

    def changes(self, index: int, attribute: str, on: bool) -> dict[str, bool] | None:
        """All attributes that the counterfactual of image `index` changes, with their new values.

        None if the counterfactual is not known, or would be the image itself.
        """

    def picture(self, index: int, attribute: str, on: bool) -> Image.Image:
        """The counterfactual as 8-bit RGB, of the size of the image."""


class Drawing(Protocol):
    """How images of known factors are drawn."""

    def factors(self, indices: Indices) -> Factors:
        """The factors of images, beyond those in the label files."""

    def combinations(self, most: int) -> Path | int | None:
        """The path of a data set of all combinations of some factors, at most `most` images.

        In a dry run, the number of images that it would have. None if `most` is too small.
        """


@dataclass(frozen=True, eq=False)
class Dataset:
    """N images with optional labels, and the split that they are evaluated by.

    - `partition` is int8 N (0 train, 1 valid, 2 test), and `partition_source` says where it comes from.
    - `attributes` is bool N x A, with a column for each of `attribute_names`. Where each image has
      exactly one of them, `classes` (int N) may hold the index of that column instead, because 1,000
      columns for a million images would fill the memory. `labels` reads either.
    - `identities` is int64 N.
    - `columns` is a structured array of N rows: the columns of a table of labels. They are bool, texts
      of classes or their numbers from 0 (unsigned), ranks of ordered values from 0 (signed), or
      float64. `factors` reads them, or the attributes where there is no table.
    - `left_out` has a line of text for each kind of file in the folder that is not part of the data set.
    - `drawing` says how the images are drawn, and `truth` has their counterfactuals; None if unknown.
    """

    name: str
    root: Path
    source: ImageSource
    transform: Transform
    partition: np.ndarray
    partition_source: str
    attribute_names: tuple[str, ...] = ()
    attributes: np.ndarray | None = None
    classes: np.ndarray | None = None
    identities: np.ndarray | None = None
    left_out: tuple[str, ...] = ()
    columns: np.ndarray | None = None
    drawing: Drawing | None = None
    truth: Truth | None = None
    _kept: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in LABEL_FIELDS:
            labels = getattr(self, name)
            if labels is not None and len(labels) != len(self.source):
                raise ValueError(f"{name}: {len(labels)} rows for {len(self.source)} images")

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_kept": {}}  # images are not sent to other processes

    def __len__(self) -> int:
        return len(self.partition)

    @property
    def image_size(self) -> int:
        """S: the side of the images that `batch` and `images` return."""
        return self.transform.image_size

    def at(self, image_size: int) -> Dataset:
        """The same images, each resized to `image_size` px from the original."""
        if image_size == self.image_size:
            return self
        return replace(self, transform=replace(self.transform, image_size=image_size))

    def changed_by(self, options: Values) -> Dataset:
        """The same images with options of their transform, without those that an option leaves out.

        Raises UserError if the transform cannot have the options, or if no image would be left.
        """
        if not options:
            return self
        changed = replace(self, transform=self.transform.changed_by(options))
        smallest = changed.transform.smallest
        return changed if smallest is None else without_smaller(changed, smallest)

    @property
    def enlarged(self) -> np.ndarray | None:
        """Whether each image is smaller than `image_size` and was enlarged, bool N; None if not known.

        Images of a prepared copy count as those that they were made of.
        """
        sides = [Transform.native_side(self.transform, side, side) for side, _ in self.survey.sides]
        small = np.array(sides) < self.image_size
        return np.repeat(small, [count for _, count in self.survey.sides]) if sides else None

    @cached_property
    def survey(self) -> Survey:
        """The survey of every byte of the data. It is stored, and renewed when a file has changed."""
        return survey(self.source)

    def refuse_unreadable(self) -> None:
        """Raise a UserError that names the file if a file of any split is no image."""
        if (index := self.survey.unreadable) is not None:
            getattr(self.source, "whole", self.source).read(index)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of names, labels and all content. Path and modification times do not matter."""
        return self.survey.fingerprint

    def name_of(self, index: int) -> str:
        """The name of image `index` in the data set: e.g. its relative path, "val/0007.png"."""
        return self.source.where(index).removeprefix(str(self.root)).lstrip("/, ")

    @property
    def labelled(self) -> bool:
        """Whether its images have attributes."""
        return self.attributes is not None or self.classes is not None

    def labels(self, indices: Indices) -> np.ndarray:
        """The attributes of images, bool B x A. Raises ValueError for data without any."""
        if self.attributes is not None:
            return self.attributes[np.asarray(indices)]
        if self.classes is None:
            raise ValueError(f"{self.name} has no attributes")
        return self.classes[np.asarray(indices), None] == np.arange(len(self.attribute_names))

    def factors(self, indices: Indices) -> Factors:
        """The labels of images as numbers, followed by the factors of the `drawing`; K may be 0.

        If every image of the data set has exactly one attribute, these are one column of classes.
        """
        rows = np.asarray(indices)
        if self.columns is None:
            labels = self._attributes_as_numbers(rows)
        else:
            labels = _columns_as_numbers(self.columns, rows)
        if self.drawing is None:
            return labels
        drawn = self.drawing.factors(indices)
        values = np.hstack([labels.values, drawn.values])
        return Factors(values, labels.names + drawn.names, labels.kinds + drawn.kinds)

    def _attributes_as_numbers(self, rows: np.ndarray) -> Factors:
        names = self.attribute_names if self.labelled else ()
        values = self.labels(rows) if names else np.empty((len(rows), 0))
        exclusive = self.attributes is None or (self.attributes.sum(axis=1) == 1).all()
        if len(names) > 1 and exclusive:
            values, names = values.argmax(axis=1)[:, None], ("class",)
            return Factors(values.astype(np.float64), names, ("classes",))
        return Factors(values.astype(np.float64), names, ("binary",) * len(names))

    def indices(self, split: str) -> np.ndarray:
        """Ascending indices (int64) of "train", "valid", "test" or "all"."""
        if split == "all":
            return np.arange(len(self))
        if split not in SPLITS:
            raise UserError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}, all")
        return np.flatnonzero(self.partition == SPLITS[split])

    def with_training_images(self, seed: int) -> Dataset:
        """The data set itself if it has training images. Otherwise a copy in which 40 % of the test images
        are training images and 10 % validation images, drawn by `seed`; no person is in two of them.
        """
        if len(self.indices("train")):
            return self
        test, partition = self.indices("test"), self.partition.copy()
        groups = test if self.identities is None else self.identities[test]
        partition[test] = seeded_partition(groups, seed, HALVES)
        return replace(self, partition=partition, partition_source=HALVED)

    def ordered(self, split: str, seed: int) -> np.ndarray:
        """`indices`, shuffled as a run with this seed uses them."""
        return np.random.default_rng(stream(split, seed)).permutation(self.indices(split))

    def images(self, indices: Indices) -> np.ndarray:
        """Images, uint8 B x S x S x 3.

        Raises TypeError for indices that are not integers, such as a mask.
        """
        size = self.image_size
        if np.asarray(indices).dtype == np.bool_:  # NumPy before 2.4 takes a mask for 0 and 1
            raise TypeError("indices are whole numbers, not a mask")
        pixels = [self._pixels(operator.index(i)) for i in indices]
        return np.stack(pixels) if pixels else np.empty((0, size, size, 3), np.uint8)

    def batch(self, indices: Indices) -> torch.Tensor:
        """float32 B x 3 x S x S in [-1, 1]."""
        return in_floats(self.images(indices))

    @property
    def has_own_sizes(self) -> bool:
        """Whether each image has a size of its own, as image files have."""
        source: object = self.source
        while (whole := getattr(source, "whole", None)) is not None:
            source = whole
        return getattr(source, "has_own_sizes", False)

    def native(self, index: int, stride: int) -> np.ndarray:
        """Image `index` without the transform, uint8 H x W x 3: its middle, cut to multiples of `stride`.

        A side that is shorter than the stride becomes 0.
        """
        return crop_to_multiples(self.source.read(index), stride)

    def load_all(self, indices: Indices) -> np.ndarray:
        """`images(indices)`, read by several threads, with a progress bar.

        Threads help, since Pillow releases the GIL while it decodes.
        """
        count, size = len(indices), self.image_size
        out = np.empty((count, size, size, 3), np.uint8)
        parts = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
        with ThreadPoolExecutor(WORKERS) as pool:
            chunks = pool.map(self.images, (indices[part] for part in parts))
            watched = shown(chunks, f"reading {self.name}", "images", count, len)
            for part, pixels in zip(parts, watched, strict=True):
                out[part] = pixels
        return out

    def _pixels(self, index: int) -> np.ndarray:
        """The pixels of image `index`. The first ones stay in memory, up to `KEPT` bytes."""
        pixels = self._kept.get(index)
        if pixels is None:
            pixels = self.transform.apply(self.source.read(index), self.source.where(index))
            if (len(self._kept) + 1) * pixels.nbytes <= KEPT:
                self._kept[index] = pixels
        return pixels


@dataclass(frozen=True)
class Subset(ImageSource):
    """Some images of a source, in their order there."""

    whole: ImageSource
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def read(self, index: int) -> Image.Image:
        return self.whole.read(int(self.places[index]))

    def where(self, index: int) -> str:
        return self.whole.where(int(self.places[index]))

    def files(self) -> Iterator[tuple[str, Path]]:
        return iter(())  # only the survey of the whole source is stored

    def look(self) -> Survey:
        whole = survey(self.whole)
        parts = [whole.fingerprint.encode(), self.places.astype("<i8").tobytes()]
        sides = whole.sides_of_images
        of_these = in_succession(sides[self.places]) if len(sides) else ()
        return replace(whole, fingerprint=digest_parts(parts), sides=of_these)


def subset_of(data: Dataset, rows: np.ndarray) -> Dataset:
    """The images at the indices `rows`, with their labels, as a data set."""
    labels = {name: getattr(data, name) for name in LABEL_FIELDS}
    present = {name: values[rows] for name, values in labels.items() if values is not None}
    return replace(data, source=Subset(data.source, rows), truth=None, **present)


def without_smaller(data: Dataset, side: int) -> Dataset:
    """The images whose shorter side has at least `side` px. Raises UserError if there are none.

    The headers of all files are read once, with the survey of the data.
    """
    sides = data.survey.sides_of_images
    if not len(sides):
        raise UserError(f"--smallest {side}: sizes of the images of {data.root} are not known")
    kept = np.flatnonzero(sides >= side)
    if len(kept) == len(data):
        return data
    if not len(kept):
        raise UserError(
            f"--smallest {side}: all images of {data.root} are smaller; the largest has {sides.max()} px"
        )
    left_out = [*data.left_out, f"{len(data) - len(kept):,} images smaller than {side} px"]
    if data.truth is not None:
        left_out.append("the pairs of pairs.csv")
    return replace(subset_of(data, kept), left_out=tuple(left_out))


def _columns_as_numbers(columns: np.ndarray, rows: np.ndarray) -> Factors:
    """Some rows of the `columns` of a `Dataset`. A text becomes its index among the sorted texts."""
    names = columns.dtype.names or ()
    kinds = tuple(KINDS[columns[name].dtype.kind] for name in names)
    values = np.empty((len(rows), len(names)))
    for k, name in enumerate(names):
        column = columns[name]
        if column.dtype.kind == "U":
            column = np.unique(column, return_inverse=True)[1]
        values[:, k] = column[rows]
    return Factors(values, names, kinds)


def in_floats(images: np.ndarray) -> torch.Tensor:
    """Images, uint8 B x H x W x 3, as float32 B x 3 x H x W in [-1, 1]."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
