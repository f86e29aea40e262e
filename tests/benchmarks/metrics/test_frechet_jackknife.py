"""The jackknife of the Frechet distance, against distances without a block and new draws."""

from dataclasses import replace

import numpy as np
import pytest
from reference_metrics import frechet

from benchmarks.metrics.sets.frechet_jackknife import between
from benchmarks.metrics.sets.jackknife import BLOCKS, Side, blocks_of, influences, shares_of
from benchmarks.runtime.digest import digest
from diffae.system.errors import UserError


def in_parts(samples, reference, sample_blocks, reference_blocks):
    sides = Side.of(samples, sample_blocks, "samples"), Side.of(reference, reference_blocks)
    return between(*sides)


def jackknife(*sides):
    return in_parts(*sides).whole()


def values_of(parts):
    """The value, those without each block of the samples, and those without each of the reference."""
    values = [float(parts.part(i)) for i in range(parts.count)]
    return values[0], values[1 : BLOCKS + 1], values[BLOCKS + 1 :]


@pytest.mark.parametrize(
    ("n", "m"), [(70, 67), (66, 300), (40, 300), (300, 40), (30, 30), (64, 65), (200, 90)]
)
@pytest.mark.parametrize("dead", [0, 9])
def test_every_block_left_out_is_worth_nine_digits(n, m, dead):
    """Of 64 dimensions, some of which may be constant: more rows than that, less without a block,
    or less at all.
    """
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=(n, 64)).astype(np.float32), rng.normal(0.3, 1.2, size=(m, 64))
    a[:, :dead], b[:, :dead] = 0.5, 0.25
    blocks_a, blocks_b = rng.integers(0, BLOCKS, n), rng.integers(0, BLOCKS, m)
    value, without_a, without_b = values_of(in_parts(a, b, blocks_a, blocks_b))
    blocks = range(BLOCKS)
    of_a = [frechet(a[blocks_a != block], b) for block in blocks]
    of_b = [frechet(a, b[blocks_b != block]) for block in blocks]
    digits = 1e-8 if dead else 1e-9  # roots are taken of the rounding noise of constant dimensions
    np.testing.assert_allclose(value, frechet(a, b), rtol=digits)
    np.testing.assert_allclose(without_a, of_a, rtol=digits)
    np.testing.assert_allclose(without_b, of_b, rtol=digits)
    estimate = jackknife(a, b, blocks_a, blocks_b)
    assert estimate.value == value and estimate.n == n
    for source, without, of_side in zip(
        estimate.influences, (without_a, without_b), (blocks_a, blocks_b), strict=True
    ):
        expected = influences(value, np.array(without), shares_of(of_side))
        np.testing.assert_array_equal(source.values, expected)
    parts = between(Side.of(a, blocks_a), Side.of(b, blocks_b))
    alone = parts.joined(np.stack([parts.part(0)]))
    assert parts.first_is_value and (alone.value, alone.error) == (value, None)


def test_blocks_of_the_same_images_are_left_out_of_both_sides_at_once():
    a, b = np.random.default_rng(1).normal(size=(2, 60, 5))
    sides = Side.of(a, blocks_of(60), "x"), Side.of(b, blocks_of(60), "y")
    ours, theirs = between(*sides).whole().influences
    (both,) = between(sides[0], replace(sides[1], units="x")).whole().influences
    assert both.units == "x"
    np.testing.assert_allclose(both.values, ours.values + theirs.values, rtol=1e-12)


def test_a_side_of_a_random_number_of_images_has_the_shares_of_those_it_was_drawn_from():
    rng = np.random.default_rng(2)
    pool, other = rng.normal(size=(90, 5)), Side.of(rng.normal(size=(40, 5)), blocks_of(40))
    rows = np.flatnonzero(rng.random(90) < 0.5)
    side = Side(pool, rows, blocks_of(90)[rows], drawn_from=blocks_of(90))
    np.testing.assert_array_equal(side.shares, shares_of(blocks_of(90)))
    value, without, _ = values_of(between(side, other))
    expected = influences(value, np.array(without), shares_of(blocks_of(90)))
    np.testing.assert_array_equal(between(side, other).whole().influences[0].values, expected)


