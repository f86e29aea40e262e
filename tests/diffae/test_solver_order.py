"""Orders of convergence on a known flow, single precision, and round trips of packaged models."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.metrics.pixel import mse
from benchmarks.metrics.ssim import ssim
from diffae import DDIM, DiffusionAutoencoder
from diffae.data.portraits import portrait, render
from diffae.diffusion.gaussian import linear_alphas
from diffae.diffusion.scheme import METHODS, find
from diffae.diffusion.solve import (
    Denoiser,
    decode_ddim,
    decode_dpm,
    decode_eps,
    decode_heun,
    decode_steps,
    decode_v,
    encode_ddim,
    encode_dpm,
    encode_eps,
    encode_implicit,
    encode_steps,
    encode_v,
    last,
)

FINE = 200_000  # timesteps of a schedule that no rounding disturbs
VARIANCE = 0.09
TOP = 1.5


def angle(t: Tensor | int, start: float) -> Tensor:
    """phi of a timestep of the fine schedule: from `start` to TOP, smooth in t."""
    return start + (TOP - start) * torch.as_tensor(t, dtype=torch.float64) / (FINE - 1)


def denoiser(start: float) -> Denoiser:
    """For data that is N(0, v): E[eps | x_t] = sin(phi) x / (cos^2(phi) v + sin^2(phi))."""

    def predict(x: Tensor, t: Tensor) -> Tensor:
        phi = angle(t, start)[:, None]
        return phi.sin() * x / (phi.cos() ** 2 * VARIANCE + phi.sin() ** 2)

    return Denoiser(predict, angle(torch.arange(FINE), start).cos() ** 2, clip=False)


def scale(phi: float) -> float:
    """Of the exact solution: x(phi) is proportional to the standard deviation of x_t."""
    return math.sqrt(math.cos(phi) ** 2 * VARIANCE + math.sin(phi) ** 2)


def orders(error: Callable[[int], float], steps: tuple[int, ...]) -> list[float]:
    """log2 of how much the error falls each time that the steps are twice as many."""
    return [math.log2(abs(a / b)) for a, b in pairwise(error(n) for n in steps)]


# ----------------------------------------------------------------------------------------------
# Between the first and the last timestep, which every method has: the image lies elsewhere

START = 0.02
ONE = torch.ones(1, 1, dtype=torch.float64)


def between(solve, steps: int, encoding: bool) -> float:
    """The relative error from the last timestep to the first, or back, in equal steps."""
    ts = [round((FINE - 1) * i / steps) for i in range(steps + 1)]
    growth = scale(TOP) / scale(START)
    trajectory = list(solve(denoiser(START), ONE, ts))
    if encoding:
        return trajectory[-1].x.item() / growth - 1
    return trajectory[-2].x.item() * growth - 1  # the last one goes on to a = 1


@pytest.mark.parametrize(
    "solve, encoding, order",
    [
        (decode_ddim, False, 1),
        (decode_v, False, 2),
        (decode_eps, False, 2),
        (decode_dpm, False, 2),
        (decode_heun, False, 2),
        (encode_implicit, True, 1),
        (encode_dpm, True, 2),
    ],
)
def test_order_of_decoding_and_encoding(solve, encoding, order):
    found = orders(lambda steps: between(solve, steps, encoding), (200, 400, 800))
    assert found == pytest.approx([order] * 2, abs=0.15)


# ----------------------------------------------------------------------------------------------
# From the image itself, at phi = 0, and back to it


def whole_way(solve, x: Tensor, steps: int, power: float) -> Tensor:
    """What a trajectory between a = 1 and the last timestep makes of x, on a grid of that power."""
    ts = [round((FINE - 1) * (i / steps) ** power) for i in range(1, steps + 1)]
    return last(solve(denoiser(1e-9), x, ts))


GROWTH = scale(TOP) / scale(0)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(
    "solve, exact",
    [
        (encode_v, GROWTH),
        (encode_eps, GROWTH),
        (decode_v, 1 / GROWTH),
        (decode_eps, 1 / GROWTH),
    ],
)
def test_ab2_is_of_second_order_from_the_image_and_to_it(solve, exact, power):
    def error(steps: int) -> float:
        return whole_way(solve, ONE, steps, power).item() / exact - 1

    assert orders(error, (100, 200, 400)) == pytest.approx([2, 2], abs=0.12)


def test_the_leading_error_of_ab2_v_cancels_in_a_round_trip():
    """Third order, an order more than either way: by the same weights both ways and the matched
    top. It needs a grid whose first step, where there is nothing before to lean on, is short.
    """

    def error(steps: int) -> float:
        x_T = whole_way(encode_v, ONE, steps, 2)
        return whole_way(decode_v, x_T, steps, 2).item() - 1

    assert orders(error, (50, 100, 200)) == pytest.approx([3, 3], abs=0.1)


def test_the_inverse_of_a_ddim_step_is_nearer_than_ddim_run_backwards():
    """On one grid, by an order: in a round trip their errors fall as steps^-3 and as 1 / steps."""
    ts = {steps: [round((FINE - 1) * i / steps) for i in range(steps + 1)] for steps in (50, 100)}

    def error(encode, steps: int) -> float:
        x_T = last(encode(denoiser(1e-9), ONE, ts[steps]))
        return last(decode_ddim(denoiser(1e-9), x_T, ts[steps])).item() - 1

    assert orders(lambda steps: error(encode_ddim, steps), (50, 100)) == pytest.approx([1], abs=0.1)
    assert orders(lambda steps: error(encode_implicit, steps), (50, 100))[0] > 2.4


# ----------------------------------------------------------------------------------------------
# Single precision


@pytest.mark.parametrize("name", METHODS)
def test_single_precision_is_enough(name):
    """Both ways on the images' schedule, clipped, with a network that is not linear: to 1e-3 of
    float64, though the noise is 100 times a difference of nearly equal numbers at t = 0.
    """
    weight = torch.randn(12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.linspace(-1, 1, 36, dtype=torch.float64).reshape(3, 12)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x @ (weight.to(x.dtype) / 4) + x + t[:, None].to(x.dtype) / 2000)

    def trip(x: Tensor) -> Tensor:
        if find(name).inverts:
            x = last(encode_steps(predict, x, linear_alphas(), 10, solver=name))
        return last(decode_steps(predict, x, linear_alphas(), 10, solver=name))

    single = trip(x.float())
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), trip(x), atol=1e-3)


# ----------------------------------------------------------------------------------------------
# The packaged models

COUNT = 8


def round_trip(model: DiffusionAutoencoder | DDIM, images: Tensor, solver: str, steps: int):
    """Mean SSIM and MSE, each way in `steps` steps."""
    z = (model.encode(images),) if isinstance(model, DiffusionAutoencoder) else ()
    x_T = model.encode_stochastic(images, *z, steps=steps, solver=solver)
    out = model.decode(*z, x_T, steps=steps, solver=solver)
    return ssim(out, images).mean().item(), mse(out, images).mean().item()


def portraits(count: int) -> Tensor:
    """Of a seed that no model was trained on."""
    pixels = np.stack([render(portrait(7, 3 * i), 32) for i in range(count)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


MODELS = [(DiffusionAutoencoder, "portraits"), (DDIM, "portraits-ddim")]


@pytest.mark.slow
@pytest.mark.parametrize("kind, name", MODELS)
def test_20_calls_of_the_fast_solver_beat_200_of_the_papers(kind, name):
    model, images = kind.from_pretrained(name), portraits(COUNT)
    similarity, error = round_trip(model, images, "fast", 10)
    of_paper, error_of_paper = round_trip(model, images, "ddim", 100)
    assert similarity > of_paper and error < error_of_paper


@pytest.mark.parametrize("kind, name", MODELS)
def test_10_steps_of_the_fast_solver_bring_an_image_back(kind, name):
    model, images = kind.from_pretrained(name), portraits(2)
    similarity, error = round_trip(model, images, "fast", 10)
    of_paper, error_of_paper = round_trip(model, images, "ddim", 10)
    assert similarity > 0.99 and error < 5e-4
    assert of_paper < 0.97 and error_of_paper > 5 * error
