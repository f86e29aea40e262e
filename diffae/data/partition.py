"""The splits of a data set: their numbers, and how images are divided at random."""

from collections.abc import Sequence

import numpy as np

TRAIN, VALID, TEST = 0, 1, 2
SPLITS = {"train": TRAIN, "valid": VALID, "test": TEST}
SEEDED_FRACTIONS = (0.6, 0.1, 0.3)
# Of data whose images are all test images, where some are needed to learn from.
HALVES, HALVED = (0.4, 0.1, 0.5), "half of the test images serve as training and validation images"


def stream(split: str, seed: int) -> int | list[int]:
    """The seed of the order of a split.

    Data sets without a split of their own are divided by the permutation of default_rng(0). With
    seed 0, the split "all" would have that same order: all training images first. So "all" has a
    different stream of random numbers.
    """
    return [seed, 1] if split == "all" else seed


def seeded_partition(
    groups: np.ndarray, seed: int, fractions: Sequence[float] = SEEDED_FRACTIONS
) -> np.ndarray:
    """Split groups at random: by default 60 % of the images to train, 10 % to valid, 30 % to test; int8 N.

    A group (the pictures of one person) is never divided; it goes to the split that its middle
    image falls in.
    """
    _, member, count = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(count))
    middle = np.empty(len(count))
    middle[order] = np.cumsum(count[order]) - count[order] / 2
    bounds = np.cumsum(fractions)[:-1] * len(groups)
    return np.searchsorted(bounds, middle, side="right").astype(np.int8)[member]
