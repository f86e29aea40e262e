"""DDIM (Song, Meng and Ermon, 2021), the paper's solver (Section 3): first order, on the angle phi.

f       = (x_t - sqrt(1 - a_t) eps_theta) / sqrt(a_t)                  the predicted x_0
decode  x_{t-1} = sqrt(a_{t-1}) f + sqrt(1 - a_{t-1}) eps_theta        (Eq. 2)
encode  x_{t+1} = sqrt(a_{t+1}) f + sqrt(1 - a_{t+1}) eps_theta        (Eq. 8)
"""

from collections.abc import Iterator

from torch import Tensor

from diffae.diffusion.trajectory import Denoiser, Step


def decode(denoise: Denoiser, x_T: Tensor, ts: list[int]) -> Iterator[Step]:
    """The last step's `x` is the (clipped) predicted x_0."""
    targets = [1.0, *map(denoise.a, ts[:-1])]
    return _moves(denoise, x_T, list(zip(ts, targets, strict=True))[::-1])


def encode(denoise: Denoiser, x_0: Tensor, ts: list[int]) -> Iterator[Step]:
    """The decoding run backwards.

    The image counts as the state at the first timestep, and the last step's target has a = 0, so
    that x_T is the noise predicted at the last timestep (as the authors do).
    """
    targets = [*map(denoise.a, ts[1:]), 0.0]
    return _moves(denoise, x_0, list(zip(ts, targets, strict=True)))


def _moves(denoise: Denoiser, x: Tensor, moves: list[tuple[int, float]]) -> Iterator[Step]:
    """Make each move (t, a of the target), in order."""
    for t, a_next in moves:
        parts = denoise(x, t)
        x = a_next**0.5 * parts.image + (1 - a_next) ** 0.5 * parts.noise
        yield Step(t, x, parts.image)
