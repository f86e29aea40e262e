"""Interpolation of codes as in the paper (Section 5.2): z_sem linearly, x_T along a great circle."""

import torch
from torch import Tensor

# Below this sine of the angle the two directions are parallel in float32.
PARALLEL = 1e-6


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 - t) a + t b for each sample: a and b [N, ...] and t [N]; used for z_sem.

    Computed in float64, because t and t + epsilon differ in their last float32 digits.
    """
    t = _per_sample(t, a)
    return ((1 - t) * a.double() + t * b.double()).to(a.dtype)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate along the great circle (Shoemake, 1985), over the flattened samples; used for x_T.

    sin((1 - t) theta) / sin(theta) a + sin(t theta) / sin(theta) b, a and b [N, ...] and t [N].
    Where a and b are parallel or opposite the formula is undefined, and the sample is interpolated
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
