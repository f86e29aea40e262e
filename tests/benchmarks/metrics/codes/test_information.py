"""MIG, modularity, InfoM and InfoC against scikit-learn, disentanglement_lib and closed forms."""

import numpy as np
import pytest
from factor_codes import labelled, rotation, standardised, table
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from benchmarks.metrics.codes import information, schema
from benchmarks.metrics.codes.information import (
    Infomec,
    Mig,
    Modularity,
    binned,
    concentration,
    entropies,
    gap,
    modularity,
    plug_in,
)
from benchmarks.metrics.codes.schema import NUMBERS
from benchmarks.metrics.codes.table import measure
from diffae.system.errors import UserError

DLIB = {"estimator": "equal widths", "null": "kept"}


def measured(name, codes, how=None, seed=0):
    estimate = NUMBERS[name].estimate(codes, how or NUMBERS[name].section(), seed)[name]
    if estimate.value is None:
        raise UserError(estimate.why)
    return estimate


def value(name, codes, how=None, seed=0):
    return measured(name, codes, how, seed).value


def perfect(n=400, sizes=(4, 5, 3), seed=0):
    random = np.random.default_rng(seed)
    y = np.stack([random.integers(k, size=n) for k in sizes], axis=1).astype(float)
    return standardised(y) + 0.02 * random.standard_normal(y.shape), y


def pair(a):
    """I and A alike, as the scores take them."""
    return np.stack([a, a])


def test_information_and_entropy_are_scikit_learns():
    random = np.random.default_rng(0)
    bins, y = random.integers(7, size=(200, 3)), random.integers(4, size=(200, 2))
    expected = [[mutual_info_score(a, b) for b in y.T] for a in bins.T]
    assert plug_in(bins, y) == pytest.approx(np.array(expected), abs=1e-12)
    assert entropies(y) == pytest.approx([mutual_info_score(b, b) for b in y.T], abs=1e-12)


def test_bins_hold_equally_many_images_and_equal_values_one_bin():
    random = np.random.default_rng(0)
    x = random.standard_normal((400, 2)) ** 3
    x[:100, 1] = 0.5
    bins = binned(x, Mig(bins=20), 0)
    assert np.bincount(bins[:, 0]).tolist() == [20] * 20
    assert len(set(bins[:100, 1])) == 1
    assert (binned(np.exp(5 * x), Mig(bins=20), 0) == bins).all()


def test_mig_and_modularity_are_disentanglement_libs(dlib_codes):
    """discrete_mig .6387162275 and modularity .8265288535 by google-research/disentanglement_lib
    @86a644d mig.py `_compute_mig` and modularity_explicitness.py `modularity`, with 20 bins by
    utils.py, run once from source with gin and absl replaced by stubs, on all of `dlib_codes`.
    """
    assert value("mig", dlib_codes, Mig(**DLIB)) == pytest.approx(0.6387162275, abs=1e-9)
    how = Modularity(**DLIB, active="all")
    assert value("modularity", dlib_codes, how) == pytest.approx(0.8265288535, abs=1e-9)


def test_infom_and_infoc_are_those_of_infomec():
    """kylehkhsu/latent_quantization@9a420a3 infomec.py l.94-105, of scikit-learn's information."""
    from sklearn.feature_selection import mutual_info_classif

    random = np.random.default_rng(0)
    z, y = perfect(150)
    z = np.column_stack([z + 0.5 * random.standard_normal(z.shape), 0.01 * z[:, 0]])
    of = [mutual_info_classif(z, k, n_neighbors=10, random_state=0) for k in y.T]
    nmi = np.array([i / mutual_info_score(k, k) for i, k in zip(of, y.T, strict=True)])
    kept = nmi[:, :3]  # the range of the fourth is below a twentieth
    infom = ((kept.max(0) / kept.sum(0)).mean() - 1 / 3) / (1 - 1 / 3)
    infoc = ((kept.max(1) / kept.sum(1)).mean() - 1 / 3) / (1 - 1 / 3)
    how = Infomec(estimator="neighbours", bins=10, null="kept", active="range > 1/20")
    found = measured("infom", labelled(z, y), how)
    assert found.value == pytest.approx(infom, abs=1e-9)
    assert value("infoc", labelled(z, y), how) == pytest.approx(infoc, abs=1e-9)
    assert "1 of 4 axes left out by their information or range" in found.notes
    every = Infomec(estimator="neighbours", bins=10, null="kept", active="all")
    assert value("infoc", labelled(z, y), every) < infoc - 0.1


