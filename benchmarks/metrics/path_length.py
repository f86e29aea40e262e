"""Perceptual path length: how evenly images change along a path between two codes.

Karras et al., "A style-based generator architecture for generative adversarial networks", 2019, eq.
2, as in Appendix F of the paper:

    PPL = E[ eps^-2 d(G(interp(a, b; t)), G(interp(a, b; t + eps))) ],    t ~ U(0, 1)

The two images differ by less than one grey level, so nothing here may round them to 8 bits: at eps
= 1e-4 that alone turns a path length of 31 into 1147. Rounding to float32 is wrong by up to 5e-3
for a pair and 2e-3 for the mean, most of it in the decoder (the packaged models at T = 20).

The lengths of pairs have a long tail, and a few of them can decide the mean. `estimate_path_length`
gives three numbers: the mean; the mean within the 1st and 99th percentile, which is what is published
as PPL; and the median, which a few pairs cannot move.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from torch import Tensor

from benchmarks.metrics.group import Group
from benchmarks.metrics.nearest import estimate_quantile
from diffae.diffusion.interpolation import lerp
from reports.records.estimate import Estimate, Influence, Influences, influences_on_mean

Code = TypeVar("Code")

MEAN, TRIMMED, MEDIAN = "mean", "trimmed mean", "median"
ALL_KEPT = "nothing is trimmed of so few pairs: one of them can decide this mean; read the median"


def path_length(
    decode: Callable[[Code], Tensor],
    a: Code,
    b: Code,
    distance: Callable[[Tensor, Tensor], Tensor],
    t: Tensor,
    epsilon: float,
    interpolate: Callable[[Code, Code, Tensor], Code] = lerp,  # type: ignore[assignment]
) -> Tensor:
    """eps^-2 d(decode(interp(t)), decode(interp(t + eps))) for each pair of codes.

    `a` and `b` are N codes each, as `interpolate` and `decode` take them; t is [N] in [0, 1], one
    position per pair. `distance` compares two batches of images and returns [N]. Returns float64
    [N]; PPL is its mean.
    """
    t = t.double()
    near = decode(interpolate(a, b, t))
    far = decode(interpolate(a, b, t + epsilon))
    return distance(near, far).double() / epsilon**2


def estimate_path_length(lengths: np.ndarray, units: str) -> dict[str, Estimate]:
    """The mean, the trimmed mean and the median of the lengths [N] of pairs, by these names.

    `units` names the pairs, by which two runs can be compared.
    """
    x = np.asarray(lengths, dtype=np.float64)
    kept = within_percentiles(x)
    trimmed = _influences_on_trimmed_mean(x, kept, units)
    notes = (ALL_KEPT,) if kept.all() else ()
    return {
        MEAN: Estimate(float(x.mean()), influences_on_mean(x, units), n=len(x)),
        TRIMMED: Estimate(float(x[kept].mean()), trimmed, n=int(kept.sum()), notes=notes),
        MEDIAN: Estimate(float(np.median(x)), _influences_on_median(x, units), n=len(x)),
    }


def within_percentiles(lengths: np.ndarray) -> np.ndarray:
    """Mask of the lengths [N] that the usual PPL keeps, bool [N]: from the 1st to the 99th percentile.

    As in StyleGAN's code, the percentiles are lengths that occur, the lower and the higher
    neighbour: of 100 pairs or fewer all are kept.
    """
    low = np.percentile(lengths, 1, method="lower")
    high = np.percentile(lengths, 99, method="higher")
    return (low <= lengths) & (lengths <= high)


def _influences_on_trimmed_mean(lengths: np.ndarray, kept: np.ndarray, units: str) -> Influences:
    """The influences on the mean of the kept lengths (Tukey and McLaughlin, 1963).

    A pair outside counts like one at the edge: influences are those of the winsorised lengths,
    divided by the share that is kept.
    """
    edges = lengths[kept].min(), lengths[kept].max()
    sources = influences_on_mean(lengths.clip(*edges), units)
    return tuple(Influence(source.units, source.values / kept.mean()) for source in sources)


def _influences_on_median(lengths: np.ndarray, units: str) -> Influences:
    """The influences on the median; none for fewer than four pairs.

    A pair's influence is the side of the median on which it lies, scaled to Woodruff's error
    (1952).
    """
    sides, stderr = np.sign(lengths - np.median(lengths)), estimate_quantile(lengths, 0.5).stderr
    if stderr is None or not sides.any():
        return ()
    return (Influence(units, sides * stderr / np.linalg.norm(sides)),)


GROUPS = (Group(("ppl",), "paths between codes", estimate_path_length),)
