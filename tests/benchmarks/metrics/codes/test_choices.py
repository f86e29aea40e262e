"""Every value of every choice of a protocol of codes, from the schema: on its fixture the values give
different numbers, and each is that of brute force where it can be written in a few lines.
"""

from dataclasses import fields
from itertools import combinations
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from benchmarks.metrics.codes import dci, information
from benchmarks.metrics.codes.data import TEST, TRAIN, VALID, Codes, Labels
from benchmarks.metrics.codes.schema import NUMBERS, SECTIONS, named, section_of
from benchmarks.metrics.codes.table import measure

PLAIN = named("plain")
# The number that shows the choices of a section, if not its first.
SHOWN = {"codes": "rankme", "tad": "tad", "mig": "mig", "infomec": "infom", "sec": "sec_25"}
# Values of numbers, and other choices without which a value has no effect.
VALUES = {
    "codes.most": (100, 150),
    "knn.neighbours": (0, 1, 7),
    "knn.temperature": (0.0, 0.5),
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
    **dict.fromkeys(("auroc.scaling", "ap.scaling", "ap.chosen"), {"learner": "Adam"}),
    "auroc.chosen": {"learner": "Adam", "rows": "five folds"},
    "regression.criterion": {"learner": "Adam", "rows": "five folds"},
    "sap.rows": {"classifier": "linear SVM"},
    **dict.fromkeys(("mig.principal", "modularity.principal", "infomec.principal"), {"most": 90}),
    **dict.fromkeys(("factor_vae.principal", "beta_vae.principal"), {"train": 2000, "test": 3000}),
}
NO_EFFECT = {"explicitness.scaling"}  # a logistic regression standardises in any case
SMALL = {"train": 300, "test": 150, "tables": 1, "batch": 8}  # of votes
# Numbers whose choices are compared with brute force or with the executed original elsewhere.
ELSEWHERE = {
    "ap": "test_linear.py", "regression": "test_linear.py", "explicitness": "test_factors.py",
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
    return Codes(x, Labels(np.hstack([binary, classes, real]), names, kinds), split)


def maps(side):
    random = np.random.default_rng(1)
    x = random.normal(size=(60, 3, side, side)) * [[[1]], [[3]], [[0.2]]] + 0.4
    x[:, :, 1:] += x[:, :, :-1]
    labels = Labels(random.integers(3, size=(60, 1)).astype(float), ("a",), ("classes",))
    return Codes(x.reshape(60, -1), labels, shape=(3, side, side))


def fixture(section):
    if section in ("sec", "spatial"):
        return maps(4)
    if section in ("density", "twonn"):
        random = np.random.default_rng(2)
        return Codes(random.gamma(1.5, size=(520, 4)) * [1, 2, 0.5, 3])
    codes = general()
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


def number_of(section):
    every = (name for name in NUMBERS if section_of(name) == section)
    return SHOWN.get(section) or next(every)


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
    codes, name = fixture(section), number_of(section)
    return {v: measure(name, codes, protocol_of(section, key, v), 0).value for v in values}


@pytest.mark.parametrize(("section", "key"), CHOICES, ids=IDS)
def test_each_value_of_a_choice_gives_another_number(section, key):
    if f"{section}.{key}" in NO_EFFECT:
        assert len({round(value, 9) for value in numbers(section, key).values()}) == 1
        return
    for (a, x), (b, y) in combinations(numbers(section, key).items(), 2):
        assert x != pytest.approx(y, rel=1e-7, abs=1e-12), f"{section}.{key}: {a} and {b} give {x}: change the fixture so that they differ"  # fmt: skip
