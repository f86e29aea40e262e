"""TAD and ATTRS against scikit-learn and the steps of NashAE's script, SAP against disentanglement_lib."""

import numpy as np
import pytest
from factor_codes import labelled, rotation
from sklearn.metrics import mutual_info_score, roc_auc_score

from benchmarks.metrics.codes.schema import NUMBERS
from benchmarks.metrics.codes.tad import Sap, Tad, areas, sap, told_by_others

IN_SAMPLE = Tad(rows="in-sample", chosen="scored rows")


def tad(codes, how=Tad(), seed=0):  # noqa: B008
    return NUMBERS["tad"].estimate(codes, how, seed)["tad"]


def attrs(codes, how=Tad(), seed=0):  # noqa: B008
    return NUMBERS["attrs"].estimate(codes, how, seed)["attrs"]


def factors(n: int, count: int, noise: float = 0.0, seed: int = 0):
    """Independent Gaussian factors with noise, and whether each is high, at base rates .1 to .5."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, count))
    y = x > np.quantile(x, 1 - np.linspace(0.1, 0.5, count), axis=0).diagonal()
    return x + noise * random.standard_normal(x.shape), y.astype(float)


def heavy_noise():
    """32 dimensions of cubed noise, and 40 attributes that have nothing to do with them."""
    random = np.random.default_rng(0)
    y = random.uniform(size=(1000, 40)) < np.linspace(0.02, 0.5, 40)
    return labelled(random.standard_normal((1000, 32)) ** 3, y.astype(float))


def test_areas_are_scikit_learns():
    random = np.random.default_rng(0)
    z = np.round(random.standard_normal((300, 3)), 1)  # with ties
    y = (random.uniform(size=(300, 2)) < [0.2, 0.5]).astype(float)
    expected = [[[roc_auc_score(k, s * j) for j in z.T] for k in y.T] for s in (1, -1)]
    assert areas(z, y, Tad()) == pytest.approx(np.array(expected), abs=1e-12)


def nashaes_areas(z, y, thresholds):
    """NashAE ae_utils_exp.py l.174-200, line by line on NumPy, in the precision of the codes [n]."""
    points = {True: [], False: []}
    for t in np.linspace(0, 1, thresholds).astype(z.dtype):
        threshold = t * (z.max() - z.min()) + z.min()
        for sign in points:
            predicted = z >= threshold if sign else z < threshold
            true, false = (predicted & (y == 1)).sum(), (predicted & (y == 0)).sum()
            points[sign].append((false / (y == 0).sum(), true / (y == 1).sum()))
    areas = []
    for curve in points.values():
        fpr, tpr = np.sort(np.array(curve), axis=0).T
        areas.append((tpr[1:] * (fpr[1:] - fpr[:-1])).sum())
    return areas


@pytest.mark.parametrize("thresholds", [11, 101])
def test_areas_by_thresholds_are_those_of_nashaes_loop_in_float32(thresholds):
    """Whether the largest code passes the last threshold is decided by rounding."""
    random = np.random.default_rng(1)
    z = (random.standard_normal((200, 12)) ** 3).astype(np.float32)
    y = (random.uniform(size=200) < 0.3).astype(float)
    single, double = (
        np.transpose([nashaes_areas(column, y, thresholds) for column in codes.T])
        for codes in (z, z.astype(float))
    )
    how = Tad(thresholds=thresholds)
    assert areas(z.astype(float), y[:, None], how)[:, 0] == pytest.approx(single, abs=1e-6)
    assert np.abs(single - double).max() > 1e-3


def test_a_range_is_compared_with_the_guard_in_float32():
    z = np.linspace(0, float(np.float32(0.2)), 50)[:, None]  # which is larger than 0.2
    y = (z > 0.1).astype(float)
    assert areas(z, y, Tad(thresholds=11, guard=0.2)) == pytest.approx(0.5)
    assert areas(1.001 * z, y, Tad(thresholds=11, guard=0.2)).max() > 0.9


def test_what_labels_tell_of_each_other_is_scikit_learns():
    random = np.random.default_rng(2)
    y = (random.uniform(size=(400, 4)) < 0.4).astype(float)
    y[:, 3] = np.where(random.uniform(size=400) < 0.1, 1 - y[:, 0], y[:, 0])
    of = [[mutual_info_score(a, b) for b in y.T] for a in y.T]
    expected = [max(np.delete(row, k)) / row[k] for k, row in enumerate(of)]
    assert told_by_others(y) == pytest.approx(expected, abs=1e-12)
    assert (told_by_others(y) > 0.2).tolist() == [True, False, False, True]


def test_by_eleven_thresholds_heavy_tailed_noise_has_all_attributes():
    """Reference simulations: 40 by 11 thresholds, few by 101, none exactly."""
    noise = heavy_noise()
    by = {t: Tad(rows="in-sample", chosen="scored rows", thresholds=t) for t in (0, 11, 101)}
    counts = {thresholds: attrs(noise, how).value for thresholds, how in by.items()}
    assert counts[0] == 0 and counts[11] == 40 and 1 <= counts[101] <= 8
    assert tad(noise).value == 0.0 and attrs(noise).notes == ("captured: none",)


def test_a_factor_for_each_dimension_is_captured_by_it():
    z, y = factors(1000, 6)
    order = np.array([3, 1, 5, 0, 2, 4])
    found = attrs(labelled(z[:, order], y))
    assert found.value == 6 and found.stderr is None and found.n == 500
    places = {f"f{k}": int(np.flatnonzero(order == k)[0]) for k in range(6)}
    for name, place in places.items():
        assert f"{name} 1.000 ± 0.000 (dimension {place} of 6)" in found.notes[0]


def test_tad_does_not_depend_on_order_sign_and_growing_maps():
    z, y = factors(400, 4, noise=0.5)
    value = tad(labelled(z, y)).value
    assert value > 1
    for same in (z[:, ::-1], -z, 0.01 * z, z**3):
        assert tad(labelled(same, y)).value == pytest.approx(value, abs=1e-9)


def test_what_protocols_measure_in_units_of_the_code_depends_on_it():
    z, y = factors(400, 4)
    guarded = Tad(rows="in-sample", chosen="scored rows", guard=0.2)
    assert tad(labelled(z, y), guarded).value == tad(labelled(z, y), IN_SAMPLE).value > 1
    assert tad(labelled(0.02 * z, y), guarded).value == 0
    assert "range up to 0.2" in " ".join(tad(labelled(z, y), guarded).notes)


def test_copies_rotations_and_shuffled_labels_have_none():
    z, y = factors(600, 20)
    copied = tad(labelled(np.hstack([z, z]), y))
    assert copied.value == pytest.approx(0, abs=1e-12)
    assert tad(labelled(z, y)).value > 10 * abs(tad(labelled(z @ rotation(20), y)).value)
    shuffled = labelled(z, np.random.default_rng(3).permutation(y))
    assert attrs(shuffled).value == tad(shuffled).value == 0


def test_two_attributes_that_tell_each_other_are_not_counted():
    z, y = factors(400, 3)
    twice = np.column_stack([y, y[:, 0]])
    assert attrs(labelled(z, y)).value == 3
    assert attrs(labelled(z, twice)).value == 2


def test_sap_is_disentanglement_libs(dlib_codes):
    """SAP_score .2583333 by google-research/disentanglement_lib@86a644d sap_score.py `_compute_sap`,
    run once from source with gin and absl replaced by stubs, on `dlib_codes` (first 100 rows to fit).
    """
    how = Sap(classifier="linear SVM", chosen="scored rows")
    found = sap(dlib_codes, how, 0)
    assert found.value == pytest.approx(0.25833333333, abs=1e-9)
    assert found.n == 80 and "scored" in found.notes[0]


def test_sap_of_one_dimension_for_each_factor_and_of_copies():
    random = np.random.default_rng(0)
    y = random.integers(4, size=(300, 3)).astype(float)
    z = y + 0.02 * random.standard_normal(y.shape)
    aligned = sap(labelled(z, y), Sap(), 0)
    assert aligned.value == pytest.approx(0.75, abs=0.07)  # all of them, and a fourth by chance
    assert sap(labelled(100 * z + 5, y), Sap(), 0).value == pytest.approx(aligned.value, abs=1e-9)
    assert abs(sap(labelled(np.hstack([z, z]), y), Sap(), 0).value) < 1e-9
    noise = sap(labelled(random.standard_normal((300, 5)), y), Sap(), 0)
    assert abs(noise.value) < 4 * noise.stderr
    one_for_all = sap(labelled(z, y), Sap(classifier="linear SVM", chosen="scored rows"), 0)
    assert one_for_all.value < 0.6  # lines on one axis do not separate the classes in the middle
