"""Grids, names and solvers against closed forms. Orders are in test_solver_order.py."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from diffae.diffusion.gaussian import linear_alphas
from diffae.diffusion.scheme import METHODS, Scheme, find, power, power_from_0, uniform
from diffae.diffusion.solve import METHODS as FUNCTIONS
from diffae.diffusion.solve import Denoiser, decode_steps, encode_steps, last
from diffae.system.errors import UserError

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
        assert uniform(steps) == list(range(0, 1000, stride))
    for steps, expected in LAST.items():
        assert uniform(steps)[-1] == expected


def test_timesteps_for_every_other_number():
    for steps in range(1, 1001):
        ts = uniform(steps)
        assert len(ts) == len(set(ts)) == steps
        assert ts == sorted(ts)
        assert 0 <= ts[0] and ts[-1] <= 999
        if steps not in ACCEPTED and steps > 1:
            assert ts == np.floor(np.linspace(0, 1000, steps, endpoint=False) + 1e-9).tolist()
    assert uniform(1) == [999]
    assert uniform(60)[:4] == [0, 16, 33, 50]


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_numbers_of_steps(steps):
    with pytest.raises(UserError, match="1 to 1000"):
        find("ddim").timesteps(steps)


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


# ----------------------------------------------------------------------------------------------
# Grids and names


def test_a_power_grid_is_the_formula_made_distinct():
    assert power(10, 2) == [round(999 * (i / 10) ** 2) for i in range(1, 11)]
    assert power(5, 2.5) == [18, 101, 279, 572, 999]
    assert power_from_0(5, 2) == [0, 62, 250, 562, 999]
    assert power(100, 2)[:6] == [0, 1, 2, 3, 4, 5]  # rounded: 0, 0, 1, 2, 2, 4


def test_solvers_whose_trajectory_begins_at_the_image_have_a_grid_that_begins_after_it():
    for name in ("ab2-v", "ab2-eps", "heun"):
        assert find(name).timesteps(10) == power(10, 2)
    for name in ("implicit-v", "dpm++2m", "ddim:power-2"):
        assert find(name).timesteps(10) == power_from_0(10, 2)


@pytest.mark.parametrize("grid", [power, power_from_0])
@pytest.mark.parametrize("exponent", [1, 2, 2.5, 4])
def test_power_grids_ascend_to_the_last_timestep(grid, exponent):
    for steps in (*range(1, 100), *range(100, 1001, 9)):
        ts = grid(steps, exponent)
        assert len(ts) == steps and ts[0] >= 0 and ts[-1] == 999
        assert all(a < b for a, b in pairwise(ts))


def test_names_find_solvers_and_solvers_have_names():
    assert find("fast") == Scheme("ab2-v", "power-2") == find("ab2-v") == find("ab2-v:power-2.0")
    assert str(find("fast")) == "ab2-v" and str(find("ab2-v:power-2.50")) == "ab2-v:power-2.5"
    assert find("ddim") == Scheme("ddim", "uniform")
    assert find("ab2-v:power-2.5").protocol()["grid"] == "power 2.5"
    for name in METHODS:
        assert find(str(find(name))) == find(name)


@pytest.mark.parametrize(
    "name, message",
    [
        ("ab2", "no solver 'ab2'; did you mean ab2-v"),
        ("fst", "did you mean fast"),
        ("ddim:linear", "no grid 'linear'; there are uniform and power-P, P from 1 to 4"),
        ("ddim:power-9", "no grid 'power-9'"),
        ("ddim:power-nan", "no grid"),
        ("", "no solver ''"),
        (3, "must be a name"),
    ],
)
def test_unknown_names_are_one_line(name, message):
    with pytest.raises(UserError, match="(?s)^[^\n]*$") as caught:
        find(name)
    assert message in str(caught.value)


def test_every_method_has_its_functions():
    inverse = {name: encode is not None for name, (_, encode) in FUNCTIONS.items()}
    assert inverse == {name: find(name).inverts for name in METHODS}


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.least == 2])
def test_a_solver_of_two_steps_refuses_one(name):
    x, said = torch.zeros(1, 1), "fast (ab2-v)" if name == "ab2-v" else name
    with pytest.raises(UserError, match=re.escape(f"solver {said}: needs at least 2 steps, not 1")):
        decode_steps(lambda x, t: x, x, linear_alphas(), 1, solver=name)


def test_a_solver_that_cannot_invert_says_which_can():
    with pytest.raises(UserError, match="solver heun: cannot encode; ddim, ab2-v, .* can"):
        encode_steps(lambda x, t: x, torch.zeros(1, 1), linear_alphas(), 10, solver="heun")
    with pytest.raises(UserError, match="cannot encode"):
        find("heun").encode_calls(10)


# ----------------------------------------------------------------------------------------------
# Calls and ends


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("steps", [2, 3, 10])
def test_network_calls_are_as_many_as_the_scheme_says(name, steps):
    calls: list[int] = []

    def predict(x: Tensor, t: Tensor) -> Tensor:
        calls.append(int(t[0]))
        return 0.1 * x

    x, scheme = torch.ones(1, 2, dtype=torch.float64), find(name)
    trajectory = list(decode_steps(predict, x, linear_alphas(), steps, solver=name))
    assert len(calls) == scheme.decode_calls(steps)
    assert calls[0] == scheme.timesteps(steps)[-1] and trajectory[-1].x.abs().max() <= 1
    if scheme.inverts:
        calls.clear()
        last(encode_steps(predict, x, linear_alphas(), steps, solver=name))
        assert len(calls) == scheme.encode_calls(steps)
        assert calls[0] == 0  # the image is looked at where there is the least noise


@pytest.mark.parametrize("name", METHODS)
def test_a_trajectory_along_constant_parts_is_exact(name):
    """With x_0 and noise that the network knows, x_T is decoded to x_0 in any number of steps, and
    back.
    """
    alphas = linear_alphas()
    x_0 = torch.tensor([[0.5, -0.25]], dtype=torch.float64)
    eps = torch.tensor([[1.0, -2.0]], dtype=torch.float64)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return eps.expand_as(x)

    a = float(alphas[find(name).timesteps(5)[-1]])
    x_T = a**0.5 * x_0 + (1 - a) ** 0.5 * eps
    found = last(decode_steps(predict, x_T, alphas, 5, solver=name))
    assert torch.allclose(found, x_0, rtol=0, atol=1e-9)  # at a = 1, not at the noise of t = 0
    if name in ("ab2-v", "ab2-eps"):
        assert torch.allclose(
            last(encode_steps(predict, x_0, alphas, 5, solver=name)), x_T, rtol=0, atol=1e-9
        )


def test_the_matched_top_undoes_the_decoders_first_step():
    """Exactly, where the network says at x_T what its last two calls let expect there."""
    alphas, ts = linear_alphas(), find("ab2-v").timesteps(6)
    phi = Denoiser(lambda x, t: x, alphas, False).angles(ts)[-1]
    said: list[tuple[Tensor, Tensor]] = []  # predicted x_0 and noise

    def predict(x: Tensor, t: Tensor) -> Tensor:
        if int(t[0]) == ts[-1]:
            (f_before, e_before), (f, e) = said[-2:]
            v = math.cos(phi) * (2 * e - e_before) - math.sin(phi) * (2 * f - f_before)
            return math.sin(phi) * x + math.cos(phi) * v
        a, noise = float(alphas[int(t[0])]), 0.3 * x + 0.1
        said.append(((x - (1 - a) ** 0.5 * noise) / a**0.5, noise))
        return noise

    x = torch.full((1, 1), 0.3, dtype=torch.float64)
    *_, before, top = encode_steps(predict, x, alphas, 6, clip=False, solver="ab2-v")
    first = next(decode_steps(predict, top.x, alphas, 6, clip=False, solver="ab2-v"))
    assert torch.allclose(first.x, before.x, rtol=0, atol=1e-9) and (top.x - before.x).abs() > 1e-3


def test_clipped_images_stay_in_range_by_every_solver():
    x_T = 3 * torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    for name in METHODS:
        steps = list(decode_steps(lambda x, t: -x, x_T, linear_alphas(), 4, solver=name))
        assert steps[-1].x.abs().max() <= 1
        assert all(step.x_0.abs().max() <= 1 for step in steps)
        free = last(decode_steps(lambda x, t: -x, x_T, linear_alphas(), 4, clip=False, solver=name))
        assert free.abs().max() > 1  # latents are not clipped


def test_ddim_is_the_paper_to_the_last_bit():
    """Equations 2 and 8, written out."""
    alphas = linear_alphas()
    torch.manual_seed(0)
    weight = torch.randn(4, 4) / 4
    x_T = torch.randn(3, 4)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return x @ weight + t[:, None] / 1000

    for back in (False, True):
        ts = uniform(10)
        a = [float(alphas[t]) for t in ts]
        targets = [*a[1:], 0.0] if back else [1.0, *a[:-1]]
        x = x_T
        for i in range(10) if back else reversed(range(10)):
            eps = predict(x, torch.full((3,), ts[i]))
            x_0 = ((x - (1 - a[i]) ** 0.5 * eps) / a[i] ** 0.5).clamp(-1, 1)
            eps = (x - a[i] ** 0.5 * x_0) / (1 - a[i]) ** 0.5
            x = targets[i] ** 0.5 * x_0 + (1 - targets[i]) ** 0.5 * eps
        solve = encode_steps if back else decode_steps
        assert torch.equal(last(solve(predict, x_T, alphas, 10)), x)


# ----------------------------------------------------------------------------------------------
# Formulas, written out with their published letters


def affine(x: Tensor, t: Tensor) -> Tensor:
    return 0.3 * x + 0.1 + t[:, None] / 4000


def at(t: int) -> tuple[float, float]:
    """sqrt(a) and sqrt(1 - a)."""
    a = float(linear_alphas()[t])
    return a**0.5, (1 - a) ** 0.5


def test_ab2_eps_is_pndm_of_order_two():
    """Liu et al. (2022), Eq. 9 with e = e_n, then (3 e_n - e_{n-1}) / 2; a = 1 is one of its ends."""
    x = torch.full((1, 1), 0.3, dtype=torch.float64)
    ts = power(4, 2)
    for solve, path in ((encode_steps, [None, *ts]), (decode_steps, [*ts[::-1], None])):
        expected, before = x, None
        for n, m in pairwise(path):
            (c, s), (c_to, s_to) = ((1.0, 0.0) if t is None else at(t) for t in (n, m))
            e = affine(expected, torch.tensor([n or 0]))
            used = e if before is None else (3 * e - before) / 2
            expected, before = c_to / c * expected + (s_to - c_to / c * s) * used, e
        found = last(solve(affine, x, linear_alphas(), 4, clip=False, solver="ab2-eps"))
        assert torch.allclose(found, expected, atol=1e-12)


def test_dpm_solver_weighs_its_steps_by_their_length():
    """Lu et al. (2022), Algorithm 2, with r = h_before / h, on timesteps whose log-SNR is far from
    evenly spaced.
    """
    x, before = torch.full((1, 1), 0.3, dtype=torch.float64), None
    ts, expected = power_from_0(4, 2), x
    lambdas = [math.log(at(t)[0] / at(t)[1]) for t in ts]
    for n in range(3):
        (c, s), (c_to, s_to) = at(ts[n]), at(ts[n + 1])
        f = (expected - s * affine(expected, torch.tensor([ts[n]]))) / c
        h, used = lambdas[n + 1] - lambdas[n], f
        if before is not None:
            r = (lambdas[n] - lambdas[n - 1]) / h
            used = (1 + 1 / (2 * r)) * f - 1 / (2 * r) * before
        expected, before = s_to / s * expected - c_to * (math.exp(-h) - 1) * used, f
    found = last(encode_steps(affine, x, linear_alphas(), 4, clip=False, solver="dpm++2m"))
    assert torch.allclose(found, expected, atol=1e-12)
