"""The codes of images with their labels, as numbers of representations take them."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["binary", "classes", "real"]

TRAIN, VALID, TEST = 0, 1, 2
HALF, FIFTH = 0.5, 0.2


@dataclass(frozen=True)
class Labels:
    """K labels of n images, in columns.

    A binary label is 0 or 1, one of `classes` a whole number from 0 up, and a "real" one any number.
    """

    values: Floats  # n x K
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]

    def of_kind(self, *kinds: Kind) -> list[int]:
        """The columns of these kinds."""
        return [k for k, kind in enumerate(self.kinds) if kind in kinds]


@dataclass(frozen=True)
class Codes:
    """The codes of n images, and what is known of the images.

    `split` says of each image TRAIN, VALID or TEST, and `persons` who is in it: pictures of one
    person are never in both parts of a draw, and errors are over persons.
    """

    values: Floats  # n x d
    labels: Labels | None = None
    split: Ints | None = None
    persons: Ints | None = None


@dataclass(frozen=True)
class Part:
    """Rows of codes: what is fitted on `train` is chosen on `valid` and scored on `test`."""

    train: Ints
    valid: Ints
    test: Ints


def parts(codes: Codes, seed: int) -> Part:
    """The rows of a split: the file's own, else a seeded half to fit on and the other to score on.

    The half is drawn by person where persons are known, and a fifth of it is for choices. Where
    a split has no rows for choices, they are a fifth of its training rows.
    """
    n = len(codes.values)
    who = np.arange(n) if codes.persons is None else codes.persons
    if codes.split is None:
        train, test = _divided(np.arange(n), who, HALF, seed)
        return Part(*_divided(train, who, FIFTH, seed), test)
    train, valid, test = (np.flatnonzero(codes.split == part) for part in (TRAIN, VALID, TEST))
    if not len(valid):
        train, valid = _divided(train, who, FIFTH, seed)
    return Part(train, valid, test)


def _divided(rows: Ints, who: Ints, share: float, seed: int) -> tuple[Ints, Ints]:
    """Rows in two parts, the second of about `share` of them, with each person in one part."""
    _, member, count = np.unique(who[rows], return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, len(rows)]).permutation(len(count))
    before = np.empty(len(count))
    before[order] = np.cumsum(count[order]) - count[order] / 2
    second = before[member] < share * len(rows)
    return rows[~second], rows[second]


@dataclass(frozen=True)
class Found:
    """A number of codes, how many images it is of, and its standard error.

    `stderr` is None where none is known; `over` says what it is the spread over: "images",
    "persons", "fits", "votes". `notes` are lines to be printed with it, such as how many constant
    dimensions were left out. Where the error is a sum over images, `influence` has the part of each
    of `rows`, and `fits` the values of several fits, over which it is the error of their mean.
    """

    value: float
    n: int
    stderr: float | None = None
    over: str = ""
    notes: tuple[str, ...] = ()
    influence: Floats | None = field(default=None, compare=False, repr=False)
    rows: Ints | None = field(default=None, compare=False, repr=False)
    fits: tuple[float, ...] = ()
