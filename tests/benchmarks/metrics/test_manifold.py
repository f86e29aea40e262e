"""Precision, recall, density and coverage: prdc, torch-fidelity, closed forms, new draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from benchmarks.metrics import METRICS
from benchmarks.metrics.sets import manifold
from benchmarks.metrics.sets.jackknife import BLOCKS, Side, blocks_of
from benchmarks.metrics.sets.manifold import (
    OVERLAPS,
    PARTS,
    Manifold,
    influence_of_splits,
    overlaps,
)
from diffae.system.errors import UserError


def side_of(points, blocks=None):
    return Side.of(points, blocks_of(len(points)) if blocks is None else blocks)


def estimates_of(a, b, **k):
    """The four estimates of a reference and samples, with the k of each, or with one k."""
    wanted = [replace(overlap, **k) for overlap in OVERLAPS.values()]
    return overlaps(side_of(b), side_of(a), wanted).whole()


def overlap(a, b, **k):
    """The four numbers of a reference and samples."""
    return [estimate.value for estimate in estimates_of(a, b, **k).values()]


def in_all_parts(a, b, blocks_a, blocks_b):
    """The four numbers [4, 39] of a reference and samples in each of PARTS."""
    (values,) = [overlaps(side_of(b, blocks_b), side_of(a, blocks_a)).part(0)]
    return values


def defined(a, b, k=3, wide=5):
    """The four numbers by their definitions, from matrices of all distances."""
    aa, bb, ab = cdist(a, a), cdist(b, b), cdist(a, b)
    near, far = (np.sort(aa, 1)[:, i, None] for i in (k, wide))  # place 0 is the point itself
    return [
        (ab <= near).any(0).mean(),
        (ab <= np.sort(bb, 1)[:, k]).any(1).mean(),
        (ab < far).sum(0).mean() / wide,
        (ab < far).any(1).mean(),
    ]


def two_sets(kind=np.float64, n=130, m=90, d=6):
    rng = np.random.default_rng(3)
    return rng.normal(size=(n, d)).astype(kind), rng.normal(0.3, 0.9, size=(m, d)).astype(kind)


def lattice():
    """Points of which many are equal, and more equally far apart; all distances are exact."""
    rng = np.random.default_rng(4)
    return rng.integers(0, 4, (120, 3)).astype(float), rng.integers(1, 5, (80, 3)).astype(float)


def copies():
    """Samples of which some are images of the reference, as of a model that memorises."""
    a, b = two_sets(np.float32)
    return a, np.concatenate([b[:60], a[:30]])


def dense():
    """Samples that are nearer to the points of the reference than these are to one another."""
    a, b = two_sets(d=40)
    return a, 0.7 * b


# ----------------------------------------------------------------------------------------------
# The programs that define them


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(
    "sets", [two_sets(), two_sets(np.float32), two_sets(np.float32, 150, 200, 64), lattice()]
)
def test_precision_and_recall_equal_torch_fidelity_density_and_coverage_prdc(sets, k, capsys):
    """Ties included: prdc counts strictly. Input 1 of torch-fidelity is the samples; its shares are
    float32.
    """
    fidelity = pytest.importorskip("torch_fidelity.metric_prc").prc_features_to_metric
    prdc = pytest.importorskip("prdc").compute_prdc(*sets, nearest_k=k)
    found = overlap(*sets, k=k)
    np.testing.assert_allclose(found[2:], [prdc["density"], prdc["coverage"]], rtol=1e-12)
    a, b = (torch.from_numpy(x).double() for x in sets)
    flags = {"prc_neighborhood": k, "prc_batch_size": 64, "save_cpu_ram": True}
    theirs = fidelity(b, a, **flags, verbose=False)
    np.testing.assert_allclose(found[:2], [theirs["precision"], theirs["recall"]], rtol=1e-7)


# ----------------------------------------------------------------------------------------------
# Closed forms


@pytest.mark.parametrize("offset", [0, 100])
def test_equal_sets(offset):
    """A ball holds its centre and k - 1 others, so that the density is 1; far from zero too."""
    a = two_sets(np.float32)[0] + np.float32(offset)
    assert overlap(a, a[::-1].copy()) == [1, 1, 1, 1]


def test_sets_far_apart():
    a, b = two_sets()
    assert overlap(a, b + 1000) == [0, 0, 0, 0]


def test_samples_are_one_half_of_the_reference():
    """On a line with steps of 1, balls of k = 3 reach 2, and 3 at the last sample; balls of k = 5
    hold the 5 points up to 2 away, also at the ends.
    """
    a = np.arange(100.0)[:, None]
    assert overlap(a, a[:50]) == [1, 0.53, 1, 0.52]


def test_the_border_of_a_ball():
    """It belongs to the balls of precision and recall, not to those of density and coverage."""
    a, at_border = np.array([[0.0], [1], [2], [3]]), np.full((4, 1), 6.0)
    precision, _, density, coverage = overlap(a, at_border, k=3)
    assert (precision, density, coverage) == (1, 0, 0)
    assert overlap(at_border, a, k=3)[1] == 1


def test_equal_points_have_a_ball_of_radius_zero():
    """Though the formula of the distance gives rounding noise for them."""
    points = np.random.default_rng(0).normal(50, 1, size=(9, 500)).astype(np.float32)
    ((_, distances),) = manifold._rows(*2 * [Manifold.of(side_of(points))])
    assert (distances.diagonal() == 0).all()
    np.testing.assert_allclose(distances, cdist(points, points), rtol=1e-6)
    same = np.repeat(points[:1], 9, 0)
    assert overlap(same, same[:7]) == [1, 1, 0, 0]


@pytest.mark.parametrize(("outside", "has_error"), [(0, False), (4, False), (5, True), (23, True)])
def test_a_share_of_almost_all_has_no_error(outside, has_error):
    """Precision, of 80 samples of which some are far away; the other shares are of all."""
    a, b = (np.random.default_rng(seed).normal(size=(80, 2)) for seed in (0, 0))
    b[:outside] += 1000
    precision = estimates_of(a, b)["precision"]
    assert precision.value == 1 - outside / 80
    assert (precision.stderr is not None) == has_error
    counts = f"the share is {80 - outside} of 80, and an error needs 5 or more on either side"
    assert precision.why == ("" if has_error else f"no error: {counts}")


@pytest.mark.parametrize(("n", "m"), [(53, 37), (37, 53)])
def test_a_share_says_of_how_many_points_it_is(n, m):
    """Of two prime numbers of points, the share times the one is whole, and times the other is not."""
    for name, estimate in estimates_of(*two_sets(n=n, m=m)).items():
        whole = [
            count
            for count in (n, m)
            if estimate.value * count == pytest.approx(round(estimate.value * count))
        ]
        assert 0 < estimate.value < 1.5
        total = OVERLAPS[name].total(samples=m, reference=n)
        assert [total] == (whole if METRICS[name].most == 1 else [None]), name


# ----------------------------------------------------------------------------------------------
# The computation


@pytest.mark.parametrize(
    ("sets", "most", "held"),
    [
        (two_sets(), 30, 0),
        (lattice(), 1 << 22, 1 << 22),
        (copies(), 1 << 22, 1 << 22),
        (dense(), 2_000, 1 << 22),
        (dense()[::-1], 2_000, 1 << 22),
    ],
)
def test_the_number_and_both_halves_of_every_split(sets, most, held, monkeypatch):
    """However few distances are held at a time."""
    monkeypatch.setattr(manifold, "MOST", most)
    monkeypatch.setattr(manifold, "MOST_HELD", held)
    rng = np.random.default_rng(7)
    of_a, of_b = (rng.integers(0, BLOCKS, len(x)) for x in sets)
    values = in_all_parts(*sets, of_a, of_b)
    np.testing.assert_allclose(values[:, 0], defined(*sets), rtol=1e-12)
    for i in (0, 8, 18):
        for half, blocks in enumerate((PARTS[1 + i], PARTS[20 + i])):
            expected = defined(sets[0][blocks[of_a]], sets[1][blocks[of_b]])
            np.testing.assert_allclose(values[:, 1 + 19 * half + i], expected, rtol=1e-12)


def test_the_nearest_points_may_all_be_in_few_blocks():
    """On a line that is cut into blocks a point is among those of another, of which many halves hold none."""
    rng = np.random.default_rng(3)
    sets = [np.sort(rng.uniform(0, 9, 300))[:, None] for _ in range(2)]
    blocks = np.arange(300) // (300 // BLOCKS)
    blocks[7::15] = np.roll(blocks[7::15], BLOCKS // 2)
    values = in_all_parts(*sets, blocks, blocks)
    for i in range(19):
        for half, held in enumerate((PARTS[1 + i], PARTS[20 + i])):
            expected = defined(*(points[held[blocks]] for points in sets))
            np.testing.assert_allclose(values[:, 1 + 19 * half + i], expected, rtol=1e-12)


def test_splits_are_balanced():
    """Every half has ten blocks, the halves of a split share none, and the influences of a mean
    have its usual standard error.
    """
    assert (PARTS[1:].sum(1) == 10).all() and (PARTS[1:20] ^ PARTS[20:]).all()
    x = np.random.default_rng(1).normal(size=BLOCKS)
    error = np.linalg.norm(influence_of_splits(PARTS @ x / PARTS.sum(1)))
    assert error == pytest.approx(x.std(ddof=1) / np.sqrt(BLOCKS), rel=1e-12)


def test_the_influences_are_those_of_the_splits():
    a, b = two_sets()
    values = in_all_parts(a, b, blocks_of(len(a)), blocks_of(len(b)))
    estimates = overlaps(Side.of(b, blocks_of(90), "b"), Side.of(a, blocks_of(130), "a")).whole()
    for in_parts, estimate in zip(values, estimates.values(), strict=True):
        (source,) = estimate.influences
        first, second = in_parts[1:20], in_parts[20:]
        np.testing.assert_allclose(source.values, (first - second) / np.sqrt(4 * 19), rtol=1e-12)
        assert source.units.startswith("blocks, halved:") and estimate.n == 90


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "d", "shift"), [(200, 200, 8, 0.0), (300, 100, 16, 0.2)])
def test_the_standard_error_is_the_spread_of_new_draws(n, m, d, shift):
    rng = np.random.default_rng(5)
    values, variances = [], []
    for _ in range(150):
        sets = rng.normal(size=(n, d)), rng.normal(shift, 1, (m, d))
        in_parts = in_all_parts(*sets, blocks_of(n), blocks_of(m))
        values.append(in_parts[:, 0])
        variances.append([np.square(influence_of_splits(x)).sum() for x in in_parts])
    ratio = np.sqrt(np.mean(variances, 0)) / np.std(values, 0, ddof=1)
    assert (ratio > 0.85).all() and (ratio < 1.2).all()


def test_there_is_no_error_where_a_half_has_too_few_points():
    a, b = two_sets()
    few, many = (a[:9], blocks_of(9)), (b, blocks_of(90))
    for reference, samples, has_error in (
        (few, many, [False, True, False, False]),
        (many, few, [True, False, True, True]),
    ):
        in_parts = in_all_parts(reference[0], samples[0], reference[1], samples[1])
        finite = [np.isfinite(influence_of_splits(x)).all() for x in in_parts]
        assert finite == has_error
    density = estimates_of(a[:9], b)["density"]
    assert density.why == "no error: half of the images is too few for a ball"
    assert density.value is not None and density.error is None
    for estimate in estimates_of(a, b[:1]).values():
        assert estimate.error is None and estimate.why


def test_too_few_images_have_a_reason_and_no_value():
    a, b = np.zeros((3, 2)), np.zeros((5, 2))
    for name, sides, message in (
        ("precision", (a, b), "precision with k = 3 needs at least 4 images in the reference"),
        ("recall", (b, a), "recall with k = 3 needs at least 4 images in the samples, which has 3"),
        ("density", (b, a), "density with k = 5 needs at least 6 images in the reference"),
        ("coverage", (b, a), "coverage with k = 5 needs at least 6 images in the reference"),
    ):
        estimate = estimates_of(*sides)[name]
        assert estimate.value is None and estimate.why.startswith(message)
    none = overlaps(side_of(a), side_of(a))
    assert none.count == 0 and all(x.value is None for x in none.whole().values())
    with pytest.raises(UserError, match="infinite or NaN"):
        side_of(np.array([[1.0], [np.nan]]))
