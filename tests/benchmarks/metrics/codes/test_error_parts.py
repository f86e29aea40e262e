"""Each standard error of numbers of codes from its definition, to a millionth, each of its parts
being most of it in turn.

An influence is the change of the number with the weight of an image, the fits fixed. Here each scored
image is there 60 times, and the number is measured again with one or two copies more or fewer.
"""

from dataclasses import replace

import numpy as np
import pytest
from error_parts import over, protocol, slope
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.metrics.codes.data import TEST, TRAIN, VALID, Codes, LabelColumns
from benchmarks.metrics.codes.errors import blocks_of, estimate_of_labels, of_columns
from benchmarks.metrics.codes.schema import NUMBERS
from benchmarks.metrics.codes.table import measure
from benchmarks.metrics.latent import estimate_equivariance
from benchmarks.metrics.units import Units

ROWS, COPIES = 6, 60  # scored images, and how often each is there
FITTED = np.repeat([TRAIN, VALID], [40, 20])
OF_ALL = "sec_25 sec_50 lds cds rmsc".split()  # that fit nothing: all rows are scored
BY_CLASS = ("auroc", "explicitness")  # DeLong's, of the images with the label and without
SCORED = [*BY_CLASS, *"ap ridge_r2 pearson_r label_mse infoe mcc sap".split(), *OF_ALL]
# How the error of each number is taken apart, here or in test_error_refits.py.
APART = {
    **dict.fromkeys(SCORED, "scored images"),
    **dict.fromkeys("viv viv_by_class code_fd epps_pulley density_cv".split(), "blocks"),
    **dict.fromkeys("mig modularity infom infoc".split(), "information and chance"),
    **dict.fromkeys("dci_d dci_c dci_i".split(), "fits without blocks"),
    **dict.fromkeys(("rankme", "participation"), "images and pairs of them"),
    **dict.fromkeys(("factor_vae", "beta_vae"), "votes and tables"),
    **{"knn": "scored images and bank", "lnc": "as scored and as neighbour"},
    **{"tad": "blocks", "twonn": "images", "cca": "scored images", "attrs": "no error"},
}


# Scored images ------------------------------------------------------------------------------------


def copied(name, counts, labels=(0, 1)):
    """Codes of which each scored image is there so many times; the others are fitted on once."""
    random, n = np.random.default_rng(1), len(FITTED) + ROWS
    if name in OF_ALL:
        maps = 1 + random.normal(size=(ROWS, 4 * 81)).repeat(counts, axis=0)
        return Codes(maps, shape=(4, 9, 9))
    x = random.normal(size=(n, 4))
    y = x[:, :2] + random.normal(size=(n, 2))
    kind = "real" if name in ("ridge_r2", "pearson_r", "label_mse", "mcc") else "binary"
    if kind == "binary":
        y = (y > [0, -0.5]).astype(float)
        y[-ROWS:] = np.array([[0, 0, 1, 1, 1, 1], [0, 1] * 3]).T
    often = np.concatenate([np.ones(len(FITTED), int), counts])
    split = np.concatenate([FITTED, np.repeat(TEST, ROWS)]).repeat(often)
    names = tuple(f"f{k}" for k in labels)
    told = LabelColumns(y.repeat(often, axis=0)[:, labels], names, (kind,) * len(labels))
    return Codes(x.repeat(often, axis=0), told, split)


def influences_of(name, labels):
    """The influence [n] of each scored row, from numbers with other copies."""
    how = protocol(name, **{"scaling": "none"} if name in OF_ALL else {})
    each, even = [], np.full(ROWS, COPIES)
    for row in range(ROWS):
        one = np.arange(ROWS) == row
        each.append(slope(lambda k, one=one: measure(name, copied(name, even + k * one, labels), how, 0).value))  # fmt: skip
    influence = np.repeat(each, COPIES)
    size = np.full(len(influence), float(len(influence)))
    if name in BY_CLASS:
        (y,) = copied(name, even, labels).y[-len(influence) :].T
        size = np.where(y > 0, (y > 0).sum(), (y == 0).sum())
    return influence * (1 if name == "ap" else (size / (size - 1)) ** 0.5)


