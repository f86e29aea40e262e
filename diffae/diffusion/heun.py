"""Heun's method as Karras et al. (2022, Algorithm 1) sample with it: second order.

It takes two calls per step except the last. It acts on x / cos(phi), whose derivative with respect
to sigma = tan(phi) is the noise. Each step is Euler's (DDIM's), then repeated with the mean of the
noise at both ends; the last one, to the image, stays Euler's. We know of no published
inverse, so it decodes only.
"""

import math
from collections.abc import Iterator

from torch import Tensor

from diffae.diffusion.trajectory import Denoiser, Step


def decode(denoise: Denoiser, x_T: Tensor, ts: list[int]) -> Iterator[Step]:
    phis = [0.0, *denoise.angles(ts)]
    x = x_T
    for i in range(len(ts), 0, -1):
        phi, to = phis[i], phis[i - 1]
        now = denoise(x, ts[i - 1])
        if i == 1:
            yield Step(ts[0], now.image, now.image)
            return
        reached = _along(x, now.noise, phi, to)
        noise = (now.noise + denoise(reached, ts[i - 2]).noise) / 2
        x = _along(x, noise, phi, to)
        yield Step(ts[i - 1], x, now.image)


def _along(x: Tensor, noise: Tensor, phi: float, to: float) -> Tensor:
    """x at phi, moved to the angle `to` along that noise."""
    return math.cos(to) * (x / math.cos(phi) + (math.tan(to) - math.tan(phi)) * noise)
