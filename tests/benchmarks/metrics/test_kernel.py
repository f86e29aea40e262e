"""The kernel distance against scikit-learn's kernel, torch-fidelity, the same without a block, and new draws."""

import numpy as np
import pytest
import reference_metrics
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from benchmarks.metrics.nearest import nearest
from benchmarks.metrics.sets import frechet, frechet_jackknife, kernel
from benchmarks.metrics.sets.frechet_jackknife import paired_jackknife
from benchmarks.metrics.sets.jackknife import BLOCKS, Side, blocks_of, influences, shares_of
from benchmarks.metrics.sets.manifold import overlaps
from diffae.system.errors import UserError


def between(x, y):
    return kernel.between(Side.of(x, blocks_of(len(x))), Side.of(y, blocks_of(len(y)))).whole()


def check_influences(values, value, without, blocks, rel):
    """Influences [BLOCKS] beside those of a brute-force jackknife."""
    expected = influences(value, np.array(without), shares_of(blocks))
    np.testing.assert_allclose(values, expected, rtol=0, atol=rel * np.abs(without).max())


def paired(made, originals, blocks):
    return kernel.paired(Side.of(made, blocks), Side.of(originals, blocks)).whole()


@pytest.fixture
def few_rows(monkeypatch):
    """The kernel in parts of 16 rows, as it is in parts of 2,048 for thousands of images."""
    monkeypatch.setattr(kernel, "ROWS", 16)


@pytest.mark.parametrize(("n", "m"), [(70, 67), (66, 40), (30, 300), (16, 32), (2, 3)])
def test_the_distance_and_every_block_left_out(n, m, few_rows):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 12)).astype(np.float32), rng.normal(0.4, 1.3, size=(m, 12))
    of_x, of_y = rng.integers(0, BLOCKS, n), rng.integers(0, BLOCKS, m)
    found = kernel.between(Side.of(x, of_x), Side.of(y, of_y)).whole()
    x = x.astype(np.float64)
    assert found.value == pytest.approx(reference_metrics.kernel(x, y), rel=1e-11)
    if min(n, m) == 2:  # without one of two images there is no distance
        assert found.influences == () and found.stderr is None
        return
    without_x = [reference_metrics.kernel(x[of_x != block], y) for block in range(BLOCKS)]
    without_y = [reference_metrics.kernel(x, y[of_y != block]) for block in range(BLOCKS)]
    ours, theirs = found.influences
    check_influences(ours.values, found.value, without_x, of_x, rel=1e-9)
    check_influences(theirs.values, found.value, without_y, of_y, rel=1e-9)


def test_some_rows_of_many_are_a_side_and_an_empty_block_changes_nothing(few_rows):
    rng = np.random.default_rng(12)
    pool, other = rng.normal(size=(90, 5)).astype(np.float32), rng.normal(size=(40, 5))
    rows, blocks = rng.permutation(90)[:50], np.where(blocks_of(50) == 3, 4, blocks_of(50))
    reference = Side.of(other, blocks_of(40))
    found = kernel.between(Side(pool, rows, blocks), reference).whole()
    copied = kernel.between(Side.of(pool[rows], blocks), reference).whole()
    assert found.value == copied.value
    ours, theirs = (estimate.influences[0].values for estimate in (found, copied))
    np.testing.assert_array_equal(ours, theirs)
    without = [reference_metrics.kernel(pool[rows][blocks != k], other) for k in range(BLOCKS)]
    assert without[3] == pytest.approx(found.value, rel=1e-5)
    check_influences(ours, found.value, without, blocks, rel=1e-5)


def test_it_has_no_bias():
    """Of two sets of one distribution the mean is zero; with the diagonals it is not."""
    rng = np.random.default_rng(3)
    draws = rng.normal(size=(400, 2, 30, 10))
    values = np.array([between(x, y).value for x, y in draws])
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean()) < 3 * error
    kept = [
        polynomial_kernel(x).trace() / 30**2 + polynomial_kernel(y).trace() / 30**2
        for x, y in draws
    ]
    assert np.mean(kept) > 100 * error


