"""Gaussian diffusion with deterministic (DDIM) sampling, in both directions (paper, Section 3).

    x_t     = sqrt(a_t) x_0 + sqrt(1 - a_t) eps            a_t = prod_{s <= t} (1 - beta_s)
    f       = (x_t - sqrt(1 - a_t) eps_theta) / sqrt(a_t)  the predicted x_0
    decode  x_{t-1} = sqrt(a_{t-1}) f + sqrt(1 - a_{t-1}) eps_theta
    encode  x_{t+1} = sqrt(a_{t+1}) f + sqrt(1 - a_{t+1}) eps_theta

Images clip f to [-1, 1] and derive eps_theta anew from it, as the authors do; latents do not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from diffae.checks import whole
from diffae.config import NUM_TIMESTEPS

NoisePredictor = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) -> eps_theta


def linear_alphas(beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """a_t of the images' schedule: beta rises linearly. Float64, NUM_TIMESTEPS values."""
    betas = torch.linspace(beta_start, beta_end, NUM_TIMESTEPS, dtype=torch.float64, device="cpu")
    return torch.cumprod(1 - betas, dim=0)


def constant_alphas(beta: float) -> Tensor:
    """a_t of the latent DDIM's schedule: beta is constant. Float64, NUM_TIMESTEPS values."""
    factors = torch.full((NUM_TIMESTEPS,), 1 - beta, dtype=torch.float64, device="cpu")
    return torch.cumprod(factors, dim=0)


def timesteps(steps: int) -> list[int]:
    """The `steps` timesteps, ascending, at which the network is called.

    For the 62 values that the authors accept this is theirs: multiples of the smallest stride that gives
    `steps` of them, from 0. For every other number from 1 to 1000 they are spread evenly from 0 in the
    same way, rounded down; a single step is taken from the noisiest timestep, the only one from which
    noise can be decoded.
    """
    steps = whole(steps, "steps", 1, NUM_TIMESTEPS)
    if steps == 1:
        return [NUM_TIMESTEPS - 1]
    stride = -(-NUM_TIMESTEPS // steps)
    strided = list(range(0, NUM_TIMESTEPS, stride))
    if len(strided) == steps:
        return strided
    return [i * NUM_TIMESTEPS // steps for i in range(steps)]


def add_noise(x_0: Tensor, eps: Tensor, a_t: Tensor) -> Tensor:
    """Sample q(x_t | x_0) with the noise given. `a_t` has one value an image."""
    a = _per_image(a_t, x_0)
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


def velocity(x_0: Tensor, eps: Tensor, a_t: Tensor) -> Tensor:
    """v = sqrt(a) eps - sqrt(1 - a) x_0 (Salimans and Ho, 2022, Appendix D)."""
    a = _per_image(a_t, x_0)
    return a.sqrt() * eps - (1 - a).sqrt() * x_0


def noise_of_velocity(v: Tensor, x_t: Tensor, a_t: Tensor) -> Tensor:
    """eps = sqrt(1 - a) x_t + sqrt(a) v: what a network that predicts velocity says of the noise."""
    a = _per_image(a_t, x_t)
    return (1 - a).sqrt() * x_t + a.sqrt() * v


def x_0_of_noise(x_t: Tensor, eps: Tensor, a_t: Tensor) -> Tensor:
    """f = (x_t - sqrt(1 - a) eps) / sqrt(a): the predicted x_0, not clipped. `a_t`: one value an image."""
    a = _per_image(a_t, x_t)
    return (x_t - (1 - a).sqrt() * eps) / a.sqrt()


def _per_image(a_t: Tensor, like: Tensor) -> Tensor:
    return a_t.to(like).reshape(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True)
class Step:
    """One step of a trajectory: the timestep the network was called at, x after the step, predicted x_0."""

    t: int
    x: Tensor
    x_0: Tensor


def _trajectory(
    predict: NoisePredictor,
    x: Tensor,
    moves: list[tuple[int, float, float]],
    clip: bool,
) -> Iterator[Step]:
    """Take each move (t, a_t, a of the target), in order."""
    for t, a, a_next in moves:
        eps = predict(x, torch.full((len(x),), t, device=x.device))
        x_0 = (x - (1 - a) ** 0.5 * eps) / a**0.5
        if clip:
            x_0 = x_0.clamp(-1, 1)
            eps = (x - a**0.5 * x_0) / (1 - a) ** 0.5
        x = a_next**0.5 * x_0 + (1 - a_next) ** 0.5 * eps
        yield Step(t, x, x_0)


def decode_steps(
    predict: NoisePredictor, x_T: Tensor, alphas: Tensor, steps: int, clip: bool = True
) -> Iterator[Step]:
    """From x_T to x_0 in `steps` network calls. The last step's `x` is the (clipped) predicted x_0."""
    ts = timesteps(steps)
    a = [float(alphas[t]) for t in ts]
    moves = list(zip(ts, a, [1.0, *a[:-1]], strict=True))
    return _trajectory(predict, x_T, moves[::-1], clip)


def encode_steps(
    predict: NoisePredictor, x_0: Tensor, alphas: Tensor, steps: int, clip: bool = True
) -> Iterator[Step]:
    """From x_0 to x_T in `steps` network calls, the decoding run backwards.

    The image counts as the state at the first timestep, and the last step's target has a = 0, so that x_T
    is the noise predicted at the last timestep (as the authors do).
    """
    ts = timesteps(steps)
    a = [float(alphas[t]) for t in ts]
    return _trajectory(predict, x_0, list(zip(ts, a, [*a[1:], 0.0], strict=True)), clip)


def last(trajectory: Iterator[Step]) -> Tensor:
    """Run a trajectory to its end and return its last x."""
    x = None
    for step in trajectory:
        x = step.x
    assert x is not None  # timesteps() never returns an empty list
    return x
