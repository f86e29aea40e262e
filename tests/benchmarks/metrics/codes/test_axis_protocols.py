"""Protocols of axis-bound numbers: what they define and say, their sources, and the time they take."""

import numpy as np
import pytest
from factor_codes import labelled, standardised, table

from benchmarks.metrics.codes import dci
from benchmarks.metrics.codes.axes import Concepts
from benchmarks.metrics.codes.data import Split
from benchmarks.metrics.codes.schema import BOUND_TO_AXES, named
from benchmarks.metrics.codes.table import measure, seconds
from diffae.system.errors import UserError

TAD, DCI = ("tad", "attrs"), ("dci_d", "dci_c", "dci_i")
DEFINED = {
    "plain": BOUND_TO_AXES,
    "nashae": TAD,
    "infodiffusion": (*TAD, *DCI),
    "disdiff": (*TAD, *DCI, "mig", "factor_vae", "beta_vae"),
    "disentanglement-lib": (*DCI, "sap", "mig", "modularity", "factor_vae", "beta_vae"),
    "disent": (*DCI, "sap", "mig", "factor_vae"),
    "fdae": (*DCI, "mig", "factor_vae"),
    "infomec": ("infom", "infoc"),
    "infomec-discrete": ("infom", "infoc"),
    "infomec-training": ("infom", "infoc"),
}
EVERY = pytest.mark.parametrize("name", DEFINED)


@EVERY
def test_each_defines_what_its_code_computes(name):
    protocol = named(name)
    assert {one for one in BOUND_TO_AXES if protocol.defines(one)} == set(DEFINED[name])


def rows_of(split, codes, seed=0):
    (part,) = split.folds(codes, seed)
    return part.fitted, part.test


def test_rows_are_drawn_in_the_protocols_ratio():
    codes = labelled(np.zeros((90, 2)), table((2, 3), copies=15))
    fitted, scored = rows_of(Split("drawn"), codes)
    assert len(fitted) == 60 and len(scored) == 30 and not set(fitted) & set(scored)
    others, _ = rows_of(Split("drawn"), codes, 1)
    assert set(others) != set(fitted)
    many = labelled(np.zeros((20_000, 1)), np.zeros((20_000, 1)))
    fitted, scored = rows_of(Split("drawn"), many)
    assert len(fitted) == 10_000 and len(scored) == 5_000 and not set(fitted) & set(scored)
    every, same = rows_of(Split("in-sample"), codes)
    assert every.tolist() == same.tolist() == list(range(90))


def test_held_out_rows_are_the_files_and_a_split_without_a_test_is_refused():
    y = table((2, 3), copies=15)
    split = np.repeat([0, 1, 2], 30)
    fitted, scored = rows_of(Split(), labelled(y, y, split=split))
    assert fitted.tolist() == list(range(60)) and scored.tolist() == list(range(60, 90))
    with pytest.raises(UserError, match="no rows for training, or none for the test"):
        rows_of(Split(), labelled(y, y, split=0 * split))


def test_principal_components_are_those_of_the_rows_that_are_fitted_on():
    """Numpy's of the covariance; the scored rows vary along another direction."""
    random = np.random.default_rng(0)
    z = random.standard_normal((100, 2)) * [3, 0.1]
    z[50:] = z[50:, ::-1] * 10
    fitted = np.arange(50)
    along = {"fitted rows": z[:50], "all rows": z}
    for which, rows in along.items():
        axis = np.linalg.svd(rows - rows.mean(0))[2][0]
        expected = np.abs((z - rows.mean(0)) @ axis)
        found = Concepts(concepts=1, components=1, principal=which).axes(z, fitted)
        assert np.abs(found[:, 0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("concepts", [0, 1])
@pytest.mark.parametrize("name", ["dci_d", "mig", "factor_vae"])
def test_codes_of_one_group_have_a_reason_by_the_protocol_of_fdae(name, concepts):
    """Its code indexes with `np.unique(None)`, whose codes of three dimensions its PCA refuses."""
    y = table((2, 2, 2), copies=16)
    z = standardised(y) + 0.3 * np.random.default_rng(0).standard_normal(y.shape)
    section = "dci" if name == "dci_d" else name
    alone = named("fdae").changed(f"{section}.concepts", concepts)
    with pytest.raises(UserError, match="codes of one group, on which the code of this protocol"):
        measure(name, labelled(np.tile(z, 4), y), alone, 0)
    of_two = alone.changed(f"{section}.concepts", 2).changed(f"{section}.components", 6)
    assert of_two.section(name).axes(np.tile(z, 4), np.arange(len(y))).shape == (len(y), 12)


def test_the_time_of_boosting_grows_with_rows_axes_and_classes(monkeypatch):
    """By a clock that moves by a second between two looks."""
    ticks = iter(range(1000))
    monkeypatch.setattr(dci, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(dci.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(dci, "WORTH_REFITTING", 0)
    random = np.random.default_rng(0)
    y = random.integers(4, size=(1000, 2)).astype(float)

    def told(n, d):
        codes = labelled(random.standard_normal((n, d)), y[:n])
        return seconds("dci_d", codes, named("plain"), 0)

    # 5 of 100 stages for one of two labels on 50 rows x 4 axes, and on as many as there are
    assert told(100, 4) == pytest.approx(40)
    assert told(1000, 8) == pytest.approx(40)
    assert told(1000, 80) == pytest.approx(40 * (500 * 80 + 2500) / (500 * 8 + 2500))