@pytest.mark.parametrize(
    ("both", "shift", "least", "most"),
    [(True, 0.4, 0.85, 1.2), (False, 0.4, 0.85, 1.2), (True, 0, 1.2, 1.6), (False, 0, 1, 1.4)],
)
def test_the_standard_error_is_the_spread_of_new_draws(both, shift, least, most):
    """Of both sides, and of the samples against one reference; features are ReLUs, as Inception's.
    Of two sets of one distribution it is too large, by about the square root of two: what is left
    is a sum over pairs of images, and each pair counts for both.
    """
    rng = np.random.default_rng(4)

    def drawn(n, mean):
        return np.maximum(rng.normal(mean, 1, size=(n, 20)), 0)

    fixed, values, variances = drawn(120, 0), [], []
    for _ in range(200):
        found = between(drawn(80, shift), drawn(120, 0) if both else fixed)
        values.append(found.value)
        variances.append(sum(source.variance for source in found.influences[: 1 + both]))
    ratio = np.sqrt(np.mean(variances)) / np.std(values, ddof=1)
    assert least < ratio < most


# ----------------------------------------------------------------------------------------------
# torch-fidelity's subsets


def two_sets():
    rng = np.random.RandomState(7)
    return np.abs(rng.normal(size=(300, 64))), np.abs(rng.normal(0.2, 1.1, size=(240, 64)))


@pytest.mark.parametrize(
    ("count", "size", "together"), [(100, 100, 256), (5, 240, 2), (3, 230, 256), (4, 7, 256)]
)
def test_subsets_equal_torch_fidelity(count, size, together, few_rows, monkeypatch):
    """However many share a kernel; the last ones do not, as theirs are smaller."""
    monkeypatch.setattr(kernel, "TOGETHER", together)
    theirs = pytest.importorskip("torch_fidelity.metric_kid").kid_features_to_metric
    first, second = two_sets()
    distances = kernel.subset_distances(first, second, count, size)
    found = distances.mean(), distances.std()
    estimate = kernel.over_subsets(second, first, count, size)
    assert estimate.value == found[0] and estimate.error is None
    note = f"{count} subsets of {size}, standard deviation over them {found[1]:.3g}"
    assert estimate.notes == (note,)
    for dtype, within in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        features = (torch.from_numpy(x).to(dtype) for x in (first, second))
        flags = {"kid_subsets": count, "kid_subset_size": size, "verbose": False}
        expected = list(theirs(*features, **flags).values())
        np.testing.assert_allclose(found, expected, rtol=0, atol=within)


# ----------------------------------------------------------------------------------------------
# What is refused


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match="two images"):
        between(np.zeros((1, 4)), np.zeros((9, 4)))
    with pytest.raises(UserError, match="subsets of 8 cannot be drawn from 7"):
        kernel.over_subsets(np.zeros((9, 4)), np.zeros((7, 4)), 2, 8)


def of_sides(metric):
    return lambda x, y: metric(*(Side.of(z, blocks_of(len(z))) for z in (x, y))).whole()


def value_of(distance):
    return lambda x, y: of_sides(distance)(x, y).value


OF_FEATURES = {
    "kernel": value_of(kernel.between),
    "cmmd": value_of(kernel.cmmd),
    "paired": value_of(kernel.paired),
    "subsets": lambda x, y: kernel.over_subsets(x, y, 2, 5).value,
    "frechet": lambda x, y: frechet.frechet_distance(*map(frechet.Moments.from_features, (x, y))),
    "frechet, jackknife": value_of(frechet_jackknife.between),
    "frechet, paired": value_of(paired_jackknife),
    "precision": lambda x, y: of_sides(overlaps)(x, y)["precision"].value,
    "nearest": lambda x, y: nearest(x, y)[0].max(),
}


@pytest.mark.parametrize("name", OF_FEATURES)
def test_a_row_that_is_not_finite_is_refused_by_all_that_compares_features(name):
    """On either side, whether or not it is among the rows that are drawn or found."""
    sides = np.random.default_rng(0).normal(size=(2, 60, 8)).astype(np.float32)
    assert np.isfinite(OF_FEATURES[name](*sides))
    for side in (0, 1):
        for bad in (np.nan, np.inf):
            spoilt = sides.copy()
            spoilt[side, 59, 3] = bad
            with pytest.raises(UserError, match="one is infinite or NaN"):
                OF_FEATURES[name](*spoilt)


# ----------------------------------------------------------------------------------------------
# Images and their reconstructions; CMMD


