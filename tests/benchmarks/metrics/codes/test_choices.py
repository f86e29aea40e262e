"""Every value of every choice of a protocol of codes, from the schema: on its fixture the values give
different numbers, and each is that of brute force where it can be written in a few lines.
"""

import math
from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.model_selection import KFold

from benchmarks.metrics.codes import dci, information
from benchmarks.metrics.codes.data import TEST, TRAIN, VALID, Codes, LabelColumns, parts
from benchmarks.metrics.codes.schema import NUMBERS, SECTIONS, named, section_of
from benchmarks.metrics.codes.table import measure
from diffae.system.errors import UserError

PLAIN = named("plain")
# The number that shows the choices of a section, if not its first.
SHOWN = {
    "codes": "rankme",
    "tad": "tad",
    "mig": "mig",
    "infomec": "infom",
    "infomec.active": "infoc",
    "sec": "sec_25",
}
# Values of numbers, and other choices without which a value has no effect.
VALUES = {
    "codes.most": (100, 150),
    "knn.neighbours": (0, 1, 7),
    "knn.temperature": (0.0, 0.5),
    "knn.fewest_classes": (1, 3),
    "knn.fewest_scored": (1, 100),
    "tad.thresholds": (0, 11, 101),
    "tad.guard": (0.0, 9.0),
    "concepts": (0, 2, 3),
    "components": (1, 2),
    "most": (0, 90),
    "bins": (5, 20),
    "batch": (8, 64),
    "train": (30, 300),
    "test": (100, 150),
    "tables": (1, 2),
    "factor_vae.pruned": (0.0, 1.0),
    "epps_pulley.slices": (4, 16),
    "density.most": (500, 510),
    "lnc.neighbours": (3, 10),
}
OTHERS = {
    "codes.rows": {"codes.most": 100},
    "codes.most": {"codes.rows": "first"},
    "knn.temperature": {"knn.neighbours": 7},
    "concepts": {"components": 1},
    "components": {"concepts": 2},
    "principal": {"concepts": 2},
    "mig.estimator": {"concepts": 2, "bins": 4},
    "modularity.estimator": {"concepts": 2, "bins": 4},
    "infomec.estimator": {"concepts": 2, "bins": 4},
    **{key: {"learner": "Adam"} for key in ("auroc.scaling", "ap.scaling")},
    "regression.criterion": {"rows": "five folds"},
    "sap.rows": {"classifier": "linear SVM"},
    **{key: {"most": 90} for key in ("mig.principal", "modularity.principal", "infomec.principal")},
    "factor_vae.principal": {"train": 2000, "test": 3000, "components": 2},
    "beta_vae.principal": {"train": 2000, "test": 3000},
}
WITH_A_CONSTANT_AXIS = {"modularity.active", "infomec.active"}
# Two of its values differ for axes, two for labels: no single number has three values.
OF_TWO_NUMBERS = {"infomec.uninformed": "test_information.py"}
NO_EFFECT = {"explicitness.scaling"}  # a logistic regression standardises in any case
SMALL = {"train": 300, "test": 150, "tables": 1, "batch": 8}  # of votes
# Numbers whose choices are compared with brute force or with the executed original elsewhere.
ELSEWHERE = {
    "auroc": "test_linear.py", "ap": "test_linear.py", "mig": "test_information.py", "regression": "test_linear.py", "explicitness": "test_factors.py",
    "infoe": "test_factors.py", "mcc": "test_factors.py", "cca": "test_factors.py",
    "knn": "test_neighbours.py", "sap": "test_tad.py", "dci": "test_dci.py",
    "modularity": "test_information.py", "infomec": "test_information.py",
    "factor_vae": "test_votes.py", "beta_vae": "test_votes.py", "viv": "test_space.py",
    "code_fd": "test_space.py", "epps_pulley": "test_space.py", "sec": "test_space.py",
    "spatial": "test_space.py", "twonn": "test_space.py", "density": "test_space.py",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_refits(monkeypatch):
    """The errors of DCI and of nearest neighbours' information take a minute."""
    monkeypatch.setattr(dci, "WORTH_REFITTING", 0)
    monkeypatch.setattr(information, "WORTH_REFITTING", 0)


def general():
    """180 codes of 6 numbers of unlike size, two labels of each kind. The second
    binary label tells the first on the scored rows alone.
    """
    random, n = np.random.default_rng(0), 180
    split = np.tile([TRAIN, TRAIN, TRAIN, VALID, TEST, TEST], n // 6)
    factors = random.normal(size=(n, 4))
    binary = (factors[:, :2] > 0.2).astype(float)
    held = split == TEST
    binary[held, 1] = np.where(random.uniform(size=held.sum()) < 0.93, binary[held, 0], 1 - binary[held, 0])  # fmt: skip
    classes = np.digitize(factors[:, 2:], [-0.4, 0.4]).astype(float)
    mixed = factors @ (np.eye(4) + 0.3) + 0.6 * random.normal(size=(n, 4))
    x = np.column_stack([mixed, random.normal(size=(n, 2))]) * [1, 2, 0.18, 1, 4, 0.1] + 0.7
    real = factors[:, [0, 2]] * [1, 4] + random.normal(size=(n, 2))
    names = tuple("abcdef")
    kinds = ("binary",) * 2 + ("classes",) * 2 + ("real",) * 2
    x = np.round(1024 * x) / 1024  # so that ranges are exact in float32, too
    return Codes(x, LabelColumns(np.hstack([binary, classes, real]), names, kinds), split)


def maps(side):
    random = np.random.default_rng(1)
    x = random.normal(size=(60, 3, side, side)) * [[[1]], [[3]], [[0.2]]] + 0.4
    x[:, :, 1:] += x[:, :, :-1]
    labels = LabelColumns(random.integers(3, size=(60, 1)).astype(float), ("a",), ("classes",))
    return Codes(x.reshape(60, -1), labels, shape=(3, side, side))


def fixture(section):
    if section in ("sec", "spatial"):
        return maps(4)
    if section in ("density", "twonn"):
        random = np.random.default_rng(2)
        return Codes(random.gamma(1.5, size=(520, 4)) * [1, 2, 0.5, 3])
    codes = general()
    if section in ("auroc", "ap"):  # with noise, for which a C below 1 is best
        noise = np.random.default_rng(4).normal(size=(len(codes.values), 40))
        codes = replace(codes, values=np.column_stack([codes.values, noise]))
    if section in ("dci", "modularity", "infomec"):  # whose trees and neighbours take seconds
        codes = replace(codes, labels=codes.labels.of(np.array([0, 1])))
    if section == "codes":
        codes.values[codes.split != TEST, 5] = 0.7
    return codes


def values_of(section, key):
    """The values of a choice by the schema; those of a number from the table above."""
    hint = get_type_hints(SECTIONS[section], include_extras=True)[key]
    if hint is bool:
        return (True, False)
    if get_origin(hint) is Literal:
        return get_args(hint)
    return VALUES.get(f"{section}.{key}", VALUES.get(key, ()))


CHOICES = [(name, field.name) for name, kind in SECTIONS.items() for field in fields(kind)]
IDS = [".".join(choice) for choice in CHOICES]


def number_of(section, key=""):
    every = (name for name in NUMBERS if section_of(name) == section)
    return SHOWN.get(f"{section}.{key}") or SHOWN.get(section) or next(every)


def protocol_of(section, key, value):
    """`plain` with a value of a choice, and what it needs to have an effect."""
    one, own = PLAIN, {field.name for field in fields(SECTIONS[section])}
    others = OTHERS.get(key, {}) | OTHERS.get(f"{section}.{key}", {})
    if section.endswith("_vae"):
        others = SMALL | others
    for name, other in others.items():
        bare = name.rpartition(".")[2]
        if bare in own and bare != key:
            one = one.changed(f"{section}.{bare}", other)
    return one.changed(f"{section}.{key}", value)


def numbers(section, key):
    """The number by each value of a choice. Raises AssertionError where there is no fixture."""
    values = values_of(section, key)
    where = f"{section}.{key} is a choice without a fixture: give it two values in VALUES"
    assert len(values) > 1, where
    codes, name = fixture(section), number_of(section, key)
    is_kept = f"{section}.{key}" in WITH_A_CONSTANT_AXIS
    if is_kept:
        constant = np.full(len(codes.values), 0.7)
        codes = replace(codes, values=np.column_stack([codes.values, constant]))
    found = {}
    for value in values:
        protocol = protocol_of(section, key, value)
        protocol = protocol.changed("codes.constant", "kept") if is_kept else protocol
        try:
            found[value] = measure(name, codes, protocol, 0).value
        except UserError:  # the value refuses what another measures
            found[value] = math.nan
    assert sum(map(math.isnan, found.values())) <= 1, f"{where}: several are refused"
    return found


@pytest.mark.parametrize(("section", "key"), CHOICES, ids=IDS)
def test_each_value_of_a_choice_gives_another_number(section, key):
    if place := OF_TWO_NUMBERS.get(f"{section}.{key}"):
        assert key in Path(__file__).with_name(place).read_text()
        return
    if f"{section}.{key}" in NO_EFFECT:
        assert len({round(value, 9) for value in numbers(section, key).values()}) == 1
        return
    for (a, x), (b, y) in combinations(numbers(section, key).items(), 2):
        assert x != pytest.approx(y, rel=1e-7, abs=1e-12), f"{section}.{key}: {a} and {b} give {x}: change the fixture so that they differ"  # fmt: skip


# Brute force --------------------------------------------------------------------------------------


def rows_of(codes, rows):
    """The rows that are fitted on, chosen on and scored, of each fit."""
    n, part = len(codes.values), parts(codes, 0)
    every = np.arange(n)
    if rows == "in-sample":
        return [(every, every, every)]
    if rows == "drawn":
        order = np.random.default_rng([0, n]).permutation(n)
        return [(order[: n * 2 // 3], every[:0], order[n * 2 // 3 :])]
    if rows == "held out":
        return [(part.train, part.valid, part.test)]
    folds = []
    for fitted, test in KFold(5, shuffle=True, random_state=0).split(every):
        rest = parts(Codes(codes.values, split=np.where(np.isin(every, test), TEST, TRAIN)), 0)
        assert np.array_equal(np.sort(np.union1d(rest.train, rest.valid)), fitted)
        folds.append((rest.train, rest.valid, test))
    return folds


def area(z, sign, y, how):
    """NashAE's area by thresholds, or scikit-learn's, of a dimension or of its negative."""
    if how.guard and np.ptp(z) <= how.guard:
        return 0.5
    if not how.thresholds:
        return roc_auc_score(y, sign * z)
    steps = np.linspace(0, 1, how.thresholds) * np.ptp(z) + z.min()
    passed = [z >= t for t in steps[::-1]] if sign > 0 else [z < t for t in steps]
    true, false = ([one[y == k].mean() for one in passed] for k in (1, 0))
    return float(np.sum(np.array(true)[1:] * np.diff(false)))


def tad(codes, how):
    x, y, sums = codes.values, codes.y, []
    for train, valid, test in rows_of(codes, how.rows):
        fitted = np.union1d(train, valid)
        scored, total = test if how.chosen == "fitted rows" else fitted, 0.0
        told = y if how.filter == "all rows" else y[scored]
        for k in range(y.shape[1]):
            each = {(j, s): area(x[fitted, j], s, y[fitted, k], how) for j in range(x.shape[1]) for s in (1, -1)}  # fmt: skip
            best = sorted(range(x.shape[1]), key=lambda j: -max(each[j, 1], each[j, -1]))[:2]
            signs = [1 if each[j, 1] >= each[j, -1] else -1 for j in best]
            a, b = (area(x[scored, j], s, y[scored, k], how) for j, s in zip(best, signs, strict=True))  # fmt: skip
            others = [f for i, f in enumerate(told.T) if i != k]
            share = max(mutual_info_score(told[:, k], f) for f in others)
            share /= mutual_info_score(told[:, k], told[:, k])
            total += (a - b) * (a >= 0.75 and share <= 0.2)
        sums.append(total)
    return np.mean(sums)


def regression(codes, how):
    """The mean R2 of ridge regressions."""
    scores = []
    for train, valid, test in rows_of(codes, how.rows):
        fit = np.union1d(train, valid) if how.chosen == "not" else train
        judged = test if how.chosen == "on the scored rows" else valid
        x = codes.values
        if how.scaling == "standardised":
            x = (x - x[fit].mean(0)) / x[fit].std(0)
        penalties = (1.0,) if how.chosen == "not" else 10.0 ** np.arange(-3, 6)
        every = [Ridge(alpha=a).fit(x[fit], codes.y[fit]).predict(x) for a in penalties]

        def score(predicted, rows, y=codes.y):
            error = np.square(y[rows] - predicted[rows]).mean(0)
            return np.mean(1 - error / y[rows].var(0))

        best = max(every, key=lambda one: score(one, judged)) if len(every) > 1 else every[0]
        scores.append(score(best, test))
    return np.mean(scores)


def spectrum(codes, how):
    x = codes.values - codes.values.mean(0) * how.centred
    share = np.linalg.svd(x, compute_uv=False)
    share /= share.sum()
    return np.exp(-(share * np.log(share)).sum())


def rows_and_numbers(codes, how):
    x, kept = codes.values, np.arange(len(codes.values))
    if how.rows != "all":
        order = kept if how.rows == "first" else np.random.default_rng(0).permutation(len(x))
        kept = np.sort(order[: how.most])
    if how.constant == "dropped":
        train = kept[codes.split[kept] == TRAIN]
        x = x[:, np.ptp(x[train], axis=0) > 0]
    return spectrum(Codes(x[kept]), SECTIONS["spectrum"]())


def lnc(codes, how):
    x = codes.values
    if how.scaling == "per channel":
        x = (x - x.mean(0)) / x.std(0, ddof=1)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    shares = []
    for i in range(len(x)):
        near = np.argsort(-(x @ x[i]) + 9 * (np.arange(len(x)) == i))[: how.neighbours]
        shares.append((codes.y[near] == codes.y[i]).mean())
    return np.mean(shares)


BRUTE = {"tad": tad, "ridge": regression, "spectrum": spectrum, "codes": rows_and_numbers, "lnc": lnc}  # fmt: skip


@pytest.mark.parametrize(("section", "key"), [c for c in CHOICES if c[0] in BRUTE])
def test_each_value_of_a_choice_is_that_of_brute_force(section, key):
    name, codes = number_of(section), fixture(section)
    labels = codes.labels.of(codes.labels.of_kind(*NUMBERS[name].kinds))
    alone = Codes(codes.values, labels, codes.split)
    for value, number in numbers(section, key).items():
        if value == "on the scored rows":  # test_linear.py has it
            continue
        how = protocol_of(section, key, value)
        wanted = BRUTE[section](alone, how.codes if section == "codes" else how.section(name))
        assert number == pytest.approx(wanted, rel=1e-5), f"{section}.{key} = {value}"


def test_every_section_is_compared_with_brute_force_here_or_elsewhere():
    lacking = set(SECTIONS) - set(BRUTE) - set(ELSEWHERE)
    assert not lacking, f"compare {', '.join(lacking)} with brute force, in BRUTE or ELSEWHERE"
    assert all((Path(__file__).parent / name).exists() for name in ELSEWHERE.values())
