"""Images and their counterfactuals: the same with one attribute added or removed.

Portraits are drawn again (`diffae.data.portraits`). A folder of images may have a table of others
beside them, pairs.csv; `after` is `before` with the attribute added (`on` is 1) or removed (0):

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

from diffae.data.dataset import Dataset
from diffae.data.factors.combinations import Subset, subset_of
from diffae.data.names import Names
from diffae.data.readers.label_files import csv_rows
from diffae.data.tables import MISSING
from diffae.system.cli import did_you_mean, printable
from diffae.system.errors import UserError

if TYPE_CHECKING:
    import torch

PAIRS, COLUMNS, PERSON = "pairs.csv", ("before", "after", "attribute", "on"), "person"

# The rows of a table: by image, attribute and state, the place of the counterfactual and the person.
Rows = dict[tuple[int, str, bool], tuple[int, str]]


@dataclass(frozen=True)
class Pairs:
    """n images of a data set, each with its counterfactual.

    `attribute` is added if `on`, else removed. `before` is int64 [n], indices into `dataset`;
    `people` int64 [n], the identity of each, or its index where identities are unknown.
    `others_changed` is bool [n, A] over `dataset.attribute_names`: which other attributes the
    counterfactual changes too. `picture` gives that of an image by its index, before the transform.
    """

    attribute: str
    on: bool
    before: np.ndarray
    people: np.ndarray
    others_changed: np.ndarray
    dataset: Dataset
    picture: Callable[[int], Image.Image]

    def __len__(self) -> int:
        return len(self.before)

    @property
    def column(self) -> int:
        """The place of the attribute among those of the data set."""
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
    """The first `count` images of a split, in the order of `seed`, that have not the state `on` yet
    and whose counterfactual is known; or all if there are fewer.

    Raises UserError where the data has no counterfactuals, or none of `attribute`.
    """
    truth, names = dataset.truth, dataset.attribute_names
    if truth is None:
        raise UserError(f"{dataset.name}: no counterfactuals; {PAIRS} beside the images lists them")
    if attribute not in truth.attributes:
        near = did_you_mean(attribute, truth.attributes)
        raise UserError(f"{dataset.name}: no counterfactuals of {attribute!r:.60}{near}")
    changes = ((i, truth.changes(i, attribute, on)) for i in dataset.ordered(split, seed).tolist())
    found = dict(islice((pair for pair in changes if pair[1]), count))
    before = np.array([*found], np.int64)
    others = [[b in changed and b != attribute for b in names] for changed in found.values()]
    changed = np.array(others, bool).reshape(len(found), len(names))
    people = before if dataset.identities is None else dataset.identities[before]
    picture = partial(truth.picture, attribute=attribute, on=on)
    return Pairs(attribute, on, before, people, changed, dataset, picture)


# ----------------------------------------------------------------------------------------------
# pairs.csv


@dataclass(frozen=True)
class PairTable:
    """`diffae.data.dataset.Truth` by the rows of a table.

    `whole` has the counterfactuals too; image `index` of the data set is image `kept[index]` of it.
    """

    whole: Dataset
    kept: np.ndarray
    rows: Rows
    attributes: tuple[str, ...]

    def changes(self, index: int, attribute: str, on: bool) -> dict[str, bool] | None:
        """The attribute, and others in which the labels differ.

        Raises UserError if labels contradict the row, or the images have different sizes.
        """
        data, before = self.whole, int(self.kept[index])
        if (before, attribute, on) not in self.rows:
            return None
        pair = before, self.rows[before, attribute, on][0]
        where = f"{data.root / PAIRS}: {' and '.join(map(data.name_of, pair))}"
        (a, b), (c, d) = (data.source.read(k).size for k in pair)
        if (a, b) != (c, d):
            raise UserError(f"{where}: the images have {a} x {b} and {c} x {d} pixels")
        labels = data.labels(pair) if data.labelled else np.empty((2, 0), bool)
        was, now = (dict(zip(data.attribute_names, row.tolist(), strict=True)) for row in labels)
        if was.get(attribute, not on) == on or now.get(attribute, on) != on:
            raise UserError(f"{where}: the labels say otherwise of {attribute}")
        return {name: now[name] for name in now if now[name] != was[name]} | {attribute: on}

    def picture(self, index: int, attribute: str, on: bool) -> Image.Image:
        """The image of the row."""
        return self.whole.source.read(self.rows[int(self.kept[index]), attribute, on][0])


def read_pairs(path: Path, images: Sequence[str]) -> Rows:
    """The rows of a table of pairs of images, by their places.

    Empty without such a file, or if it lists other things, as LFW's does. Raises UserError for a row
    that is no pair.
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
    """A data set without those images that are only counterfactuals, and with the pairs of `rows`."""
    extra = {after for after, _ in rows.values()} - {before for before, _, _ in rows}
    kept = np.setdiff1d(np.arange(len(whole)), [*extra])
    told = [f"images that are only `after` in {PAIRS}: {len(extra):,}"] * bool(extra)
    truth = PairTable(whole, kept, rows, tuple(dict.fromkeys(a for _, a, _ in rows)))
    return replace(subset_of(whole, kept), truth=truth, left_out=(*whole.left_out, *told))


def people_of(rows: Rows, count: int, known: np.ndarray | None) -> np.ndarray | None:
    """The person of each of `count` images, int64: the same in a pair, in rows of one `person`, and
    where identities are `known` to be equal. What is known, without rows.
    """
    if not rows:
        return known
    from scipy.cluster.hierarchy import DisjointSet

    linked, first = DisjointSet(range(count)), dict[object, int]()
    for (before, _, _), (after, person) in rows.items():
        linked.merge(before, after)
        linked.merge(before, first.setdefault(person, before))
    for index, person in enumerate(() if known is None else known.tolist()):
        linked.merge(index, first.setdefault(person, index))
    return np.array([linked[index] for index in range(count)], np.int64)
