"""Estimates: closed forms, Student's t and Welch's degrees of freedom by SciPy; the file of influences."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from diffae.system.errors import UserError
from reports.records.estimate import (
    Error,
    Estimate,
    influences_of,
    influences_of_groups,
    influences_on_mean,
    t_quantile,
    t_tail,
    units_of,
)
from reports.records.influences import read_influences, write_influences
from reports.records.record import Record, record_key

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=30), RNG.normal(size=12)


def mean_of(values, units="images"):
    """The mean of values, with their influences on it."""
    return Estimate(float(np.mean(values)), influences_on_mean(values, units))


def test_error_of_a_mean_is_the_textbooks():
    mean = mean_of(X)
    assert mean.stderr == pytest.approx(X.std(ddof=1) / math.sqrt(30)) and mean.error.df == 29
    ends = stats.t.interval(0.95, 29, X.mean(), stats.sem(X))
    assert mean.interval() == pytest.approx(ends)
    for value in (None, math.nan, math.inf):
        assert Estimate(value, mean.influences).interval() is Estimate(1.0).interval() is None


@pytest.mark.parametrize("values", [[1.0], [1.0, math.nan], [1.0, math.inf], []])
def test_too_little_is_unknown(values):
    assert influences_on_mean(values, "images") == influences_of(values, "blocks") == ()
    assert Estimate(1.0).error is None and Estimate(1.0).stderr is None


def test_an_influence_that_is_not_finite_leaves_no_error_and_one_that_is_given_stands():
    (images,) = influences_on_mean(X, "images")
    broken = replace(images, values=images.values * np.nan)
    assert Estimate(1.0, (images, broken)).error is None
    assert Estimate(1.0, (images,), Error(0.5, 3)).error == Error(0.5, 3)


def test_groups_of_one_change_nothing():
    (images,) = influences_on_mean(X, "images")
    order = RNG.permutation(30)
    (persons,) = influences_of_groups(images.values[order], order, "persons")
    np.testing.assert_allclose(persons.values, images.values)


def test_copies_of_an_image_add_no_information():
    (images,) = influences_on_mean(np.repeat(X, 4), "images")
    persons = influences_of_groups(images.values, np.repeat(np.arange(30), 4), "persons")
    copies = Estimate(None, persons).error
    assert copies.stderr == pytest.approx(mean_of(X).stderr)
    assert copies.df == 29


def test_equal_units_are_paired():
    base, new = mean_of(X), mean_of(X + 0.1 * RNG.normal(size=30))
    assert base.is_paired_with(new) and not Estimate(1.0).is_paired_with(Estimate(1.0))
    assert new.minus(base).stderr < 0.3 * base.stderr
    assert base.minus(base).stderr == base.minus(base).value == 0

    y = RNG.normal(size=30)
    expected = stats.ttest_rel(X, y)
    difference = mean_of(X).minus(mean_of(y))
    t = difference.value / difference.stderr
    assert t == pytest.approx(expected.statistic)
    assert 2 * stats.t.sf(abs(t), difference.error.df) == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert difference.interval() == pytest.approx((interval.low, interval.high))
    with pytest.raises(UserError, match="images: 12 units became 30"):
        mean_of(X).minus(mean_of(Y))


@pytest.mark.parametrize("df", [1, 2.5, 19, 1e4, math.inf])
@pytest.mark.parametrize("x", [-3.0, 0.0, 1.96, 8.0, 60.0])
def test_students_t_is_scipys(df, x):
    assert t_tail(x, df) == pytest.approx(stats.t.sf(x, df), rel=1e-9)
    assert t_quantile(stats.t.cdf(min(x, 5), df), df) == pytest.approx(
        min(x, 5), rel=1e-6, abs=1e-9
    )


def test_other_units_are_welchs_test():
    """By their influences, and by their errors alone."""
    expected = stats.ttest_ind(X, Y, equal_var=False)
    a, b = mean_of(X, "images a"), mean_of(Y, "images b")
    for ours, theirs in ((a, b), (replace(a, influences=()), b), (a, replace(b, influences=()))):
        difference = ours.minus(theirs)
        assert difference.value / difference.stderr == pytest.approx(expected.statistic)
        assert difference.error.df == pytest.approx(expected.df)


def test_an_error_that_is_missing_is_that_of_the_other_number_and_no_value_has_no_difference():
    a, none = mean_of(X), Estimate(1.0)
    for difference in (a.minus(none), none.minus(a)):
        assert difference.stderr == pytest.approx(math.sqrt(2) * a.stderr)
        assert difference.error.df == pytest.approx(58)
    assert none.minus(none) == Estimate(0.0) and a.minus(Estimate(None)).value is None


def test_names_of_units_tell_contents_apart():
    one = units_of("images", "data", np.arange(3))
    assert one == units_of("images", "data", np.arange(3))
    assert (
        one != units_of("images", "data", np.arange(4)) != units_of("pairs", "data", np.arange(4))
    )


def test_written_and_read_again(tmp_path):
    sources = influences_on_mean(X, "images") + influences_on_mean(Y, "é\n")
    place = ("probes", "t", 'A, "B" | <script>', "d", "test", "", 10)
    records = [
        Record(*place, "auroc", Estimate(0.5, sources)),
        Record(*place, "mse", Estimate(None, sources[1:])),
        Record(*place, "ssim", Estimate(0.5, error=Error(0.1, 3))),
    ]
    for name in ("a.npz", "b.npz"):
        write_influences(tmp_path / name, records)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    by_key = read_influences(tmp_path / "a.npz")
    assert list(by_key) == [record_key(record) for record in records[:2]]
    for influences, record in zip(by_key.values(), records, strict=False):
        for a, b in zip(influences, record.estimate.influences, strict=True):
            assert a.units == b.units
            np.testing.assert_allclose(a.values, b.values, rtol=1e-6)
