"""Images and their counterfactuals: the same with one attribute added or removed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from diffae.data.dataset import Dataset, Truth
from diffae.data.factors.combinations import Part, part_of
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Pairs:
    """n images of a data set, each with its counterfactual.

    `attribute` is added if `on`, else removed. `before` is int64 [n], indices into `dataset`;
    `people` int64 [n], the identity of each, or its index where identities are unknown.
    `others_changed` is bool [n, A] over `dataset.attribute_names`: which other attributes the
    counterfactual changes too.
    """

    attribute: str
    on: bool
    before: np.ndarray
    people: np.ndarray
    others_changed: np.ndarray
    dataset: Dataset

    def __len__(self) -> int:
        return len(self.before)

    def after(self, positions: np.ndarray) -> torch.Tensor:
        """The counterfactuals of the images at `positions`, float32 B x 3 x S x S in [-1, 1].

        They pass through the transform of the data set.
        """
        truth, rows = self.dataset.truth, self.before[positions]
        assert truth is not None
        source = _Counterfactuals(self.dataset.source, rows, truth, self.attribute, self.on)
        return replace(part_of(self.dataset, rows), source=source).batch(range(len(rows)))


@dataclass(frozen=True)
class _Counterfactuals(Part):
    truth: Truth
    attribute: str
    on: bool

    def read(self, index: int) -> Image.Image:
        return self.truth.picture(int(self.places[index]), self.attribute, self.on)


def pairs_of(
    dataset: Dataset, attribute: str, on: bool, count: int, seed: int, split: str = "test"
) -> Pairs:
    """The first `count` images of a split, in the order of `seed`, that have not the state `on` yet
    and whose counterfactual is known; or all if there are fewer.

    Raises UserError where the data has no counterfactuals, or none of `attribute`.
    """
    truth, names = dataset.truth, dataset.attribute_names
    if truth is None:
        how = "a folder of images with pairs.csv does (`diffae-bench docs data`)"
        raise UserError(
            f"{dataset.name}: does not say what its images are with an attribute changed; {how}"
        )
    if attribute not in truth.attributes:
        near = did_you_mean(attribute, truth.attributes)
        raise UserError(f"{dataset.name}: no counterfactuals of {attribute!r:.60}{near}")
    order = dataset.ordered(split, seed)
    if attribute in names:
        order = order[dataset.labels(order)[:, names.index(attribute)] != on]
    known = ((i, truth.changes(int(i), attribute, on)) for i in order)
    found = [*islice(((i, changed) for i, changed in known if changed is not None), count)]
    before = np.array([i for i, _ in found], np.int64)
    others = [[b in changed and b != attribute for b in names] for _, changed in found]
    identities = dataset.identities
    return Pairs(
        attribute,
        on,
        before,
        before if identities is None else identities[before],
        np.array(others, bool).reshape(len(found), len(names)),
        dataset,
    )
