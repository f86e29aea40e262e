"""The rows and dimensions of codes that a protocol takes before any number."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from benchmarks.metrics.codes.data import Codes, Ints, parts
from diffae.system.settings import Range

MOST = 10**9


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


def taken(codes: Codes, how: Rows, seed: int) -> tuple[Codes, tuple[str, ...]]:
    """The codes that a protocol takes, and notes of what it leaves out."""
    n, notes = len(codes.values), []
    if how.rows != "all" and how.most < n:
        order = np.arange(n) if how.rows == "first" else np.random.default_rng(seed).permutation(n)
        codes = rows_of(codes, np.sort(order[: how.most]))
        notes.append(f"{how.most:,} of {n:,} rows")
    if how.constant == "dropped":
        fitted = codes.values[parts(codes, seed).train]
        alive = np.ptp(fitted, axis=0) > 0 if len(fitted) else np.ones(codes.values.shape[1], bool)
        if not alive.all():
            codes = replace(codes, values=codes.values[:, alive])
            notes.append(f"constant dimensions left out: {(~alive).sum()} of {len(alive)}")
    return codes, tuple(notes)


def rows_of(codes: Codes, rows: Ints) -> Codes:
    """The codes of these rows, with all that is known of them."""
    labels = codes.labels and replace(codes.labels, values=codes.labels.values[rows])
    split, persons = (None if x is None else x[rows] for x in (codes.split, codes.persons))
    return Codes(codes.values[rows], labels, split, persons)
