"""The schedules against closed forms and the authors' published constants."""

import pytest
import torch

from diffae.diffusion.gaussian import (
    add_noise,
    constant_alphas,
    linear_alphas,
    noise_of_velocity,
    velocity,
)
from diffae.diffusion.scheme import uniform


@pytest.mark.parametrize(
    "steps, expected",
    [(10, 2.70e-4), (20, 1.06e-4), (50, 5.90e-5), (100, 4.84e-5), (1000, 4.04e-5)],
)
def test_image_schedule_has_the_authors_values(steps, expected):
    assert float(linear_alphas()[uniform(steps)[-1]]) == pytest.approx(expected, rel=5e-3)


def test_latent_schedule_is_a_power():
    assert float(constant_alphas(0.008)[999]) == pytest.approx(0.992**1000)
    assert float(constant_alphas(0.008)[999]) == pytest.approx(3.25e-4, rel=5e-3)


def test_added_noise_has_the_given_moments():
    x_0 = torch.full((2, 3, 4, 4), 0.5)
    eps = torch.ones_like(x_0)
    x_t = add_noise(x_0, eps, torch.tensor([1.0, 0.36]))
    assert torch.allclose(x_t[0], x_0[0])
    assert torch.allclose(x_t[1], torch.tensor(0.6 * 0.5 + 0.8))


def test_noise_follows_from_velocity():
    torch.manual_seed(0)
    x_0, eps, a = (
        torch.rand(4, 3, 2, 2),
        torch.randn(4, 3, 2, 2),
        torch.tensor([0.99, 0.5, 0.1, 3e-4]),
    )
    x_t = add_noise(x_0, eps, a)
    v = velocity(x_0, eps, a)
    assert torch.allclose(noise_of_velocity(v, x_t, a), eps, atol=1e-5)
    predicted = a.sqrt().reshape(-1, 1, 1, 1) * x_t - (1 - a).sqrt().reshape(-1, 1, 1, 1) * v
    assert torch.allclose(predicted, x_0, atol=1e-5)  # Salimans and Ho, Appendix D
