"""Scores by batches of images that share one label: the FactorVAE and the beta-VAE score.

Both need images of all combinations of the labels, and draw combinations with equal weight. A label
is drawn, and a batch of images in which it is fixed; from the batch, a classifier tells which label
it was.

    factor_vae  a vote is the axis of the smallest variance in the batch, as a share of the axis's
                variance; the classifier takes the label with most votes of an axis (Kim and Mnih, 2018)
    beta_vae    a logistic regression on the mean |z1 - z2| over pairs that share the label (Higgins
                et al., 2017)
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from benchmarks.metrics.codes import axes
from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Ints, Split, SplitRows
from benchmarks.metrics.codes.number import single
from diffae.system.settings import Range
from reports.records.estimate import Error, Estimate

CHUNK = 256  # batches


@dataclass(frozen=True)
class Votes(axes.Concepts):
    """Batches and votes.

    images  train votes are of one part of the images and scored votes of the other ("held out"), or
            both of "all"
    batch   images of a batch
    train   train votes
    test    votes that are scored
    tables  the mean over so many tables of votes, each with halves of its own where the file has no
            split
    """

    images: Literal["held out", "all"] = "held out"
    batch: Annotated[int, Range(2, 65_536)] = 64
    train: Annotated[int, Range(1, 10**7)] = 10_000
    test: Annotated[int, Range(1, 10**7)] = 5_000
    tables: Annotated[int, Range(1, 1000)] = 5


@dataclass(frozen=True)
class FactorVae(Votes):
    """The FactorVAE score: the fields of Votes, and

    pruned  axes of a smaller standard deviation are left out (in units of the code); at 0, an axis
            that is constant gets every vote
    """

    pruned: Annotated[float, Range(0, 10**6)] = 0.0


@dataclass(frozen=True)
class BetaVae(Votes):
    """The beta-VAE score: the fields of Votes, of which votes are points of a regression, and

    scaled  axes are divided by their standard deviation
    """

    scaled: bool = True


class _Batches:
    """Batches of some images with codes [n, d] and labels [n, F], in which one label is fixed."""

    def __init__(self, z: Floats, y: Ints, random: np.random.Generator) -> None:
        self.z, self.y, self.random = z, y, random
        _, member, count = np.unique(y, axis=0, return_inverse=True, return_counts=True)
        self.weights = 1 / count[member] / len(count)

    def points(self, choices: Votes, count: int) -> tuple[Floats, Ints]:
        """A point [count, d] of each batch, and the label that is fixed in it."""
        fixed = self.random.integers(self.y.shape[1], size=count)
        points = np.empty((count, self.z.shape[1]))
        for f in range(self.y.shape[1]):
            places = np.flatnonzero(fixed == f)
            for batches in np.array_split(places, len(places) // CHUNK + 1):
                values = 1 if isinstance(choices, FactorVae) else choices.batch
                first = self.random.choice(len(self.z), (len(batches), values), p=self.weights)
                first = np.broadcast_to(first, (len(batches), choices.batch))
                second = self.z[self._alike(f, first)]
                if isinstance(choices, FactorVae):
                    points[batches] = second.var(axis=1, ddof=1)
                else:
                    points[batches] = np.abs(self.z[first] - second).mean(axis=1)
        return points, fixed

    def _alike(self, f: int, first: Ints) -> Ints:
        """Images that share label f with the given ones."""
        label, second = self.y[:, f], np.empty_like(first)
        for value in np.unique(label[first]):
            rows, places = np.flatnonzero(label == value), label[first] == value
            weights = self.weights[rows] / self.weights[rows].sum()
            second[places] = self.random.choice(rows, places.sum(), p=weights)
        return second


def _estimate(codes: Codes, choices: Votes, seed: int) -> Estimate:
    y = codes.classes
    axes.needs("a score by votes", "labels", y.shape[1])
    scores = [
        _of_table(codes, y, choices, choices.tables * seed + table)
        for table in range(choices.tables)
    ]
    value = float(np.mean(scores))
    variance = value * (1 - value) / (choices.tables * choices.test)
    if (
        choices.tables > 1
    ):  # tables have votes of their own, so that their variance has that of votes
        variance = max(variance, float(np.var(scores, ddof=1)) / choices.tables)
    notes = ["error of tables and votes: images are redrawn from one set"]
    if choices.images == "all":
        notes.append("train votes and scored votes are of the same images")
    if not value and isinstance(choices, FactorVae) and choices.pruned:
        notes.append(
            f"0 as in the protocol's code: no dimension has a deviation of {choices.pruned:g}"
        )
    error = Error(float(np.sqrt(variance)), math.inf)
    return Estimate(value, error=error, n=len(y), notes=(*notes, *choices.notes))


def _of_table(codes: Codes, y: Ints, choices: Votes, seed: int) -> float:
    """The share of batches whose label is told, by one table of votes or one regression."""
    rows = np.arange(len(y))
    drawn = choices.images == "held out"
    part = Split().folds(codes, seed)[0] if drawn else SplitRows(rows, rows[:0], rows)
    train, test = np.concatenate([part.train, part.valid]), part.test
    z, random = choices.axes(codes.values, train), np.random.default_rng(seed)
    spread = z[train].std(axis=0, ddof=1)
    if isinstance(choices, FactorVae):
        z, spread = z[:, spread >= choices.pruned], spread[spread >= choices.pruned]
    elif isinstance(choices, BetaVae) and choices.scaled:
        z = z / np.where(spread > 0, spread, 1)
    if not z.shape[1]:
        return 0.0  # as disentanglement_lib factor_vae.py l.68-71
    seen, labels = _Batches(z[train], y[train], random).points(choices, choices.train)
    new, truth = _Batches(z[test], y[test], random).points(choices, choices.test)
    if isinstance(choices, BetaVae):
        from sklearn.linear_model import LogisticRegression

        return float(LogisticRegression(max_iter=1000).fit(seen, labels).score(new, truth))
    with np.errstate(invalid="ignore"):  # a constant axis has 0 / 0, which argmin takes for least
        votes, scored = (np.argmin(points / spread**2, axis=1) for points in (seen, new))
    table = np.zeros((y.shape[1], z.shape[1]))
    np.add.at(table, (labels, votes), 1)
    return float(np.mean(table.argmax(axis=0)[scored] == truth))


GROUPS = (
    single("factor_vae", _estimate, FactorVae, DISCRETE, combinations=True, error_over="votes"),
    single("beta_vae", _estimate, BetaVae, DISCRETE, combinations=True, error_over="votes"),
)
