"""Ranks of codes in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from codes_of_factors import ROTATION, made

from benchmarks.metrics.codes.data import Codes
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
    assert people.value == pytest.approx(plain.value) and people.influences[0].units.startswith(
        "persons:"
    )


@pytest.mark.parametrize("persons", [False, True])
@pytest.mark.parametrize("name", ["rankme", "participation"])
def test_an_influence_is_what_is_lost_without_an_image_or_a_person(name, persons):
    """Of exact values without each, to first order in 1 / n; but for the scale that is common to all."""
    codes = Codes(np.random.default_rng(0).normal(size=(300, 5)) * [5, 4, 3, 2, 0.1])
    who = np.arange(300) // (3 if persons else 1)
    codes = replace(codes, persons=who if persons else None)
    whole = measure(name, codes, PLAIN, 0)
    lost = [
        whole.value - measure(name, Codes(codes.values[who != one]), PLAIN, 0).value
        for one in np.unique(who)
    ]
    influence = whole.influences[0].values
    assert np.corrcoef(influence, lost)[0, 1] > 0.99
    assert influence.std() == pytest.approx(np.std(lost), rel=0.1)


@pytest.mark.parametrize("name", ["rankme", "participation"])
def test_more_dimensions_than_images_have_the_error_of_their_coordinates(name):
    x = np.random.default_rng(0).normal(size=(60, 100)) * 0.95 ** np.arange(100)
    wide = measure(name, Codes(x), PLAIN, 0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    assert measure(name, Codes(u * s), PLAIN, 0).stderr == pytest.approx(wide.stderr, rel=0.05)
