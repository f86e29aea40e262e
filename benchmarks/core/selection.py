"""Images by position in a seeded order of a split: the same position always means the same image."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.runtime.digest import digest
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import System
from diffae.data import Dataset
from reports.records.uncertainty import UNKNOWN, Uncertainty, by_group, of_mean, units_of


@dataclass(frozen=True)
class Selection:
    """Images of a split in the run's order."""

    dataset: Dataset
    split: str
    order: np.ndarray
    seed: int

    def __len__(self) -> int:
        return len(self.order)

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the images at these positions, for store keys."""
        return {
            "data": self.dataset.fingerprint,
            "transform": self.dataset.transform.describe(),
            "split": self.split,
            "selection_seed": _stream(self.split, self.seed),
        }

    def batch(self, positions: np.ndarray) -> Tensor:
        """Images N x 3 x S x S in [-1, 1]."""
        return self.dataset.batch(self.order[positions])

    def seen_by(self, system: System) -> "Selection":
        """The same images at the size of a system."""
        if system.image_size is None:
            return self
        return replace(self, dataset=self.dataset.at(system.image_size))

    @property
    def labels(self) -> np.ndarray:
        """Attributes, bool N x A. Raises NotAvailable if the data has none."""
        if not self.dataset.labelled:
            raise NotAvailable(f"{self.dataset.name} has no attributes")
        return self.dataset.labels(self.order)

    @property
    def groups(self) -> np.ndarray:
        """The independent unit of each image, int N: its person where that is known, else itself."""
        known = self.dataset.identities
        return self.order if known is None else known[self.order]

    def uncertainty(self, influence: np.ndarray) -> Uncertainty:
        """The uncertainty of a number from the influence [N] of each image on it."""
        kind = "images" if self.dataset.identities is None else "persons"
        groups = self.groups
        return by_group(influence, groups, units_of(kind, self.dataset.fingerprint, digest(groups)))

    def mean(self, values: np.ndarray) -> tuple[float, Uncertainty]:
        """The mean of a score [N] over the images, and its uncertainty."""
        mean = float(np.mean(values, dtype=np.float64))
        parts = of_mean(values, "")
        return mean, self.uncertainty(parts[0].values) if parts else UNKNOWN

    def units(self, kind: str) -> str:
        """The name of independent units made of these images in their order, such as pairs."""
        return units_of(kind, self.dataset.fingerprint, digest(self.order))

    def blocks(self, count: int) -> np.ndarray:
        """The jackknife block of each image, int N; all images of a person are in one block."""
        _, member = np.unique(self.groups, return_inverse=True)
        return member % count


def select(dataset: Dataset, split: str, count: int, seed: int) -> Selection:
    """The first `count` images of a split in the order of `seed`, or all if there are fewer."""
    indices = dataset.indices(split)
    order = np.random.default_rng(_stream(split, seed)).permutation(indices)
    return Selection(dataset, split, order[:count], seed)


def _stream(split: str, seed: int) -> int | list[int]:
    """The seed of the order of a split.

    Data sets without a split of their own are divided by the permutation of default_rng(0). With
    seed 0, the split "all" would have that same order: all training images first. So "all" has a
    different stream of random numbers.
    """
    return [seed, 1] if split == "all" else seed