def test_infom_and_infoc_of_quantised_codes_are_of_their_values():
    """infomec.py l.16-19, 28-29 and 94-105, of scikit-learn's information; one axis is constant."""
    random = np.random.default_rng(0)
    _, y = perfect(300)
    z = np.where(random.uniform(size=y.shape) < 0.3, random.integers(9, size=y.shape), y)
    nmi = [[mutual_info_score(k, j) / mutual_info_score(k, k) for j in z.T] for k in y.T]
    nmi = np.array(nmi)
    codes = labelled(np.column_stack([z * [1, 1, 0.01], np.ones(len(z))]), y)
    for name, axis in (("infom", 0), ("infoc", 1)):
        share = (nmi.max(axis) / nmi.sum(axis)).mean()
        found = measure(name, codes, schema.named("infomec-discrete"), 0)
        assert found.value == pytest.approx((share - 1 / 3) / (1 - 1 / 3), abs=1e-9)
        assert abs(found.value - measure(name, codes, schema.named("infomec"), 0).value) > 0.05
    with pytest.raises(UserError, match="300 values in 300 rows; .* take another, such as infomec"):
        measure(
            "infom", labelled(random.normal(size=y.shape), y), schema.named("infomec-discrete"), 0
        )


def of_factors(axes):
    """Axes [n, d] of a table of three factors, of which the third is in none of them."""
    y = table((3, 4, 2), copies=5)
    return labelled(axes(*y.T), y)


