"""The Frechet distance of reconstructions, against plain distances and new draws of images."""

import math

import numpy as np
import pytest
from reference_metrics import frechet

from benchmarks.metrics.sets import frechet_jackknife
from benchmarks.metrics.sets.jackknife import BLOCKS, Side, blocks_of, influences, shares_of
from diffae.system.errors import UserError


def in_parts(made, originals, blocks):
    return frechet_jackknife.paired_jackknife(Side.of(made, blocks), Side.of(originals, blocks))


def paired_jackknife(made, originals, blocks):
    return in_parts(made, originals, blocks).whole()


def draw(rng, n, d):
    """Features of images, and of what a blur and some noise make of them."""
    originals = rng.normal(size=(n, d)) * np.linspace(0.2, 2, d) + 3
    return (0.8 * originals + 0.3 * rng.normal(size=(n, d)) + 0.1).astype(np.float32), originals


@pytest.mark.parametrize(("n", "d"), [(40, 64), (300, 24), (65, 64), (64, 64)])
def test_a_block_is_left_out_of_both_sides(n, d):
    rng = np.random.default_rng(1)
    made, originals = draw(rng, n, d)
    blocks = rng.integers(0, BLOCKS, n)
    parts = in_parts(made, originals, blocks)
    value, *without = (float(parts.part(i)) for i in range(parts.count))
    assert value == pytest.approx(frechet(made, originals), rel=1e-5)
    estimate = parts.whole()
    expected = influences(value, np.array(without), shares_of(blocks))
    np.testing.assert_array_equal(estimate.influences[0].values, expected)
    assert (estimate.value, estimate.n, bool(estimate.notes)) == (value, n, n <= d)
    for block in (0, 7, BLOCKS - 1):
        rest = blocks != block
        expected = frechet(made[rest], originals[rest])
        assert without[block] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n", [30, 200])
def test_what_came_back_unchanged_is_at_no_distance_without_error(n):
    features = np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32)
    found = paired_jackknife(features, features.copy(), blocks_of(n))
    assert found.value == pytest.approx(0, abs=1e-6) and (n > 64 or found.value == 0)
    assert found.stderr < 1e-5


@pytest.mark.parametrize(("n", "d"), [(60, 100), (200, 16)])
def test_the_error_is_the_spread_over_new_images(n, d):
    rng, values, errors = np.random.default_rng(2), [], []
    for _ in range(80):
        found = paired_jackknife(*draw(rng, n, d), blocks_of(n))
        values.append(found.value)
        errors.append(found.stderr**2)
    assert math.sqrt(np.mean(errors)) == pytest.approx(np.std(values), rel=0.2)


def test_one_image_is_refused_and_empty_blocks_change_nothing():
    made, originals = draw(np.random.default_rng(3), 8, 20)
    parts = in_parts(made, originals, np.array([0, 0, 1, 1, 2, 2, 3, 3]))
    value, *without = (float(parts.part(i)) for i in range(parts.count))
    assert without[4:] == pytest.approx([value] * 16, rel=1e-12)
    with pytest.raises(UserError, match="two images"):
        paired_jackknife(made[:1], originals[:1], np.zeros(1, int))
