"""Ranks of codes in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from codes_of_factors import ROTATION, made

from benchmarks.metrics.codes.data import Codes
from benchmarks.metrics.codes.invariant import spectrum
from benchmarks.metrics.codes.schema import named
from benchmarks.metrics.codes.table import measure

PLAIN = named("plain")


def orthogonal(n, scales):
    """Centred codes whose singular values are `scales`."""
    x = np.random.default_rng(0).normal(size=(n, len(scales)))
    return np.linalg.qr(x - x.mean(0))[0] * scales


@pytest.mark.parametrize("n", [200, 60])
def test_closed_forms(n):
    scales = np.array([4.0, 2, 1, 1])
    codes = Codes(orthogonal(n, scales) + 7)
    shares = scales / 8
    rank = measure("rankme", codes, PLAIN, 0)
    assert rank.value == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert rank.notes == (f"n = {n}",) and rank.n == n
    found = measure("participation", codes, PLAIN, 0).value
    assert found == pytest.approx((scales**2).sum() ** 2 / (scales**4).sum())
    uncentred = PLAIN.changed("spectrum.centred", False)
    assert measure("rankme", codes, uncentred, 0).value < 1.5


def test_wide_codes_are_those_of_their_singular_values():
    codes = made("mixed", 60, 0)
    s = np.linalg.svd(codes.values - codes.values.mean(0), compute_uv=False)
    shares = s[s > s[0] * 1e-9] / s.sum()
    wanted = np.exp(-(shares * np.log(shares)).sum())
    assert measure("rankme", codes, PLAIN, 0).value == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("name", ["rankme", "participation"])
def test_a_rotation_and_a_common_scale_change_nothing(name):
    codes = made("aligned", 300, 1)
    codes = replace(codes, values=codes.values * [1, 2, 3, 4, 5, 6])
    plain = measure(name, codes, PLAIN, 0)
    turned = measure(name, replace(codes, values=0.01 * codes.values @ ROTATION + 5), PLAIN, 0)
    assert turned.value == pytest.approx(plain.value)
    assert turned.stderr == pytest.approx(plain.stderr)
    twice = measure(name, replace(codes, values=np.tile(codes.values, 2)), PLAIN, 0)
    assert twice.value == pytest.approx(plain.value, rel=1e-5)
    assert twice.stderr == pytest.approx(plain.stderr, rel=1e-5)
    people = measure(name, replace(codes, persons=np.arange(300) // 2), PLAIN, 0)
    assert people.value == pytest.approx(plain.value) and people.over == "persons"


@pytest.mark.parametrize("shape", [(60, 5), (12, 30)])
@pytest.mark.parametrize("name", ["rankme", "participation"])
def test_an_influence_is_the_derivative_by_the_weight_of_a_row(name, shape):
    """Of weighted second moments, about the mean that has these weights."""
    x = np.random.default_rng(0).normal(size=shape) * np.linspace(1, 3, shape[1]) + 1

    def weighted(weights):
        centred = x - weights @ x / weights.sum()
        s = np.linalg.svd(np.sqrt(weights)[:, None] * centred, compute_uv=False)
        if name == "participation":
            return np.square(s).sum() ** 2 / (s**4).sum()
        shares = s[s > s[0] * 1e-9] / s.sum()
        return np.exp(-(shares * np.log(shares)).sum())

    step = 1e-4 * np.eye(len(x))
    wanted = [(weighted(1 + one) - weighted(1 - one)) / 2e-4 for one in step]
    _, influence = getattr(spectrum, name)(x, spectrum.Spectrum())
    assert influence == pytest.approx(wanted, rel=1e-4, abs=1e-6 * np.abs(wanted).max())
