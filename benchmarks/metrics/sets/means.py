"""Means of distances: over the seeds of few-shot samples, each of which draws the labelled images
anew, and over edits.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.group import Group
from benchmarks.metrics.sets.jackknife import BLOCKS, influences, shares_of
from reports.records.estimate import Error, Estimate, Influence, influences_on_mean


def mean_over_seeds(estimates: Sequence[Estimate], n: int, seeds: str) -> Estimate:
    """The mean of a number of n images over seeds, whose estimates are from the same units.

    Its sources of error are the draw of the labelled images, of the units `seeds`, and the sources
    of the estimates. The error is unknown if that of an estimate is; of one seed it does not cover
    the labelled images.
    """
    values = _values(estimates)
    sources = [
        Influence(of_seeds[0].units, np.mean([source.values for source in of_seeds], axis=0))
        for of_seeds in zip(*(estimate.influences for estimate in estimates), strict=False)
    ]
    drawn = influences_on_mean(values, seeds) if sources else ()
    return Estimate(float(np.mean(values)), (*drawn, *sources), n=n)


def spread_over_seeds(distances: Sequence[Estimate]) -> Mapping[str, Estimate]:
    """The standard deviation of a Frechet distance over seeds, with the standard error that it has
    for normal values.
    """
    count = len(distances)
    if count < 2:
        return {"fid_seed_std": Estimate(None, n=count, why="one seed has no spread")}
    spread = float(np.std(_values(distances), ddof=1))
    error = Error(spread / math.sqrt(2 * (count - 1)), math.inf)
    return {"fid_seed_std": Estimate(spread, error=error, n=count)}


def acceptance_rate(
    accepted: NDArray[np.int64], pool_blocks: NDArray[np.int64], pool: str, reference: str
) -> Mapping[str, Estimate]:
    """The share of a pool of latents that a classifier accepts, from their positions.

    `pool_blocks` are the blocks of the pool for a jackknife, and `pool` identifies them. The
    reference has no influence on it: its units are named as for the distances of the same samples.
    """
    shares, count = shares_of(pool_blocks), len(pool_blocks)
    rate = len(accepted) / count
    in_blocks = np.bincount(pool_blocks[accepted], minlength=BLOCKS) / count
    without = (rate - in_blocks) / (1 - shares)
    sources = (
        Influence(pool, influences(rate, without, shares)),
        Influence(reference, np.zeros(BLOCKS)),
    )
    return {"acceptance_rate": Estimate(rate, sources)}


def mean_over_edits(distances: Sequence[Estimate]) -> Estimate:
    """The mean of those distances that have an error, which are from the same units."""
    with_error = [distance for distance in distances if distance.influences]
    if not with_error:
        return Estimate(None, why="no distance has an error")
    mean = float(np.mean(_values(with_error)))
    influence = np.mean([distance.influences[0].values for distance in with_error], axis=0)
    sources = (Influence(with_error[0].influences[0].units, influence),)
    left_out = f"of {len(with_error)} of {len(distances)} edits"
    notes = (left_out,) if len(with_error) < len(distances) else ()
    return Estimate(mean, sources, n=sum(distance.n or 0 for distance in with_error), notes=notes)


def _values(estimates: Sequence[Estimate]) -> NDArray[np.float64]:
    return np.array([estimate.value for estimate in estimates], dtype=np.float64)


GROUPS: tuple[Group, ...] = (
    Group(("fid_seed_std",), "few-shot samples", spread_over_seeds),
    Group(("acceptance_rate",), "few-shot samples", acceptance_rate),
)
