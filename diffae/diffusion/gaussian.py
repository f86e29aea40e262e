"""Gaussian diffusion (paper, Section 3): the schedules, and how x_t is composed.

Solvers are in `solve`.

x_t     = sqrt(a_t) x_0 + sqrt(1 - a_t) eps            a_t = prod_{s <= t} (1 - beta_s)
f       = (x_t - sqrt(1 - a_t) eps_theta) / sqrt(a_t)  the predicted x_0
"""

import torch
from torch import Tensor

from diffae.networks.config import NUM_TIMESTEPS


def linear_alphas() -> Tensor:
    """a_t of the images' schedule: beta rises linearly. Float64, NUM_TIMESTEPS values."""
    betas = torch.linspace(1e-4, 0.02, NUM_TIMESTEPS, dtype=torch.float64, device="cpu")
    return torch.cumprod(1 - betas, dim=0)


def constant_alphas(beta: float) -> Tensor:
    """a_t of the latent DDIM's schedule: beta is constant. Float64, NUM_TIMESTEPS values."""
    factors = torch.full((NUM_TIMESTEPS,), 1 - beta, dtype=torch.float64, device="cpu")
    return torch.cumprod(factors, dim=0)


def add_noise(x_0: Tensor, eps: Tensor, a_t: Tensor) -> Tensor:
    """Sample q(x_t | x_0) with the noise given. `a_t` has one value per image."""
    a = _per_image(a_t, x_0)
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


def velocity(x_0: Tensor, eps: Tensor, a_t: Tensor) -> Tensor:
    """v = sqrt(a) eps - sqrt(1 - a) x_0 (Salimans and Ho, 2022, Appendix D)."""
    a = _per_image(a_t, x_0)
    return a.sqrt() * eps - (1 - a).sqrt() * x_0


def noise_of_velocity(v: Tensor, x_t: Tensor, a_t: Tensor) -> Tensor:
    """eps = sqrt(1 - a) x_t + sqrt(a) v: the noise that a predicted velocity implies."""
    a = _per_image(a_t, x_t)
    return (1 - a).sqrt() * x_t + a.sqrt() * v


def x_0_of_noise(x_t: Tensor, eps: Tensor, a_t: Tensor) -> Tensor:
    """f = (x_t - sqrt(1 - a) eps) / sqrt(a): the predicted x_0, not clipped.

    `a_t`: one value per image.
    """
    a = _per_image(a_t, x_t)
    return (x_t - (1 - a).sqrt() * eps) / a.sqrt()


def _per_image(a_t: Tensor, like: Tensor) -> Tensor:
    return a_t.to(like).reshape(-1, *[1] * (like.ndim - 1))
