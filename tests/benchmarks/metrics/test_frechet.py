"""The Frechet distance against its definition and pytorch-fid."""

import warnings
from functools import reduce

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from reference_metrics import frechet

from benchmarks.metrics.sets.frechet import (
    UNKNOWN,
    Moments,
    frechet_distance,
    read_statistics,
    write_statistics,
)
from diffae.system.errors import UserError


def features(n: int, d: int, seed: int, condition: float = 1.0) -> np.ndarray:
    """Correlated features whose covariance has about this condition number."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(np.random.default_rng(9).standard_normal((d, d)))[0]
    scales = np.logspace(0, -0.5 * np.log10(condition), d)
    return (rng.standard_normal((n, d)) * scales) @ rotation + 0.3 * rng.standard_normal(d)


def assert_same(a: Moments, b: Moments) -> None:
    assert a.n == b.n
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(a.scatter, b.scatter, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8])
def test_distance_equals_the_definition_and_pytorch_fid(condition, scipy_of_pytorch_fid):
    x, y = features(600, 96, 1, condition), features(500, 96, 2, condition)
    ours = frechet_distance(Moments.from_features(x), Moments.from_features(y))
    assert ours == pytest.approx(frechet(x, y), rel=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = calculate_frechet_distance(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_distance_of_diagonal_gaussians():
    rng = np.random.default_rng(0)
    (m1, m2), (v1, v2) = rng.standard_normal((2, 40)), rng.random((2, 40))
    pairs = (map(torch.from_numpy, pair) for pair in ((m1, v1), (m2, v2)))
    a, b = (Moments(UNKNOWN, m, v.diag()) for m, v in pairs)
    expected = ((m1 - m2) ** 2 + (np.sqrt(v1) - np.sqrt(v2)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("n", "condition", "constant"),
    [(400, 1.0, 0), (400, 1e12, 0), (60, 1.0, 0), (60, 1e8, 0), (400, 1.0, 4)],
)
def test_distance_to_itself_is_zero(n, condition, constant):
    x = features(n, 100, 3, condition)
    x[:, :constant] = 1.0
    moments = Moments.from_features(x)
    assert abs(frechet_distance(moments, moments)) < 1e-6 * np.trace(moments.covariance())


@pytest.mark.parametrize(("n", "m"), [(40, 50), (50, 40), (40, 500), (500, 40)])
def test_fewer_images_than_dimensions(n, m):
    x, y = features(n, 100, 5, 100.0), features(m, 100, 6, 100.0)
    ours = frechet_distance(Moments.from_features(x), Moments.from_features(y))
    assert ours == pytest.approx(frechet(x, y), rel=1e-6)


def test_moments_do_not_depend_on_the_blocks():
    x = features(230, 20, 10) + 50
    blocks = [Moments.from_features(part) for part in np.split(x, [10, 11, 100])]
    whole = reduce(Moments.merge, blocks)
    assert_same(whole, Moments.from_features(x))
    np.testing.assert_allclose(whole.covariance(), np.cov(x, rowvar=False), rtol=1e-9)


def test_without_undoes_merge():
    x, y = features(120, 20, 11), features(40, 20, 12) + 3
    both = Moments.from_features(x).merge(Moments.from_features(y))
    assert_same(both.without(Moments.from_features(y)), Moments.from_features(x))
    with pytest.raises(ValueError, match="cannot take"):
        both.without(both)


def test_features_in_float32_are_summed_in_float64():
    x = torch.from_numpy(features(500, 8, 13) + 1000).float()
    np.testing.assert_allclose(
        Moments.from_features(x).covariance(), np.cov(x.double().numpy().T), rtol=1e-9
    )


def test_statistics_survive_a_file(tmp_path):
    moments = Moments.from_features(features(90, 12, 15))
    write_statistics(tmp_path / "own.npz", moments)
    assert_same(read_statistics(tmp_path / "own.npz"), moments)


def test_statistics_may_be_of_any_order_and_precision(tmp_path):
    x = features(90, 12, 15)
    sigma = np.cov(x, rowvar=False).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", mu=x.mean(0), sigma=np.asfortranarray(sigma), n=[90.0])
    found = read_statistics(tmp_path / "a.npz")
    assert found.n == 90
    np.testing.assert_allclose(found.covariance(), sigma, rtol=1e-12)


def test_statistics_of_others_have_no_count(tmp_path):
    x, y = features(200, 12, 16), features(300, 12, 17)
    np.savez(tmp_path / "theirs.npz", mu=x.mean(0), sigma=np.cov(x, rowvar=False))
    theirs, other = read_statistics(tmp_path / "theirs.npz"), Moments.from_features(y)
    assert theirs.n == UNKNOWN
    assert frechet_distance(other, theirs) == pytest.approx(frechet(x, y), rel=1e-6)
    with pytest.raises(ValueError, match="unknown number"):
        theirs.merge(other)
    write_statistics(tmp_path / "again.npz", theirs)
    assert read_statistics(tmp_path / "again.npz").n == UNKNOWN


def test_what_is_not_statistics_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "odd.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    np.savez(tmp_path / "nan.npz", mu=np.zeros(2), sigma=np.full((2, 2), np.nan))
    (tmp_path / "text.npz").write_text("not an archive")
    for name in ("other.npz", "odd.npz", "nan.npz", "text.npz", "absent.npz"):
        with pytest.raises(UserError, match=name):
            read_statistics(tmp_path / name)


def test_one_image_has_no_covariance():
    one, many = Moments.from_features(np.zeros((1, 3))), Moments.from_features(features(9, 3, 18))
    with pytest.raises(UserError, match="at least two"):
        frechet_distance(one, many)
