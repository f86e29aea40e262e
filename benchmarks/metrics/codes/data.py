"""The codes of images with their labels, as numbers of representations take them, and their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.units import Units
from benchmarks.runtime.digest import digest
from diffae.system.errors import UserError
from diffae.system.settings import Range

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = str  # of labels: "binary", "classes", "ordered" or "real"
DISCRETE: tuple[Kind, ...] = ("binary", "classes", "ordered")
NUMERIC: tuple[Kind, ...] = ("ordered", "real")

TRAIN, VALID, TEST = 0, 1, 2
HALF, FIFTH = 0.5, 0.2
MOST = 10**9  # rows
NO_PART = "the split has no rows for training, or none for the test (a fit needs two)"
NO_CHOICE = "the split has no rows for choices: give images of more persons"


@dataclass(frozen=True)
class LabelColumns:
    """K labels of n images, in columns.

    A binary label is 0 or 1, one of `classes` a whole number from 0 up, and a "real" one any number.
    An "ordered" one is of few numbers that are evenly spaced: classes that can also be regressed on.
    """

    values: Floats  # n x K
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]

    def of_kind(self, *kinds: Kind) -> list[int]:
        """The columns of these kinds."""
        return [k for k, kind in enumerate(self.kinds) if kind in kinds]

    def of(self, columns: Sequence[int]) -> "LabelColumns":
        """The labels in these columns."""
        names = tuple(self.names[k] for k in columns)
        return LabelColumns(self.values[:, columns], names, tuple(self.kinds[k] for k in columns))


@dataclass(frozen=True)
class Codes:
    """The codes of n images, and what is known of the images.

    labels   their labels
    split    TRAIN, VALID or TEST for each image
    persons  who is in each image: pictures of one person are never in both parts of a draw, and
             errors are over persons
    shape    C x H x W of maps, which `values` have in this order
    data     identifies the data set that the images are of
    images   their indices [n] in it; 0, 1, ... if not given
    """

    values: Floats  # n x d
    labels: LabelColumns | None = None
    split: Ints | None = None
    persons: Ints | None = None
    shape: tuple[int, int, int] | None = None
    data: str = ""
    images: Ints | None = None

    @property
    def y(self) -> Floats:
        """The values of the labels, n x K; K is 0 without labels."""
        return np.empty((len(self.values), 0)) if self.labels is None else self.labels.values

    @property
    def classes(self) -> Ints:
        """The labels, n x K, each numbered from 0 by its values in ascending order."""
        numbered = [np.unique(column, return_inverse=True)[1] for column in self.y.T]
        return np.stack(numbered, axis=1)

    @property
    def who(self) -> Ints:
        """The person [n] in each image, or the row of the image where persons are not known."""
        return np.arange(len(self.values)) if self.persons is None else self.persons

    @property
    def units(self) -> Units:
        """The independent units of the images, by which numbers of them are paired."""
        images = np.arange(len(self.values)) if self.images is None else self.images
        return Units(self.data, images, self.persons)

    @property
    def digests(self) -> tuple[str | None, ...]:
        """Hashes of the arrays, the kinds and names of labels, and the shape of maps, for keys of the store."""
        arrays = (self.values, self.y, self.split, self.persons)
        labels = (*self.labels.kinds, *self.labels.names) if self.labels else ()
        shape = () if self.shape is None else (str(self.shape),)
        return (*(None if array is None else digest(array) for array in arrays), *labels, *shape)

    def of(self, rows: Ints) -> "Codes":
        """The codes of these rows, with all that is known of them."""
        labels = self.labels and replace(self.labels, values=self.labels.values[rows])
        split = None if self.split is None else self.split[rows]
        persons = None if self.persons is None else self.persons[rows]
        images = np.asarray(self.units.images[rows])
        return Codes(self.values[rows], labels, split, persons, self.shape, self.data, images)


# ----------------------------------------------------------------------------------------------
# Rows


@dataclass(frozen=True)
class SplitRows:
    """Rows of codes: what is fitted on `train` is chosen on `valid` and scored on `test`."""

    train: Ints
    valid: Ints
    test: Ints

    @property
    def fitted(self) -> Ints:
        """The rows to fit on where nothing is chosen: those of `train` and `valid`, ascending."""
        return np.union1d(self.train, self.valid) if len(self.valid) else self.train


def parts(codes: Codes, seed: int) -> SplitRows:
    """The rows of a split: the file's own, else a seeded half to fit on and the other to score on.

    The half is drawn by person where persons are known, and a fifth of it is for choices. Where
    a split has no rows for choices, they are a fifth of its training rows.
    """
    who = codes.who
    if codes.split is None:
        train, test = _divided(np.arange(len(who)), who, HALF, seed)
        return SplitRows(*_divided(train, who, FIFTH, seed), test)
    train, valid, test = (np.flatnonzero(codes.split == part) for part in (TRAIN, VALID, TEST))
    if not len(valid):
        train, valid = _divided(train, who, FIFTH, seed)
    return SplitRows(train, valid, test)


def _divided(rows: Ints, who: Ints, share: float, seed: int) -> tuple[Ints, Ints]:
    """Rows in two parts, the second of about `share` of them, with each person in one part."""
    _, member, count = np.unique(who[rows], return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, len(rows)]).permutation(len(count))
    before = np.empty(len(count))
    before[order] = np.cumsum(count[order]) - count[order] / 2
    second = before[member] < share * len(rows)
    return rows[~second], rows[second]


@dataclass(frozen=True)
class Rows:
    """Which rows and dimensions a protocol takes: the section `codes` of its file.

    rows      "all", the "first" or as many "at random", which a seed draws
    most      how many rows at most, unless all are taken
    constant  dimensions that are constant on the rows that are fitted on are "dropped" or "kept"
    """

    rows: Literal["all", "first", "at random"] = "all"
    most: Annotated[int, Range(1, MOST)] = MOST
    constant: Literal["dropped", "kept"] = "dropped"


def taken(codes: Codes, choices: Rows, seed: int) -> tuple[Codes, tuple[str, ...]]:
    """The codes that a protocol takes, and notes of what it leaves out."""
    n, notes = len(codes.values), []
    if choices.rows != "all" and choices.most < n:
        order = (
            np.arange(n) if choices.rows == "first" else np.random.default_rng(seed).permutation(n)
        )
        codes = codes.of(np.sort(order[: choices.most]))
        notes.append(f"{choices.most:,} of {n:,} rows")
    if choices.constant == "dropped":
        fitted = codes.values[parts(codes, seed).train]
        alive = np.ptp(fitted, axis=0) > 0 if len(fitted) else np.ones(codes.values.shape[1], bool)
        if not alive.all():
            codes = replace(codes, values=codes.values[:, alive], shape=None)
            notes.append(f"constant dimensions left out: {(~alive).sum()} of {len(alive)}")
    return codes, tuple(notes)


@dataclass(frozen=True)
class Split:
    """The rows of a number that fits or chooses something.

    rows  those that are fitted on and those that are scored: "held out": the parts of the file, or
          a seeded half each; "drawn": 10,000 and 5,000 at random, without overlap, in this ratio
          where there are fewer; "five folds": four of five (shuffled with seed 0) and the fifth, in
          turn; "in-sample": all rows are both
    """

    rows: Literal["held out", "drawn", "five folds", "in-sample"] = "held out"

    def folds(self, codes: Codes, seed: int) -> list[SplitRows]:
        """The rows of each fit, of its choices and of its scores.

        Raises UserError if a file's split has no rows for one of them.
        """
        rows = np.arange(n := len(codes.values))
        if self.rows == "in-sample":
            return [SplitRows(rows, rows, rows)]
        if self.rows == "five folds":
            from sklearn.model_selection import KFold

            folds = KFold(5, shuffle=True, random_state=0).split(rows)
            splits = [np.where(np.isin(rows, test), TEST, TRAIN) for _, test in folds]
            return [parts(replace(codes, split=split), seed) for split in splits]
        if self.rows == "drawn":
            order = np.random.default_rng([seed, n]).permutation(n)
            size = min(10_000, n * 2 // 3)
            return [SplitRows(order[:size], order[:0], order[size : size + 5_000])]
        part = parts(codes, seed)
        if len(part.fitted) < 2 or not len(part.test):
            raise UserError(NO_PART)
        return [part]
