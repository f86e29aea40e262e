"""DCI against disentanglement_lib, latentverse and closed forms."""

import numpy as np
import pytest
from factor_codes import labelled, standardised, table

from benchmarks.metrics.codes import dci
from benchmarks.metrics.codes.dci import Dci, disentanglement
from benchmarks.metrics.codes.schema import NUMBERS
from diffae.system.errors import UserError


@pytest.fixture
def no_errors(monkeypatch):
    monkeypatch.setattr(dci, "WORTH_REFITTING", 0)


def all_three(codes, how=Dci(), seed=0):  # noqa: B008
    estimates = NUMBERS["dci_d"].estimate(codes, how, seed)
    return [estimates[f"dci_{letter}"].value for letter in "dci"]


def test_a_permutation_is_perfect_and_equal_importance_is_not():
    permutation = np.eye(4)[[2, 0, 3, 1]] * [[1], [2], [3], [4]]
    assert disentanglement(permutation) == pytest.approx(1)
    assert disentanglement(permutation.T) == pytest.approx(1)
    assert disentanglement(np.ones((4, 3))) == pytest.approx(0)
    assert disentanglement(np.zeros((4, 3))) == pytest.approx(0)


def test_axes_count_by_their_importance():
    """Rows with entropies 0 and 1 and shares 3/4 and 1/4 of the whole: 3/4."""
    assert disentanglement(np.array([[3.0, 0.0], [0.5, 0.5]])) == pytest.approx(0.75)


def test_d_and_c_of_given_importances_are_latentverses():
    """D .46033961, C .51312715 by latentverse 0.3.5 evaluations/disentanglement.py,
    `dci_disentanglement_multifactor` and `dci_completeness_multifactor`, run once from its wheel.
    """
    given = np.array([[0.7, 0.1, 0.0], [0.2, 0.6, 0.0], [0.1, 0.3, 0.9], [0.0, 0.0, 0.1]])
    assert disentanglement(given) == pytest.approx(0.46033961, abs=1e-7)
    assert disentanglement(given.T) == pytest.approx(0.51312715, abs=1e-7)


def test_dci_is_disentanglement_libs(dlib_codes, no_errors):
    """D .7049856593, C .7213194010, I .9291666667 (informativeness_test) by
    google-research/disentanglement_lib@86a644d dci.py `_compute_dci`, run once from source with gin
    and absl replaced by stubs (scikit-learn 1.9.1), on `dlib_codes` (first 100 rows to fit).
    """
    expected = [0.7049856593, 0.7213194010, 0.9291666667]
    assert all_three(dlib_codes) == pytest.approx(expected, abs=0.005)  # ties between splits


def test_one_axis_for_each_label_and_a_rotation_of_it(no_errors):
    y = table((3, 3, 3), copies=3)
    z = standardised(y) + 0.02 * np.random.default_rng(0).standard_normal(y.shape)
    assert all_three(labelled(z[:, [1, 2, 0]], y)) == pytest.approx([1, 1, 1], abs=1e-6)
    assert all_three(labelled(z @ (np.eye(3) - 2 / 3), y))[0] < 0.5


def test_copies_cost_completeness_and_noise_has_nothing(no_errors):
    random = np.random.default_rng(0)
    y = table((3, 3), copies=12)
    z = standardised(y) + 0.02 * random.standard_normal(y.shape)
    d, c, i = all_three(
        labelled(np.hstack([z, z]), y)
    )  # half the importance each: 1 - log 2 / log 4
    assert d == pytest.approx(1, abs=1e-6) and i == 1
    assert 0.5 - 1e-6 <= c < 1
    d, _, i = all_three(labelled(random.standard_normal((108, 4)), y))
    assert d < 0.3 and i == pytest.approx(1 / 3, abs=0.15)


def test_the_accuracy_is_of_rows_that_were_not_fitted_on(no_errors):
    """In-sample, boosting tells the labels of noise."""
    random = np.random.default_rng(0)
    noise = labelled(random.standard_normal((60, 5)), random.integers(3, size=(60, 2)))
    assert all_three(noise)[2] < 0.6
    assert all_three(noise, Dci(rows="in-sample"))[2] > 0.95


def test_three_numbers_share_their_fits(monkeypatch, no_errors):
    calls = []
    fits = dci._fits
    monkeypatch.setattr(dci, "_fits", lambda *a: calls.append(1) or fits(*a))
    random = np.random.default_rng(9)
    codes = labelled(random.standard_normal((60, 2)), random.integers(2, size=(60, 2)))
    all_three(codes)
    assert len(calls) == 1
    all_three(codes, seed=1)
    other = labelled(codes.values, 1 - codes.labels.values)
    all_three(other)
    assert len(calls) == 3


def test_concepts_are_replaced_by_their_principal_component(no_errors):
    """Two concepts of two numbers, each a factor along one direction: as the factors themselves."""
    random = np.random.default_rng(0)
    y = table((3, 3), copies=8)
    factors = standardised(y) + 0.02 * random.standard_normal(y.shape)
    z = np.column_stack([factors[:, [0]] * [3, 4], factors[:, [1]] * [-1, 1]])
    how = Dci(concepts=2, components=1, principal="all rows")
    assert all_three(labelled(z, y), how) == pytest.approx([1, 1, 1], abs=1e-6)
    with pytest.raises(UserError, match="codes of 4 numbers do not divide into 3 concepts"):
        all_three(labelled(z, y), Dci(concepts=3))


def test_what_cannot_be_compared_is_refused():
    y = table((2, 2), copies=15)
    with pytest.raises(UserError, match="dci: needs two labels"):
        all_three(labelled(y, y[:, :1]))
    with pytest.raises(UserError, match="dci: needs two axes"):
        all_three(labelled(y[:, :1], y))
    rare = labelled(y, y, split=np.where(y[:, 0] > 0, 2, 0))
    with pytest.raises(UserError, match="one value on the rows that are fitted on"):
        all_three(rare)


@pytest.mark.slow
def test_processes_find_what_one_process_finds(monkeypatch, dlib_codes):
    z, y = dlib_codes.values, dlib_codes.labels.values.astype(int)
    rows = [(np.arange(100), np.arange(100, 180)), (np.arange(80, 180), np.arange(80))]
    alone = dci._fits(z, y, rows, 0)
    monkeypatch.setattr(dci, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(dci.os, "cpu_count", lambda: 2)
    assert dci._fits(z, y, rows, 0) == pytest.approx(alone, abs=1e-12)
    assert alone.shape == (2, 5, 3) and abs(alone[0] - alone[1]).max() > 0.01
