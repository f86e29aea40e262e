"""Diversity: how far apart several draws from one code are.

The mean distance between two draws (Zhu et al., "Toward multimodal image-to-image translation",
2017, with LPIPS) and the standard deviation of a pixel over the draws (paper, Fig. 3).
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics.group import Group
from benchmarks.metrics.pixel import psnr, squared_error, to_unit
from benchmarks.metrics.units import Units
from reports.records.estimate import Estimate

OF_POSTERIOR = ("seed_variance", "seed_bias", "psnr", "psnr_of_mean")


def ring_distance(draws: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Mean distance between consecutive draws, including from the last to the first.

    Takes K x N x 3 x S x S in [-1, 1] and returns [N]. The draws are exchangeable, so this
    estimates the mean over all pairs with K distances instead of K (K - 1) / 2.
    """
    pairs = zip(draws, draws.roll(-1, 0), strict=True)
    return torch.stack([distance(a, b) for a, b in pairs]).mean(0)


def std_image(draws: Tensor) -> Tensor:
    """Standard deviation over draws (K - 1 in the denominator) in [0, 1] units.

    Takes K x N x 3 x S x S in [-1, 1] and returns N x 3 x S x S in [0, 1].
    """
    return to_unit(draws).std(0)


def pixel_std(draws: Tensor) -> Tensor:
    """The mean of `std_image` over pixels and channels: K x N x 3 x S x S -> [N]."""
    return std_image(draws).flatten(1).mean(1)


def of_posterior(draws: Tensor, originals: Tensor) -> dict[str, Tensor]:
    """How draws are spread about their original, [N] each: "seed_variance" V and "seed_bias" B in [0, 1] units,
    and "psnr" of a draw (its mean over draws) and "psnr_of_mean" of the mean of all.

    V is the variance of a pixel over draws (K - 1 in the denominator), and B the squared error of the mean of
    infinitely many, |x - mean of K|^2 - V / K, below 0 by chance. A draw has the squared error V + B; draws from
    the posterior of the original have V = B. Takes K x N x 3 x S x S and N x 3 x S x S in [-1, 1].
    """
    # in float64, so that equal draws are their mean, and one by one, as all together are large
    count, none = len(draws), torch.zeros((), dtype=torch.float64)
    mean = sum((to_unit(draw).double() for draw in draws), none) / count
    squares = sum((squared_error(to_unit(draw).double(), mean) for draw in draws), none)
    variance = squares / (count - 1)
    error = squared_error(mean, to_unit(originals).double())
    return {
        "seed_variance": variance,
        "seed_bias": error - variance / count,
        "psnr": torch.stack([psnr(draw, originals) for draw in draws]).mean(0),
        "psnr_of_mean": -10 * error.log10(),
    }


def estimate_diversity(
    scores: Mapping[str, np.ndarray], kind: str, units: Units
) -> dict[str, Estimate]:
    """The means of scores [n] of groups of draws, "diversity_lpips" and "pixel_std"; `kind` is that of
    the groups.
    """
    return {metric: units.mean_of(kind, values) for metric, values in scores.items()}


def estimate_posterior(scores: Mapping[str, np.ndarray], units: Units) -> dict[str, Estimate]:
    """The means of the scores of `of_posterior` [N], and the calibration V / B.

    The calibration is a ratio of means over images: 0 where nothing is drawn, 1 from the posterior, above
    1 too diverse. It has no value if the mean of B is not above 0.
    """
    means = {metric: units.mean(scores[metric]) for metric in OF_POSTERIOR}
    v, b = (np.asarray(scores[name], np.float64) for name in ("seed_variance", "seed_bias"))
    if b.mean() <= 0:
        none = Estimate(None, why="the mean over x_T has no error beyond chance")
        return {**means, "calibration": none}
    ratio = v.mean() / b.mean()
    influence = (v - ratio * b) / b.mean() / np.sqrt(len(b) * max(len(b) - 1, 1))
    return {**means, "calibration": Estimate(float(ratio), units.influences(influence))}


GROUPS = (
    Group(("diversity_lpips", "pixel_std"), "a system", estimate_diversity),
    Group(
        ("seed_variance", "seed_bias", "psnr_of_mean", "calibration"),
        "a system",
        estimate_posterior,
    ),
)