def test_some_rows_of_many_are_a_side():
    """The same numbers and the same name as of a copy of the rows."""
    rng = np.random.default_rng(12)
    pool, other = rng.normal(size=(90, 5)).astype(np.float32), rng.normal(size=(40, 5))
    rows, blocks = rng.permutation(90)[:50], rng.integers(0, BLOCKS, 50)
    reference = Side.of(other, blocks_of(40))
    estimate = between(Side(pool, rows, blocks), reference).whole()
    expected = between(Side.of(pool[rows], blocks), reference).whole()
    assert estimate.value == expected.value
    for source, copied in zip(estimate.influences, expected.influences, strict=True):
        np.testing.assert_array_equal(source.values, copied.values)
    assert Side(pool, rows, blocks).digest == digest(pool[rows])


def test_an_empty_block_changes_nothing():
    a, b = np.random.default_rng(2).normal(size=(2, 30, 8))
    blocks = np.where(blocks_of(30) == 3, 4, blocks_of(30))
    value, without, _ = values_of(in_parts(a, b, blocks, blocks_of(30)))
    assert without[3] == value
    assert (np.delete(without, 3) != value).all()


def test_blocks_are_dealt_in_turn():
    """So that the first of a pool that are accepted lie in all blocks, however few they are."""
    some = blocks_of(3 * BLOCKS)[[0, 1, BLOCKS - 1, BLOCKS, BLOCKS + 5]]
    assert some.tolist() == [0, 1, 19, 0, 5]
    assert np.bincount(blocks_of(47)[:30], minlength=BLOCKS).max() == 2


def test_influences_of_a_mean_are_those_of_the_units():
    """With one image a block, (x - mean) / sqrt(k (k - 1)); in blocks of any size, f (mean of block
    - mean).
    """
    x = np.random.default_rng(5).normal(size=BLOCKS)
    one_each = influences(x.mean(), (x.sum() - x) / (BLOCKS - 1), np.full(BLOCKS, 1 / BLOCKS))
    np.testing.assert_allclose(one_each, (x - x.mean()) / np.sqrt(BLOCKS * (BLOCKS - 1)))
    sizes = np.arange(1, BLOCKS + 1)
    blocks, y = np.repeat(np.arange(BLOCKS), sizes), np.random.default_rng(6).normal(size=210)
    without = np.array([y[blocks != block].mean() for block in range(BLOCKS)])
    means = np.array([y[blocks == block].mean() for block in range(BLOCKS)])
    shares = sizes / 210
    expected = shares * (means - y.mean()) / np.sqrt(1 - np.square(shares).sum())
    np.testing.assert_allclose(influences(y.mean(), without, shares_of(blocks)), expected)


def test_a_bias_in_1_over_n_moves_no_block():
    """Else the size of a block, and not its images, decides its influence."""
    shares = shares_of(np.random.default_rng(7).integers(0, BLOCKS, 130))
    np.testing.assert_allclose(
        influences(3 + 50 / 130, 3 + 50 / (130 * (1 - shares)), shares), 0, atol=1e-13
    )


def test_standard_error_of_the_first_accepted_of_a_pool():
    """Few-shot samples: 40 wanted, every second latent accepted by chance, 50 dimensions.
    Contiguous blocks of the pool give 15 times the spread of new pools, and the plain jackknife of
    dealt blocks 3.9 times. Of a second model, which accepts a few others of the same pool, the
    difference is held to the same.
    """
    rng = np.random.default_rng(8)
    reference, pool = rng.normal(size=(300, 50)), 320
    values, estimates, differences = [], [], []
    for _ in range(60):
        z, u = rng.normal(0.1, 1.1, size=(pool, 50)), rng.random(pool)
        of_models = []
        for model, w in ((z, z[:, 0]), (1.01 * z, z[:, 0] + 0.1 * z[:, 1])):
            wanted = np.flatnonzero(u < 1 / (1 + np.exp(-w)))[:40]
            blocks = blocks_of(pool)[wanted]
            of_models.append(jackknife(model[wanted], reference, blocks, blocks_of(300)))
        values.append([estimate.value for estimate in of_models])
        first, second = (estimate.influences[0].values for estimate in of_models)
        estimates.append(np.square(first).sum())
        differences.append(np.square(second - first).sum())
    values = np.array(values)
    assert 0.8 < np.sqrt(np.mean(estimates)) / values[:, 0].std(ddof=1) < 1.6
    assert 0.8 < np.sqrt(np.mean(differences)) / np.diff(values).std(ddof=1) < 1.8


def test_one_block_alone_has_no_error():
    found = influences(1.0, np.array([np.nan, 1, 1]), np.array([1.0, 0, 0]))
    assert np.isnan(found).all()


def test_a_single_image_is_refused():
    with pytest.raises(UserError, match="two images"):
        jackknife(np.zeros((1, 4)), np.zeros((9, 4)), blocks_of(1), blocks_of(9))