def pairs_of(n, d, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    return x, (0.8 * x + rng.normal(0.1, 0.4, size=(n, d))).astype(np.float32)


def expected_paired(x, y):
    """Gretton et al. 2012, eq. 4, with scikit-learn's kernel."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    h = (
        sum(polynomial_kernel(z) for z in (x, y))
        - polynomial_kernel(x, y)
        - polynomial_kernel(y, x)
    )
    return h[~np.eye(len(x), dtype=bool)].mean()


@pytest.mark.parametrize("n", [50, 21, 3])
def test_a_distance_of_pairs_and_every_block_left_out_of_both_sides(n, few_rows):
    x, y = pairs_of(n, 7, seed=n)
    blocks = np.random.default_rng(1).integers(0, BLOCKS, n)
    found = paired(y, x, blocks)
    assert found.value == pytest.approx(expected_paired(x, y), rel=1e-10)
    kept = [blocks != block for block in range(BLOCKS)]
    if min(rest.sum() for rest in kept) < 2:
        assert found.influences == ()
        return
    without = [expected_paired(x[rest], y[rest]) for rest in kept]
    check_influences(found.influences[0].values, found.value, without, blocks, rel=1e-9)


def test_equal_images_are_at_no_distance_and_one_has_none():
    x, _ = pairs_of(40, 9, seed=0)
    found = paired(x, x, blocks_of(40))
    assert found.value == 0 and found.stderr == 0
    with pytest.raises(UserError, match="two images"):
        paired(x[:1], x[:1], blocks_of(1))


def test_equal_images_are_at_no_distance_where_rounding_depends_on_alignment(monkeypatch):
    """A BLAS may choose the order of its sums by where its arguments lie in memory."""

    def summed_by_alignment(x, y):
        reverse = x.data_ptr() % 64 != y.data_ptr() % 64
        columns = list(zip(x.unbind(1), y.unbind(1), strict=True))
        products = sum(torch.outer(a, b) for a, b in (columns[::-1] if reverse else columns))
        return (products / len(columns) + 1).pow(3)

    monkeypatch.setattr(kernel, "polynomial", summed_by_alignment)
    x, y = pairs_of(40, 9, seed=0)
    found = paired(x, x, blocks_of(40))
    assert found.value == 0 and found.stderr == 0
    assert paired(x, y, blocks_of(40)).value == pytest.approx(expected_paired(x, y), rel=1e-9)


def test_a_distance_of_pairs_has_no_bias_and_its_error_is_their_spread():
    """Against that of 4,000 pairs; the estimate for two independent sets counts each image with its
    own reconstruction, and is lower.
    """
    x, y = pairs_of(4000, 6, seed=5)
    truth = expected_paired(x, y)
    draws = [pairs_of(60, 6, seed=1000 + i) for i in range(300)]
    estimates = [paired(b, a, blocks_of(60)) for a, b in draws]
    values = np.array([estimate.value for estimate in estimates])
    spread = values.std(ddof=1)
    assert abs(values.mean() - truth) < 4 * spread / np.sqrt(300)
    stated = np.sqrt(np.mean([estimate.stderr**2 for estimate in estimates]))
    assert 0.85 < stated / spread < 1.3
    apart = np.mean([between(b, a).value for a, b in draws])
    assert apart < truth - 10 * spread / np.sqrt(300)


def expected_cmmd(x, y):
    """As cmmd-pytorch's distance.py: of embeddings of length 1, all pairs, with the diagonals."""
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))

    def mean(a, b):
        squared = -2 * a @ b.T + np.square(a).sum(1)[:, None] + np.square(b).sum(1)
        return np.mean(np.exp(-squared / (2 * 10**2)))

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def test_cmmd_is_that_of_cmmd_pytorch(few_rows):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(47, 16)), rng.normal(0.3, 1.5, size=(39, 16))
    of_x, of_y = rng.integers(0, BLOCKS, 47), rng.integers(0, BLOCKS, 39)
    found = kernel.cmmd(Side.of(x, of_x), Side.of(y, of_y)).whole()
    assert found.value == pytest.approx(expected_cmmd(x, y), rel=1e-8)
    longer = kernel.cmmd(Side.of(5 * x, of_x), Side.of(y, of_y)).whole()
    assert longer.value == pytest.approx(found.value, rel=1e-9)
    without_x = [expected_cmmd(x[of_x != block], y) for block in range(BLOCKS)]
    without_y = [expected_cmmd(x, y[of_y != block]) for block in range(BLOCKS)]
    ours, theirs = found.influences
    check_influences(ours.values, found.value, without_x, of_x, rel=1e-8)
    check_influences(theirs.values, found.value, without_y, of_y, rel=1e-8)


def test_cmmd_is_biased_upwards():
    """Of two sets of one distribution: 1,000 (1 - E k) (1 / n + 1 / m), here nearly 10 (2 / n)."""
    rng = np.random.default_rng(4)
    sides = (
        Side.of(x, blocks_of(30)) for x in rng.normal(size=(100, 2, 30, 64)).reshape(-1, 30, 64)
    )
    values = [kernel.cmmd(a, b).whole().value for a, b in zip(sides, sides, strict=True)]
    assert np.mean(values) == pytest.approx(10 * 2 / 30, rel=0.03)
