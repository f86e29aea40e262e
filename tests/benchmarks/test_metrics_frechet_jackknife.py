"""The jackknife of the Frechet distance: against the distance of what is left, and against new draws."""

import numpy as np
import pytest

from benchmarks.metrics.frechet import Moments, frechet_distance
from benchmarks.metrics.frechet_jackknife import BLOCKS, blocks_of, jackknife
from diffae.errors import UserError


def direct(a, b):
    return frechet_distance(Moments.from_features(a), Moments.from_features(b))


@pytest.mark.parametrize(("n", "m"), [(40, 300), (300, 40), (40, 60), (300, 400), (30, 30)])
def test_left_out_distances_are_those_of_the_rest(n, m):
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(64, 64)) * np.exp(-np.arange(64) / 8)
    a, b = rng.normal(size=(n, 64)) @ mix, rng.normal(size=(m, 64)) @ mix + 0.1
    blocks_a, blocks_b = rng.integers(0, BLOCKS, n), blocks_of(m)
    found = jackknife(a.astype(np.float32), b.astype(np.float32), blocks_a, blocks_b)
    a, b = a.astype(np.float32), b.astype(np.float32)
    assert found.value == pytest.approx(direct(a, b), rel=1e-6)
    for block in (0, 7, BLOCKS - 1):
        rest_a, rest_b = a[blocks_a != block], b[blocks_b != block]
        assert found.without_samples[block] == pytest.approx(direct(rest_a, b), rel=1e-6)
        assert found.without_reference[block] == pytest.approx(direct(a, rest_b), rel=1e-6)


def test_an_empty_block_changes_nothing():
    a, b = np.random.default_rng(2).normal(size=(2, 30, 8))
    blocks = np.where(blocks_of(30) == 3, 4, blocks_of(30))
    found = jackknife(a, b, blocks, blocks_of(30))
    assert found.without_samples[3] == found.value
    assert (np.delete(found.without_samples, 3) != found.value).all()


@pytest.mark.parametrize("d", [8, 80])
def test_standard_error_is_that_of_new_draws(d):
    """Seed to seed, with new samples and with a new reference, in both regimes (n above and below d)."""
    rng = np.random.default_rng(3)
    n = 60
    reference = rng.normal(size=(400, d))
    drawn = [rng.normal(0.2, 1.2, size=(n, d)) for _ in range(60)]
    true = np.std([direct(a, reference) for a in drawn], ddof=1)
    estimates = []
    for a in drawn[:20]:
        left_out = jackknife(a, reference, blocks_of(n), blocks_of(400)).without_samples
        estimates.append(np.sqrt((BLOCKS - 1) * left_out.var()))
    assert np.median(estimates) == pytest.approx(true, rel=0.35)


def test_a_single_image_is_refused():
    with pytest.raises(UserError, match="two images"):
        jackknife(np.zeros((1, 4)), np.zeros((9, 4)), blocks_of(1), blocks_of(9))
