"""Perceptual path length: how evenly images change along a path between two codes.

Karras et al., "A style-based generator architecture for generative adversarial networks", 2019, eq.
2, as in Appendix F of the paper:

    PPL = E[ eps^-2 d(G(interp(a, b; t)), G(interp(a, b; t + eps))) ],    t ~ U(0, 1)

The two images differ by less than one grey level, so nothing here may round them to 8 bits: at eps
= 1e-4 that alone turns a path length of 31 into 1147.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Code = TypeVar("Code")

# The name of the metric by the distance that it is measured with.
METRIC_NAMES = {"lpips": "ppl", "pd_effnet": "ppl_effnet"}

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
