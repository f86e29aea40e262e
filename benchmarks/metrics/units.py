"""The images that numbers are estimated from, and the independent units that they form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.runtime.digest import digest
from reports.records.estimate import (
    Estimate,
    Influences,
    Parameter,
    Scores,
    influences_of_groups,
    influences_on_mean,
    units_of,
)


@dataclass(frozen=True, eq=False)
class Units:
    """n images: each is a unit of its own, or all images of one person are a unit.

    data     identifies the data set; numbers are paired where data and images are the same
    images   indices [n] in the data set
    persons  who is in each image [n], where that is known
    """

    data: str
    images: NDArray[np.integer]
    persons: NDArray[np.integer] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def kind(self) -> str:
        """What errors are over: "images" or "persons"."""
        return "images" if self.persons is None else "persons"

    @property
    def groups(self) -> NDArray[np.integer]:
        """The unit [n] that each image belongs to."""
        return self.images if self.persons is None else self.persons

    @cached_property
    def name(self) -> str:
        """What identifies the units of influences on a number of these images."""
        return units_of(self.kind, self.data, digest(self.groups))

    def named(self, kind: str, *parameters: Parameter) -> str:
        """What identifies units made of these images in their order, such as blocks or pairs."""
        return units_of(kind, self.data, digest(self.images), *parameters)

    def blocks(self, count: int) -> NDArray[np.int64]:
        """The block [n] of each image for a jackknife; all images of a person are in one block."""
        member: NDArray[np.int64] = np.unique(self.groups, return_inverse=True)[1]
        return member % count

    def at(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Units":
        """Some of the images."""
        persons = None if self.persons is None else self.persons[rows]
        return Units(self.data, self.images[rows], persons)

    @staticmethod
    def joined(parts: Sequence["Units"]) -> "Units":
        """The images of several, one after another."""
        persons = [part.persons for part in parts if part.persons is not None]
        images = np.concatenate([part.images for part in parts])
        return Units(parts[0].data, images, np.concatenate(persons) if persons else None)

    def influences(self, influence: NDArray[np.floating]) -> Influences:
        """The influences of the units, from the influence [n] of each image."""
        return influences_of_groups(influence, self.groups, self.name)

    def mean(self, scores: NDArray[np.number | np.bool_]) -> Estimate:
        """The mean of a score [n] over the images."""
        mean = float(np.mean(scores, dtype=np.float64))
        influences = influences_on_mean(scores, self.name, self.groups)
        return Estimate(mean, influences, n=len(scores), scores=Scores(self.images, scores))

    def mean_of(self, kind: str, scores: NDArray[np.floating]) -> Estimate:
        """The mean of a score [k] over units of a kind that these images form, such as pairs."""
        mean = float(np.mean(scores, dtype=np.float64))
        return Estimate(mean, influences_on_mean(scores, self.named(kind)), n=len(scores))

    def means(self, scores: Mapping[str, NDArray[np.number | np.bool_]]) -> dict[str, Estimate]:
        """The mean of each score [n] over the images, by its name."""
        return {name: self.mean(values) for name, values in scores.items()}
