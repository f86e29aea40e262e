"""Perceptual path length: how evenly images change along a path between two codes.

Karras et al., "A style-based generator architecture for generative adversarial networks", 2019, eq.
2, as in Appendix F of the paper:

    PPL = E[ eps^-2 d(G(interp(a, b; t)), G(interp(a, b; t + eps))) ],    t ~ U(0, 1)

The two images differ by less than one grey level, so nothing here may round them to 8 bits: at eps
= 1e-4 that alone turns a path length of 31 into 1147. Rounding to float32 is wrong by up to 5e-3 for
a pair and 2e-3 for the mean, most of it in the decoder (the packaged models at T = 20).

The lengths of pairs have a long tail, and a few of them can decide the mean. `statistics` gives three
numbers: the mean; the mean within the 1st and 99th percentile, which is what is published as PPL; and
the median, which a few pairs cannot move.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics.nearest import quantile_and_stderr
from reports.uncertainty import UNKNOWN, Influence, Uncertainty, of_mean

Code = TypeVar("Code")

MEAN, TRIMMED, MEDIAN = "mean", "trimmed mean", "median"

# Below this sine of the angle the two directions are parallel in float32.
PARALLEL = 1e-6


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 - t) a + t b for each sample: a and b [N, ...] and t [N]; used for z_sem.

    Computed in float64, because t and t + epsilon differ in their last float32 digits.
    """
    t = _per_sample(t, a)
    return ((1 - t) * a.double() + t * b.double()).to(a.dtype)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the great circle (Shoemake, 1985), over the flattened samples; used for x_T.

    sin((1 - t) theta) / sin(theta) a + sin(t theta) / sin(theta) b, a and b [N, ...] and t [N].
    Where a and b are parallel or opposite, theta says nothing and the sample is interpolated
    linearly.
    """
    wide_a, wide_b, t = a.double(), b.double(), _per_sample(t, a)
    cosine = torch.cosine_similarity(wide_a.flatten(1), wide_b.flatten(1), dim=1).clamp(-1, 1)
    theta = _per_sample(torch.acos(cosine), a)
    sine = torch.sin(theta)
    curved = torch.sin((1 - t) * theta) * wide_a + torch.sin(t * theta) * wide_b
    straight = (1 - t) * wide_a + t * wide_b
    return torch.where(sine < PARALLEL, straight, curved / sine.clamp(min=PARALLEL)).to(a.dtype)


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    """[N] as float64 [N, 1, ..., 1] on the device of `like`."""
    return values.to(like.device, torch.float64).view(-1, *[1] * (like.ndim - 1))


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

    `a` and `b` are what `interpolate` and `decode` take, N codes each; t is [N] in [0, 1], one
    position a pair. `distance` compares two batches of images and returns [N]. Returns float64 [N];
    PPL is its mean.
    """
    t = t.double()
    near = decode(interpolate(a, b, t))
    far = decode(interpolate(a, b, t + epsilon))
    return distance(near, far).double() / epsilon**2


def statistics(lengths: np.ndarray, units: str) -> dict[str, tuple[float, Uncertainty, int]]:
    """Mean, trimmed mean and median of the lengths [N] of pairs: value, uncertainty, pairs that count.

    `units` names the pairs, over which two runs can be compared.
    """
    x = np.asarray(lengths, dtype=np.float64)
    kept = within_percentiles(x)
    return {
        MEAN: (float(x.mean()), of_mean(x, units), len(x)),
        TRIMMED: (float(x[kept].mean()), _of_trimmed_mean(x, kept, units), int(kept.sum())),
        MEDIAN: (float(np.median(x)), _of_median(x, units), len(x)),
    }


def within_percentiles(lengths: np.ndarray) -> np.ndarray:
    """Which of [N] lengths the usual PPL keeps, bool [N]: from the 1st to the 99th percentile.

    As StyleGAN's code does it, the percentiles are lengths that occur, the lower and the higher neighbour:
    of 100 pairs or fewer all are kept.
    """
    low = np.percentile(lengths, 1, method="lower")
    high = np.percentile(lengths, 99, method="higher")
    return (low <= lengths) & (lengths <= high)


def _of_trimmed_mean(lengths: np.ndarray, kept: np.ndarray, units: str) -> Uncertainty:
    """The uncertainty of the mean of what is kept (Tukey and McLaughlin, 1963).

    A pair outside moves it as one at the edge would: influences are those of the winsorised lengths, over
    the share that is kept.
    """
    edges = lengths[kept].min(), lengths[kept].max()
    parts = of_mean(lengths.clip(*edges), units)
    return tuple(Influence(part.units, part.values / kept.mean()) for part in parts)


def _of_median(lengths: np.ndarray, units: str) -> Uncertainty:
    """The uncertainty of the median: a pair's influence is its side, scaled to Woodruff's error (1952)."""
    sides = np.sign(lengths - np.median(lengths))
    if len(lengths) < 2 or not sides.any():
        return UNKNOWN
    stderr = quantile_and_stderr(lengths, 0.5)[1]
    return (Influence(units, sides * stderr / np.linalg.norm(sides)),)
