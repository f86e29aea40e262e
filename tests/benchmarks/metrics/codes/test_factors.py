"""Explicitness, InfoE, MCC and CCA against scikit-learn, published definitions and closed forms."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from codes_of_factors import ROTATION, labels_of, made, with_labels
from scipy.optimize import linear_sum_assignment
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.metrics.codes.data import Codes, LabelColumns, parts
from benchmarks.metrics.codes.schema import named
from benchmarks.metrics.codes.table import measure

PLAIN, N = named("plain"), 300


def test_explicitness_is_the_auroc_of_a_multinomial_regression():
    codes = with_labels(made("rotated", N, 1), [6, 7])
    part = parts(codes, 0)
    fitted = np.union1d(part.train, part.valid)
    x, wanted = codes.values, []
    x = (x - x[fitted].mean(0)) / x[fitted].std(0, ddof=1)
    for y in codes.labels.values.T:
        fit = LogisticRegression(tol=1e-8).fit(x[fitted], y[fitted])
        p = fit.predict_proba(x[part.test])
        wanted.append(roc_auc_score(y[part.test], p, multi_class="ovr"))
    found = measure("explicitness", codes, PLAIN.changed("explicitness.chosen", "not"), 0)
    assert found.value == pytest.approx(np.mean(wanted), abs=1e-4)


@pytest.mark.parametrize("name", ["infomec", "infomec-training", "infomec-discrete"])
def test_infoe_of_the_published_script(name):
    """Its function, without the arguments that scikit-learn no longer has."""

    def entropy(x, y):
        model = LogisticRegression(C=np.inf, tol=1e-4, class_weight="balanced", max_iter=100)
        return log_loss(y, model.fit(x, y).predict_proba(x))

    codes = with_labels(made("rotated", N, 1), [6, 7, 8])
    codes.labels.values[:60, 0] = 3  # classes that are not equally frequent
    scaler = StandardScaler()
    if name == "infomec-discrete":
        codes, scaler = replace(codes, values=np.round(codes.values)), OneHotEncoder()
    x, wanted = scaler.fit_transform(codes.values), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for y in codes.labels.values.T:
            null = entropy(np.zeros_like(codes.values), y)
            wanted.append((null - entropy(x, y)) / null)
    found = measure("infoe", codes, named(name), 0)
    assert found.value == pytest.approx(np.mean(wanted), abs=1e-6)


def test_infoe_of_noise_is_nearly_1_in_sample_and_0_held_out():
    noise = np.random.default_rng(0).normal(size=(200, 256))
    codes = with_labels(
        Codes(noise, labels_of(np.random.default_rng(1).normal(size=(200, 6)))), [6]
    )
    inside, outside = (
        measure("infoe", codes, named("infomec"), 0),
        measure("infoe", codes, PLAIN, 0),
    )
    assert inside.value > 0.99 and abs(outside.value) < 0.1
    assert "fitted on the scored rows" in inside.notes


def test_infoe_is_a_share_of_the_entropy_that_a_factor_has():
    """A bit that is 1 in a fifth of the images, and a code that does not know it."""
    rng = np.random.default_rng(0)
    y = (rng.random(1000) < 0.2).astype(float)[:, None]
    codes = Codes(rng.normal(size=(1000, 2)), LabelColumns(y, ("y",), ("binary",)))
    found = measure("infoe", codes, PLAIN, 0)
    assert abs(found.value) < 3.5 * found.stderr + 0.01 < 0.1


def test_infoe_of_a_known_channel():
    """A fair bit that is flipped in a tenth of the images: 1 - H(.1) bits of 1."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    code = np.where(rng.random(4000) < 0.1, 1 - y, y)[:, None].astype(float)
    codes = Codes(code, LabelColumns(y[:, None].astype(float), ("y",), ("binary",)))
    found = measure("infoe", codes, PLAIN, 0)
    wanted = 1 + 0.1 * np.log2(0.1) + 0.9 * np.log2(0.9)
    assert abs(found.value - wanted) < 3.5 * found.stderr < 0.1


def test_mcc_in_sample_is_the_best_assignment():
    codes = with_labels(made("rotated", N, 1), range(9, 15))
    matrix = np.abs(np.corrcoef(codes.values.T, codes.labels.values.T)[:6, 6:])
    wanted = matrix[linear_sum_assignment(-matrix)].mean()
    protocol = PLAIN.changed("mcc.rows", "in-sample")
    assert measure("mcc", codes, protocol, 0).value == pytest.approx(wanted)


def test_mcc_is_bound_to_axes_and_blind_to_their_order_sign_and_scale():
    codes = with_labels(made("aligned", N, 1), range(9, 15))
    plain = measure("mcc", codes, PLAIN, 0)
    assert plain.value == pytest.approx(1 / 1.09**0.5, abs=0.01)
    x = codes.values[:, ::-1] * [-1, 1, 0.01, 1, -1, 5] + 3
    assert measure("mcc", replace(codes, values=x), PLAIN, 0).value == pytest.approx(plain.value)
    assert measure("mcc", replace(codes, values=codes.values @ ROTATION), PLAIN, 0).value < 0.8
    two = measure("mcc", replace(codes, values=codes.values[:, :2]), PLAIN, 0)
    assert two.value == pytest.approx(plain.value / 3, abs=0.02)  # of six factors, four have none
    noise = measure("mcc", with_labels(made("noise", 600, 1), range(9, 15)), PLAIN, 0)
    assert abs(noise.value) < 3.5 * noise.stderr < 0.2


def test_cca_of_any_invertible_map_is_1_and_that_of_noise_0():
    codes = with_labels(made("aligned", N, 1), range(9, 15))
    y = codes.labels.values
    mapped = np.tanh(np.arange(36).reshape(6, 6) % 7 - 2.0) + 2 * np.eye(6)
    assert measure("cca", replace(codes, values=y @ mapped), PLAIN, 0).value == pytest.approx(1)
    noise = measure("cca", with_labels(made("noise", 600, 1), range(9, 15)), PLAIN, 0)
    assert abs(noise.value) < 3.5 * noise.stderr < 0.2
    two = measure("cca", replace(codes, values=(y @ mapped)[:, :2]), PLAIN, 0)
    assert two.value == pytest.approx(1 / 3, abs=0.02)


def test_cca_is_scikit_learns_where_the_penalty_is_small():
    codes = with_labels(made("rotated", N, 1), range(9, 15))
    protocol = PLAIN.changed("cca.rows", "in-sample")
    a, b = (
        CCA(6, max_iter=5000, tol=1e-9)
        .fit(codes.values, codes.labels.values)
        .transform(codes.values, codes.labels.values)
    )
    wanted = np.mean([np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(6)])
    assert measure("cca", codes, protocol, 0).value == pytest.approx(wanted, abs=1e-3)
