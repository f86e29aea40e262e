"""Diversity: how far apart several draws from one code are.

The mean distance between two draws (Zhu et al., "Toward multimodal image-to-image translation",
2017, with LPIPS) and the standard deviation of a pixel over the draws (paper, Fig. 3).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.metrics.pixel import to_unit


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
