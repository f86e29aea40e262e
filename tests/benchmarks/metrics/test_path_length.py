"""Interpolation and path length against closed forms."""

import math

import torch

from benchmarks.metrics.path_length import path_length
from diffae.diffusion.interpolation import lerp, slerp


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_lerp_meets_its_ends_and_its_middle():
    a, b = randn(3, 5), randn(3, 5, seed=1)
    middle = lerp(a, b, torch.tensor([0.0, 1.0, 0.5]))
    torch.testing.assert_close(middle, torch.stack([a[0], b[1], (a[2] + b[2]) / 2]))


def test_slerp_walks_the_circle_at_even_speed():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    for t in (0.0, 0.2, 0.5, 1.0):
        angle = t * math.pi / 2
        expected = torch.tensor([[math.cos(angle), math.sin(angle)]])
        torch.testing.assert_close(slerp(a, b, torch.tensor([t])), expected)


def test_slerp_keeps_the_norm_of_noise_maps():
    a, b = randn(4, 3, 8, 8), randn(4, 3, 8, 8, seed=1)
    b = b * (a.flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).view(4, 1, 1, 1)
    middle = slerp(a, b, torch.full((4,), 0.3))
    torch.testing.assert_close(middle.flatten(1).norm(dim=1), a.flatten(1).norm(dim=1))


def test_slerp_of_parallel_codes_is_linear():
    a = randn(2, 6)
    b = torch.stack([3 * a[0], -a[1]])
    middle = slerp(a, b, torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(middle, torch.stack([2 * a[0], 0.5 * a[1]]))


def squared_error(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x - y).square().flatten(1).sum(1)


def test_path_length_along_a_circle():
    """Between orthogonal unit vectors the speed is pi / 2 everywhere."""
    a, b = torch.eye(4)[:2].double(), torch.eye(4)[2:].double()
    t = torch.tensor([0.1, 0.8])
    lengths = path_length(lambda z: z, a, b, squared_error, t, 1e-4, interpolate=slerp)
    torch.testing.assert_close(
        lengths, torch.full((2,), (math.pi / 2) ** 2).double(), rtol=1e-6, atol=0
    )


def test_path_length_takes_codes_of_two_parts():
    def both(a, b, t):
        return lerp(a[0], b[0], t), slerp(a[1], b[1], t)

    a, b = (randn(2, 3), torch.eye(4)[:2]), (randn(2, 3, seed=1), torch.eye(4)[2:])
    a, b = (tuple(part.double() for part in code) for code in (a, b))
    t = torch.tensor([0.1, 0.8])
    lengths = path_length(lambda z: torch.cat(z, 1), a, b, squared_error, t, 1e-4, both)
    expected = (b[0] - a[0]).square().sum(1) + (math.pi / 2) ** 2
    torch.testing.assert_close(lengths, expected, rtol=1e-6, atol=0)
