"""The schedules and the sampler against closed forms and the authors' published constants."""

import pytest
import torch

from diffae.diffusion import (
    add_noise,
    constant_alphas,
    decode_steps,
    encode_steps,
    last,
    linear_alphas,
    noise_of_velocity,
    timesteps,
    velocity,
)
from diffae.errors import UserError
from diffae.noise import normal

# The numbers of steps that the authors' code accepts, and the last timestep of some of them.
ACCEPTED = [
    *range(2, 37),
    *(38, 39, 40, 42, 44, 46, 48, 50, 53, 56, 59, 63, 67, 72, 77, 84, 91, 100, 112, 125, 143, 167),
    *(200, 250, 334, 500, 1000),
]
LAST = {10: 900, 20: 950, 50: 980, 100: 990, 200: 995, 250: 996, 500: 998, 1000: 999}


def test_timesteps_where_the_authors_define_them():
    assert len(ACCEPTED) == 62
    for steps in ACCEPTED:
        stride = next(s for s in range(1, 1000) if len(range(0, 1000, s)) == steps)
        assert timesteps(steps) == list(range(0, 1000, stride))
    for steps, expected in LAST.items():
        assert timesteps(steps)[-1] == expected


def test_timesteps_for_every_other_number():
    for steps in range(1, 1001):
        ts = timesteps(steps)
        assert len(ts) == len(set(ts)) == steps
        assert ts == sorted(ts)
        assert 0 <= ts[0] and ts[-1] <= 999
    assert timesteps(1) == [999]


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_numbers_of_steps(steps):
    with pytest.raises(UserError, match="1 to 1000"):
        timesteps(steps)


@pytest.mark.parametrize(
    "steps, expected",
    [(10, 2.70e-4), (20, 1.06e-4), (50, 5.90e-5), (100, 4.84e-5), (1000, 4.04e-5)],
)
def test_image_schedule_has_the_authors_values(steps, expected):
    assert float(linear_alphas()[timesteps(steps)[-1]]) == pytest.approx(expected, rel=5e-3)


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


def gaussian_predictor(variance: float):
    """The exact eps for data that is N(0, variance): E[eps | x_t] = sqrt(1 - a) x_t / (a v + 1 - a)."""
    alphas = linear_alphas()

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a = alphas[t].reshape(-1, 1).to(x.dtype)
        return (1 - a).sqrt() * x / (a * variance + 1 - a)

    return predict


def test_decoding_gaussian_noise_gives_the_data_distribution():
    """For Gaussian data the probability flow is linear: x_0 = sqrt(v) x_T, up to the step size."""
    x_T = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    x_0 = last(decode_steps(gaussian_predictor(0.04), x_T, linear_alphas(), 1000, clip=False))
    assert torch.allclose(x_0, 0.2 * x_T, rtol=0.02)


def test_decoding_inverts_encoding_for_a_linear_flow():
    x_0 = torch.linspace(-0.5, 0.5, 9, dtype=torch.float64)[:, None]
    predict = gaussian_predictor(0.04)
    errors = []
    for steps in (20, 100, 500):
        x_T = last(encode_steps(predict, x_0, linear_alphas(), steps))
        out = last(decode_steps(predict, x_T, linear_alphas(), steps))
        errors.append(float((out - x_0).abs().max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


def test_encoding_ends_at_the_noise_that_was_predicted_last():
    """The last target has a = 0 (the authors'), so that nothing of the image is left in x_T."""
    x_0 = torch.full((1, 1), 0.5, dtype=torch.float64)
    x_T = last(encode_steps(lambda x, t: torch.full_like(x, 0.3), x_0, linear_alphas(), 10, False))
    assert x_T.item() == pytest.approx(0.3, abs=1e-12)


def test_clipping_keeps_the_prediction_within_the_images_range():
    def wild(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return 100 * torch.ones_like(x)

    steps = list(decode_steps(wild, torch.zeros(1, 3, 2, 2), linear_alphas(), 10))
    assert all(float(step.x_0.abs().max()) <= 1 for step in steps)
    assert [step.t for step in steps] == timesteps(10)[::-1]


def test_noise_belongs_to_its_index():
    together = normal(0, "x_T", [3, 1, 2], (2, 2))
    assert torch.equal(together[1], normal(0, "x_T", [1], (2, 2))[0])
    assert not torch.equal(together[1], normal(1, "x_T", [1], (2, 2))[0])
    assert not torch.equal(together[1], normal(0, "latent", [1], (2, 2))[0])
    many = normal(0, "x_T", range(2000), (8,))
    assert float(many.mean()) == pytest.approx(0, abs=0.03)
    assert float(many.std()) == pytest.approx(1, abs=0.03)