@pytest.mark.parametrize("name", SCORED)
def test_the_error_over_scored_images_is_that_of_their_weights(name):
    how = protocol(name, **{"scaling": "none"} if name in OF_ALL else {})
    codes = copied(name, np.full(ROWS, COPIES))
    parts = [(0,), (1,)] if name in BY_CLASS else [(0, 1)]
    wanted = np.mean([influences_of(name, labels) for labels in parts], axis=0)
    found = measure(name, codes, how, 0)
    n = len(wanted)
    (source,) = found.influences
    assert source.values == pytest.approx(wanted, rel=1e-5, abs=1e-6 * np.abs(wanted).max())
    assert found.stderr == pytest.approx(np.square(wanted).sum() ** 0.5, rel=1e-6)
    who = np.concatenate([np.arange(1000, 1000 + len(codes.values) - n), np.arange(n) // 7])
    found = measure(name, replace(codes, persons=who), how, 0)
    assert found.stderr == pytest.approx(over(wanted, who[-n:]), rel=1e-6)


def test_the_error_of_a_mean_over_labels_and_folds_is_that_of_each():
    """Folds of unlike size, persons in both, a label without a score in one."""
    random = np.random.default_rng(0)
    folds = [random.normal(size=(n, 3)) for n in (7, 33)]
    parts = [(of.mean(0), of_columns(of), np.arange(40)[rows]) for of, rows in zip(folds, (slice(7), slice(7, 40)), strict=True)]  # fmt: skip
    parts[0][0][1] = np.nan
    codes = Codes(np.zeros((40, 1)), persons=random.integers(9, size=40))
    found = estimate_of_labels(parts, codes)
    kept = [folds[0][:, [0, 2]], folds[1]]
    assert found.value == pytest.approx(np.mean([of.mean() for of in kept]))
    each = [(of - of.mean(0)).mean(1) / 2 / (len(of) * (len(of) - 1)) ** 0.5 for of in kept]
    assert found.stderr == pytest.approx(over(np.concatenate(each), codes.persons), rel=1e-9)


def test_the_error_of_canonical_correlations_is_that_of_weights():
    random, n = np.random.default_rng(0), 100
    x, split = random.normal(size=(n, 4)), np.repeat([TRAIN, VALID, TEST], [40, 20, 40])
    y = x[:, :2] + random.normal(size=(n, 2))
    codes = Codes(x, LabelColumns(y, ("a", "b"), ("real", "real")), split)
    found = measure("cca", codes, protocol("cca", chosen="not"), 0)
    fit, white = split != TEST, np.linalg.svd(y - y.mean(0), full_matrices=False)[0]
    z = (x - x[fit].mean(0)) / x[fit].std(0)
    seen = Ridge(alpha=1.0).fit(z[fit], white[fit]).predict(z)
    seen = seen - seen[fit].mean(0)
    axes = np.linalg.svd(seen[fit], full_matrices=False)[2].T
    a, b = (seen @ axes)[~fit], (white @ axes)[~fit]

    def value(weights):
        pairs = zip(a.T, b.T, strict=True)
        moments = [np.cov(i, j, aweights=weights, ddof=0) for i, j in pairs]
        return np.mean([m[0, 1] / (m[0, 0] * m[1, 1]) ** 0.5 for m in moments])

    each = [slope(lambda k, i=i: value(1 + 0.01 * k * np.eye(40)[i])) / 0.01 for i in range(40)]
    assert found.value == pytest.approx(value(np.ones(40)))
    assert found.stderr == pytest.approx((40 / 39 * np.square(each).sum()) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("persons", [False, True])
@pytest.mark.parametrize("bank", [True, False])  # which part is most of the error
def test_the_error_of_nearest_codes_is_over_scored_images_and_over_the_bank(bank, persons):
    random, fitted = np.random.default_rng(2), 60 if bank else 800
    scored = 4000 if bank else 30
    split = np.repeat([TRAIN, VALID, TEST], [fitted, 60, scored])
    x = random.uniform(
        -1, 1, size=(len(split), 2)
    )  # four quarters, of which those opposite are alike
    y = (x.prod(1) + 0.1 * random.normal(size=len(split)) > 0).astype(int)
    who = np.arange(len(split)) if not persons else np.arange(len(split)) // 2
    labels = LabelColumns(y[:, None].astype(float), ("y",), ("binary",))
    codes = Codes(x, labels, split, who if persons else None)
    found = measure("knn", codes, protocol("knn"), 0)
    k = int(found.notes[0].removeprefix("k = "))
    assert k <= 20  # so that both halves of the bank have as many
    train, test = split == TRAIN, split == TEST
    z = ((x - x[train].mean(0)) / x[train].std(0)).astype(np.float32)

    def of_bank(rows):
        """The balanced accuracy by some rows of the bank, and the influence of each scored row."""
        hit = KNeighborsClassifier(k).fit(z[rows], y[rows]).predict(z[test]) == y[test]
        influence = np.zeros(scored)
        for one in (0, 1):
            same = y[test] == one
            m = same.sum()
            influence[same] = (hit[same] - hit[same].mean()) / (m * (m - 1)) ** 0.5 / 2
        return balanced_accuracy_score(y[test], np.where(hit, y[test], 1 - y[test])), influence

    value, influence = of_bank(train)
    variances = []
    for draw in (0, 1):
        half = blocks_of(codes, 2, draw)
        (a, u), (b, v) = (of_bank(train & (half == one)) for one in (0, 1))
        variances.append(((a - b) ** 2 - over(u - v, who[test]) ** 2) / 4)
    of_scored, of_bank_rows = over(influence, who[test]) ** 2, max(np.mean(variances), 0)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert (of_bank_rows > of_scored) == bank and (of_bank_rows > 0 or not bank)
    assert found.stderr == pytest.approx((of_scored + of_bank_rows) ** 0.5, rel=1e-6)
    (source,) = found.influences
    assert len(source.values) == len(set(who[test])) and source.df == len(source.values) - 1


@pytest.mark.parametrize("neighbour", [True, False])
def test_the_error_of_alike_neighbours_is_as_scored_and_as_neighbour(neighbour):
    """One image that is near to all others moves the number as a neighbour alone."""
    random, n, k = np.random.default_rng(0), 90, 3
    x = random.normal(size=(n, 12)) + neighbour
    y = random.integers(9, size=(n, 2)).astype(float)
    if neighbour:
        x[:4], y[:4] = 1 + 0.1 * x[:4], [[1, 1], [1, 1], [0, 0], [1, 1]]
        y[4:] = random.uniform(size=(n - 4, 2)) < 0.8
    who = np.arange(n) // 2
    codes = Codes(x, LabelColumns(y, ("a", "b"), ("classes", "classes")), persons=who)
    found = measure("lnc", codes, protocol("lnc", neighbours=k, scaling="none"), 0)
    z = x / np.linalg.norm(x, axis=1)[:, None]
    own, others = np.zeros((n, 2)), np.zeros((n, 2))
    for i in range(n):
        far = np.where(who == who[i], np.inf, 1 - z @ z[i])
        near = np.argsort(far, kind="stable")[:k]
        own[i] = (y[near] == y[i]).mean(0)
        for j in near:
            others[j] += ((y[j] == y[i]) - own[i]) / k
    parts = [
        over(((of - of.mean(0)) / (n * (n - 1)) ** 0.5).mean(1), who)
        for of in (own, others, own + others)
    ]
    assert found.value == pytest.approx(own.mean()) and found.stderr == pytest.approx(parts[2])
    assert (parts[1] > parts[0]) == neighbour and parts[2] != pytest.approx(
        max(parts[:2]), rel=0.01
    )


def test_the_error_of_a_dimension_is_that_of_weights():
    x = np.random.default_rng(0).normal(size=(520, 3))
    apart = np.linalg.norm(x[:, None] - x, axis=2)
    logs = np.log(np.divide(*np.sort(apart, axis=1).T[[2, 1]]))

    def value(weights):
        return 1 / np.average(logs, weights=weights)

    each = [slope(lambda k, i=i: value(1 + 0.01 * k * (np.arange(520) == i))) / 0.01 for i in range(520)]  # fmt: skip
    for who in (None, np.arange(520) // 4):
        found = measure("twonn", Codes(x, persons=who), protocol("twonn", scaling="none"), 0)
        units = np.arange(520) if who is None else who
        wanted = over(np.array(each) * (520 / 519) ** 0.5, units)
        assert found.value == pytest.approx(value(np.ones(520)))
        assert found.stderr == pytest.approx(wanted, rel=1e-6)


def test_the_error_of_equivariance_is_that_without_each_image():
    random, n = np.random.default_rng(0), 12
    b = random.normal(size=(n, 5)) + 2
    a = b + 0.7 * random.normal(size=b.shape)

    def value(rows):
        both = np.concatenate([a[rows], b[rows]])
        spread = np.square(both - both.mean(0)).sum() * 2 * len(rows) / (2 * len(rows) - 1)
        return np.square(a[rows] - b[rows]).sum() / spread

    whole = estimate_equivariance(a, b, Units("images", np.arange(n)))["equivariance"]
    without = [value(np.delete(np.arange(n), i)) for i in range(n)]
    assert whole.value == pytest.approx(value(np.arange(n)))
    wanted = (n - 1) / n * np.square(whole.value - np.array(without)).sum()
    assert whole.stderr**2 == pytest.approx(wanted, rel=1e-6)


def test_the_error_of_every_number_is_taken_apart_here():
    lacking = set(NUMBERS) - set(APART)
    assert not lacking, f"add a test of the error of {', '.join(lacking)}, and its name to APART"
