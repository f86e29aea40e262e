"""Images and their counterfactuals: the same images with one attribute added or removed.

The counterfactuals of portraits are drawn (`diffae.data.portraits`). Those of a folder of images are
listed in a table beside the images, pairs.csv. There `after` is `before` with the attribute added
(`on` is 1) or removed (`on` is 0):

    before,after,attribute,on,person
    a.png,edited/a-hat.png,Wearing_Hat,1,ada
    b.png,edited/b-bare.png,Wearing_Hat,0,bob
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from diffae.data.dataset import Dataset, Subset, subset_of
from diffae.data.names import Names
from diffae.data.readers.label_files import csv_rows
from diffae.data.tables import MISSING
from diffae.system.cli import did_you_mean, printable
from diffae.system.errors import UserError

if TYPE_CHECKING:
    import torch

PAIRS, COLUMNS, PERSON = "pairs.csv", ("before", "after", "attribute", "on"), "person"

# The rows of a table: (image, attribute, on) to the counterfactual and the person, images as indices.
Rows = dict[tuple[int, str, bool], tuple[int, str]]


@dataclass(frozen=True)
class Pairs:
    """n images of a data set, each with its counterfactual.

    `attribute` is added if `on`, else removed. `before` is int64 [n], indices into `dataset`.
    `others_changed` is bool [n, A]: the other attributes, of `dataset.attribute_names`, that the
    counterfactual changes too. `picture` returns the counterfactual of the image of an index, before
    the transform.
    """

    attribute: str
    on: bool
    before: np.ndarray
    others_changed: np.ndarray
    dataset: Dataset
    picture: Callable[[int], Image.Image]

    def __len__(self) -> int:
        return len(self.before)

    @property
    def column(self) -> int:
        """The index of the attribute among those of the data set."""
        return self.dataset.attribute_names.index(self.attribute)

    def after(self, positions: np.ndarray) -> torch.Tensor:
        """The counterfactuals of the images at `positions`, float32 B x 3 x S x S in [-1, 1].

        They pass through the transform of the data set.
        """
        rows = self.before[positions]
        source = _Counterfactuals(self.dataset.source, rows, self.picture)
        return replace(subset_of(self.dataset, rows), source=source).batch(range(len(rows)))


@dataclass(frozen=True)
class _Counterfactuals(Subset):
    picture: Callable[[int], Image.Image]

    def read(self, index: int) -> Image.Image:
        return self.picture(int(self.places[index]))


def pairs_of(
    dataset: Dataset, attribute: str, on: bool, count: int, seed: int, split: str = "test"
) -> Pairs:
    """The first `count` images of a split, in the order of `seed`, whose counterfactual is known.

    Images that have the state `on` already have none. There may be fewer than `count`.

    Raises UserError if the data has no counterfactuals, or none of `attribute`.
    """
    truth, names = dataset.truth, dataset.attribute_names
    if truth is None:
        raise UserError(f"{dataset.name}: no counterfactuals; {PAIRS} beside the images lists them")
    if attribute not in truth.attributes:
        near = did_you_mean(attribute, truth.attributes)
        raise UserError(f"{dataset.name}: no counterfactuals of {attribute!r:.60}{near}")
    changes = ((i, truth.changes(i, attribute, on)) for i in dataset.ordered(split, seed).tolist())
    pairs = list(islice(((i, changed) for i, changed in changes if changed), count))
    before = np.array([index for index, _ in pairs], np.int64)
    others_changed = np.zeros((len(pairs), len(names)), bool)
    for row, (_, changed) in enumerate(pairs):
        others_changed[row] = [name in changed and name != attribute for name in names]
    picture = partial(truth.picture, attribute=attribute, on=on)
    return Pairs(attribute, on, before, others_changed, dataset, picture)


# ----------------------------------------------------------------------------------------------
# pairs.csv


@dataclass(frozen=True)
class PairTable:
    """The `Truth` of a data set (`diffae.data.dataset`) by the rows of a table.

    `whole` contains the counterfactuals too: image `index` of the data set is its image `kept[index]`.
    """

    whole: Dataset
    kept: np.ndarray
    rows: Rows
    attributes: tuple[str, ...]

    def changes(self, index: int, attribute: str, on: bool) -> dict[str, bool] | None:
        """The attribute, and all others in which the labels of the two images differ.

        Raises UserError if the labels contradict the row, or the images differ in size.
        """
        data, before = self.whole, int(self.kept[index])
        if (before, attribute, on) not in self.rows:
            return None
        pair = before, self.rows[before, attribute, on][0]
        where = f"{data.root / PAIRS}: {' and '.join(map(data.name_of, pair))}"
        (width, height), size_after = (data.source.read(k).size for k in pair)
        if (width, height) != size_after:
            sizes = f"{width} x {height} and {size_after[0]} x {size_after[1]}"
            raise UserError(f"{where}: the images have {sizes} pixels")
        labels = data.labels(pair) if data.labelled else np.empty((2, 0), bool)
        was, now = (dict(zip(data.attribute_names, row.tolist(), strict=True)) for row in labels)
        if was.get(attribute, not on) == on or now.get(attribute, on) != on:
            raise UserError(f"{where}: the labels say otherwise of {attribute}")
        return {name: now[name] for name in now if now[name] != was[name]} | {attribute: on}

    def picture(self, index: int, attribute: str, on: bool) -> Image.Image:
        """The counterfactual that the row names."""
        return self.whole.source.read(self.rows[int(self.kept[index]), attribute, on][0])


def read_pairs(path: Path, images: Sequence[str]) -> Rows:
    """The rows of pairs.csv; `images` are the names of the images.

    Empty if there is no such file, or if it lists other things, as the pairs.csv of LFW does. Raises
    UserError for a row that is not a pair of images.
    """
    names, rows = Names(images), Rows()
    header, *lines = (csv_rows(path) if os.path.lexists(path) else []) or [[]]
    columns = [name.lower() for name in header]
    if not {*COLUMNS} & {*columns} and not any(map(names.places, header)):
        return rows
    if sorted(columns) not in (sorted(COLUMNS), sorted((*COLUMNS, PERSON))):
        needed = f"{', '.join(COLUMNS)}, and {PERSON} if known"
        raise UserError(f"{path}: line 1: the columns are {needed}, not {', '.join(header):.80}")
    for line, values in enumerate(lines, 2):
        where, cells = f"{path}: line {line}", dict(zip(columns, values, strict=False))
        complete = len(values) == len(header) and MISSING.isdisjoint(map(str.lower, values))
        if not complete or cells["on"] not in ("0", "1"):
            raise UserError(f"{where}: needs {len(header)} values; on is 1 (added) or 0 (removed)")
        before, after = (names.only(cells[k], where, " that have labels") for k in COLUMNS[:2])
        key = before, printable(cells["attribute"]), cells["on"] == "1"
        if before == after or key in rows:
            raise UserError(f"{where}: {images[before]} has another counterfactual, or is its own")
        rows[key] = after, cells.get(PERSON, str(before))
    return rows


def with_pairs(whole: Dataset, rows: Rows) -> Dataset:
    """The data set with the pairs of `rows`, without the images that are only counterfactuals."""
    only_after = {after for after, _ in rows.values()} - {before for before, _, _ in rows}
    kept = np.setdiff1d(np.arange(len(whole)), [*only_after])
    left_out = whole.left_out
    if only_after:
        left_out += (f"images that are only `after` in {PAIRS}: {len(only_after):,}",)
    truth = PairTable(whole, kept, rows, tuple(dict.fromkeys(a for _, a, _ in rows)))
    return replace(subset_of(whole, kept), truth=truth, left_out=left_out)


def people_of(rows: Rows, count: int, identities: np.ndarray | None) -> np.ndarray | None:
    """The person of each of `count` images, int64; without `rows` the `identities` of the labels.

    Images show the same person if they are a pair, if their rows have the same `person`, or if their
    `identities` are equal.
    """
    if not rows:
        return identities
    from scipy.cluster.hierarchy import DisjointSet

    same_person = DisjointSet(range(count))
    # by the `person` of a row, a text, or by the identity, an int
    first_image = dict[str | int, int]()
    for (before, _, _), (after, person) in rows.items():
        same_person.merge(before, after)
        same_person.merge(before, first_image.setdefault(person, before))
    for index, identity in enumerate(() if identities is None else identities.tolist()):
        same_person.merge(index, first_image.setdefault(identity, index))
    return np.array([same_person[index] for index in range(count)], np.int64)