def test_there_is_no_number_where_the_code_divides_zero_by_zero():
    """An axis that tells nothing of any one factor, and a factor of which no axis tells anything."""
    noisy = of_factors(lambda a, b, c: np.column_stack([a, b, np.arange(len(a)) // 24]))
    discrete = schema.named("infomec-discrete")
    with pytest.raises(
        UserError, match="infom: 1 of 3 axes without information, .* leave out these axes"
    ):
        measure("infom", noisy, discrete, 0)
    with pytest.raises(UserError, match=r"infoc: 1 of 3 labels \(f2\) without information"):
        measure("infoc", noisy, discrete, 0)
    some = discrete.changed("infomec.uninformed", "labels refused")
    found = measure("infom", noisy, some, 0)
    assert found.value == 1 and "1 of 3 axes without information" in found.notes[-1]
    with pytest.raises(UserError, match="infoc: 1 of 3 labels"):
        measure("infoc", noisy, some, 0)
    every = discrete.changed("infomec.uninformed", "left out")
    assert measure("infoc", noisy, every, 0).value == pytest.approx(1)


def test_of_constant_codes_and_labels_there_is_no_number():
    codes = of_factors(lambda a, b, c: np.ones((len(a), 2)))
    discrete = schema.named("infomec-discrete")
    with pytest.raises(UserError, match="infom: no axis counts, as where every axis is constant"):
        measure("infom", codes, discrete, 0)
    y = np.sort(table((2, 2), copies=60), axis=0)
    with pytest.raises(UserError, match="a label has one value on the rows that are taken"):
        measure("infom", labelled(y, y), discrete.changed("codes.most", 60), 0)


def test_scores_of_given_information():
    one = np.array([[0.5, 0.0], [0.0, 0.8]])
    assert gap(pair(np.array([[0.5, 0.8], [0.1, 0.0]]))) == pytest.approx(0.6)
    assert modularity(pair(one)) == concentration(pair(one), 0) == concentration(pair(one), 1) == 1
    assert modularity(pair(np.ones((3, 2)))) == concentration(pair(np.ones((3, 2))), 1) == 0
    assert modularity(pair(np.array([[0.4, 0.2, 0.1], [0.0, 0.0, 0.0]]))) == pytest.approx(
        (1 - 0.05 / (0.16 * 2)) / 2
    )
    rounding = np.array([[0.5, 0.1], [1e-16, 0.0]])
    assert concentration(pair(rounding), 1) == concentration(pair(rounding[:1]), 1) < 1
    assert concentration(pair(np.zeros((3, 2))), 0) == concentration(pair(-one), 1) == 0
    mixed = np.array([[0.6, 0.2], [0.1, 0.1], [0.0, 0.0]])  # the last has no information
    assert concentration(pair(mixed), 1) == pytest.approx(((0.75 + 0.5) / 2 - 0.5) / 0.5)
    assert concentration(pair(mixed), 0) == pytest.approx(((6 / 7 + 2 / 3) / 2 - 1 / 3) / (2 / 3))


def test_what_is_subtracted_is_the_information_of_permuted_labels():
    """A of one axis is the adjusted mutual information, divided by the label's entropy."""
    random = np.random.default_rng(0)
    y = random.integers(4, size=(300, 1))
    z = np.column_stack([y[:, 0] + random.standard_normal(300), random.standard_normal(300)])
    whole = information._matrices(labelled(z, y), Mig(), 0).each[0]
    for j in range(2):
        bins = binned(z, Mig(), 0)[:, j]
        given = (y[:, 0], bins)
        expected = adjusted_mutual_info_score(*given, average_method="min")
        assert whole[1, j, 0] == pytest.approx(expected, abs=0.02)


def test_one_axis_for_each_label():
    z, y = perfect()
    codes = labelled(z, y)
    assert value("mig", codes) > 0.85
    for name in ("modularity", "infom", "infoc"):
        assert value(name, codes) > 0.95
    for same in (z[:, ::-1], -z, 0.01 * z, np.exp(3 * z)):
        for name in ("mig", "modularity", "infom", "infoc"):
            assert value(name, labelled(same, y)) == pytest.approx(value(name, codes), abs=0.02)


def test_one_outlier_empties_equal_widths_and_no_equal_counts():
    z, y = perfect()
    z[0] = 1000
    assert value("mig", labelled(z, y)) > 0.85
    assert value("mig", labelled(z, y), Mig(**DLIB)) < 0.05


def test_a_copy_of_each_axis():
    z, y = perfect()
    copies = labelled(np.hstack([z, z]), y)
    assert value("mig", copies) == pytest.approx(0, abs=1e-12)
    assert value("modularity", copies) > 0.99
    assert value("infom", copies) > 0.95
    assert value("infoc", copies) == pytest.approx((0.5 - 1 / 6) / (1 - 1 / 6), abs=0.02)


def test_a_rotation_and_noise():
    z, y = perfect(sizes=(5, 5, 5, 5, 5, 5))
    assert value("mig", labelled(z @ rotation(6), y)) < 0.3
    noise = np.random.default_rng(1).standard_normal((400, 8))
    found = measured("mig", labelled(noise, y))
    assert abs(found.value) < 0.03
    for name in ("modularity", "infom", "infoc"):
        found = measured(name, labelled(noise, y))
        assert found.value == 0 and found.stderr is None
        assert found.notes[0] == "8 of 8 axes left out by their information or range"
    assert value("modularity", labelled(noise, y), Modularity(**DLIB, active="all")) > 0.25


def test_the_null_makes_few_images_comparable_with_many():
    """The plug-in information of a mixed code grows as n falls, with chance subtracted less so."""
    z, y = perfect(2000, sizes=(8, 8, 8))
    mixed = z @ rotation(3) + np.random.default_rng(0).standard_normal((2000, 3))
    by = {}
    for null in ("kept", "subtracted"):
        how = Mig(null=null)
        all_rows = information._matrices(labelled(mixed, y), how, 0).each[0]
        few = information._matrices(labelled(mixed[:200], y[:200]), how, 0).each[0]
        by[null] = (few[1] - all_rows[1]).mean()
    assert by["kept"] > 0.1 and abs(by["subtracted"]) < 0.03


def test_clusters_of_concepts():
    """A label at the corners of a square: no single number tells it, clusters of both do."""
    random = np.random.default_rng(0)
    y = random.integers(4, size=(300, 2)).astype(float)
    corner = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    z = np.hstack([corner[y[:, k].astype(int)] for k in range(2)]) + 0.05 * random.standard_normal(
        (300, 4)
    )
    how = Mig(estimator="clusters", bins=4, null="kept", concepts=2, components=2)
    assert value("mig", labelled(z, y), how) > 0.95
    assert value("mig", labelled(z, y), Mig(**DLIB)) < 0.1


def test_what_cannot_be_compared_is_refused():
    z, y = perfect(100)
    with pytest.raises(UserError, match="mig: needs two axes that count"):
        measured("mig", labelled(z[:, :1], y))
    with pytest.raises(UserError, match="infoc: needs two axes that count to compare, not 1"):
        measured("infoc", labelled(z[:, :1], y))
    with pytest.raises(UserError, match="infom: needs two labels"):
        measured("infom", labelled(z, y[:, :1]))
