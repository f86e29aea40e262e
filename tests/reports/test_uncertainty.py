"""Influences: closed forms, Student's t and Welch's degrees of freedom by SciPy, and their file."""

import math

import numpy as np
import pytest
from reports.records.uncertainty import (
    by_group,
    carried_by_one,
    difference_error,
    error,
    of_influences,
    of_mean,
    paired,
    read_uncertainties,
    t_quantile,
    t_tail,
    units_of,
    write_uncertainties,
)
from scipy import stats

from reports.records.record import Record, record_key

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=30), RNG.normal(size=12)


def test_error_of_a_mean_is_the_textbooks():
    found = error(of_mean(X, "images"))
    assert found.stderr == pytest.approx(X.std(ddof=1) / math.sqrt(30))
    low, high = stats.t.interval(0.95, 29, X.mean(), stats.sem(X))
    assert X.mean() + found.quantile(0.975) == pytest.approx(high)
    assert X.mean() - found.quantile(0.975) == pytest.approx(low)


@pytest.mark.parametrize("values", [[1.0], [1.0, math.nan], [1.0, math.inf], []])
def test_too_little_is_unknown(values):
    assert of_mean(values, "images") == () and error(()) is None
    assert of_influences(values, "blocks") == ()


def test_groups_of_one_change_nothing():
    (images,) = of_mean(X, "images")
    order = RNG.permutation(30)
    (persons,) = by_group(images.values[order], order, "persons")
    np.testing.assert_allclose(persons.values, images.values)


def test_copies_of_an_image_add_no_information():
    (images,) = of_mean(np.repeat(X, 4), "images")
    copies = error(by_group(images.values, np.repeat(np.arange(30), 4), "persons"))
    assert copies.stderr == pytest.approx(error(of_mean(X, "images")).stderr)
    assert copies.df == 29


def test_equal_units_are_paired():
    base, new = of_mean(X, "images"), of_mean(X + 0.1 * RNG.normal(size=30), "images")
    assert paired(base, new)
    assert difference_error(base, new).stderr < 0.3 * error(base).stderr
    assert difference_error(base, base).stderr == 0

    y = RNG.normal(size=30)
    expected = stats.ttest_rel(X, y)
    found = difference_error(of_mean(X, "images"), of_mean(y, "images"))
    t = (X.mean() - y.mean()) / found.stderr
    assert t == pytest.approx(expected.statistic)
    assert 2 * stats.t.sf(abs(t), found.df) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("df", [1, 2.5, 19, 1e4, math.inf])
@pytest.mark.parametrize("x", [-3.0, 0.0, 1.96, 8.0, 60.0])
def test_students_t_is_scipys(df, x):
    assert t_tail(x, df) == pytest.approx(stats.t.sf(x, df), rel=1e-9)
    assert t_quantile(stats.t.cdf(min(x, 5), df), df) == pytest.approx(
        min(x, 5), rel=1e-6, abs=1e-9
    )


def test_other_units_are_welchs_test():
    expected = stats.ttest_ind(X, Y, equal_var=False)
    found = difference_error(of_mean(X, "images a"), of_mean(Y, "images b"))
    assert (X.mean() - Y.mean()) / found.stderr == pytest.approx(expected.statistic)
    assert found.df == pytest.approx(expected.df)


def test_sources_add_up_and_pair_each_for_itself():
    base = of_mean(X, "samples") + of_mean(Y, "reference")
    new = of_mean(-X, "other samples") + of_mean(Y, "reference")
    assert error(base).stderr == pytest.approx(math.hypot(stats.sem(X), stats.sem(Y)))
    assert difference_error(base, new).stderr == pytest.approx(math.sqrt(2) * stats.sem(X))
    assert not paired(base, new)
    assert difference_error(base, ()) is None


def test_names_of_units_tell_contents_apart():
    one = units_of("images", "data", np.arange(3))
    assert one == units_of("images", "data", np.arange(3))
    assert (
        one != units_of("images", "data", np.arange(4)) != units_of("pairs", "data", np.arange(4))
    )


def test_written_and_read_again(tmp_path):
    record = Record("probes", "t", 'A, "B" | <script>', "d", "test", "", 10, "auroc", 0.5)
    given = {record_key(record): of_mean(X, "images") + of_mean(Y, "é\n"), "other": of_mean(Y, "u")}
    write_uncertainties(tmp_path / "a.npz", given)
    write_uncertainties(tmp_path / "b.npz", given)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = read_uncertainties(tmp_path / "a.npz")
    assert list(found) == list(given)
    for key, parts in given.items():
        assert [part.units for part in found[key]] == [part.units for part in parts]
        for a, b in zip(found[key], parts, strict=True):
            np.testing.assert_allclose(a.values, b.values, rtol=1e-6)


def test_what_is_left_without_the_most_influential_unit_is_exact():
    """Of means: NumPy's mean and standard error of the others. Of pure noise, and of blocks, no
    unit is told.
    """
    base, new = RNG.normal(size=30), RNG.normal(size=30)
    assert carried_by_one(new.mean() - base.mean(), of_mean(base, "i"), of_mean(new, "i")) is None
    new[11] += 100
    given = new.mean() - base.mean(), of_mean(base, "images:x"), of_mean(new, "images:x")
    found, rest = carried_by_one(*given), np.delete(new - base, 11)
    assert (found.place, found.units) == (11, "images:x")
    assert found.difference == pytest.approx(rest.mean())
    assert found.error.stderr == pytest.approx(stats.sem(rest)) and found.error.df == 28
    other = of_mean(new, "images of another run")
    blocks = [of_mean(values, "blocks of images:x") for values in (base, new)]
    assert carried_by_one(given[0], given[1], other) is None
    assert carried_by_one(given[0], *blocks) is None


def test_a_difference_that_is_none_without_one_unit_is_carried_by_it():
    """A difference at p = 0.04, and 0.08 without its largest unit, which changes it by a fourth."""
    values = np.append(np.tile([-1.0, 1.0], 15), 3.0) + 0.33
    assert stats.ttest_1samp(values, 0).pvalue < 0.05 < stats.ttest_1samp(values[:-1], 0).pvalue
    nothing = of_mean(np.zeros(31), "i")
    found = carried_by_one(values.mean(), nothing, of_mean(values, "i"))
    assert found is not None and not found.is_shown and found.difference > values.mean() / 2
    sure = values + 1
    assert carried_by_one(sure.mean(), nothing, of_mean(sure, "i")) is None
