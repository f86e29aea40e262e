"""Protocols of numbers of codes, what a number refuses, and which rows and labels it takes."""

import math
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
from codes_of_factors import made

from benchmarks.metrics import METRICS
from benchmarks.metrics.codes import schema, table
from benchmarks.metrics.codes.data import (
    TEST,
    TRAIN,
    VALID,
    Codes,
    LabelColumns,
    Rows,
    parts,
    taken,
)
from benchmarks.metrics.codes.number import estimates_of_json, json_of_estimates, single
from diffae.system.errors import UserError
from reports.records.estimate import Error, Estimate, Influence, Scores

PLAIN = schema.named("plain")
SLOW = {"dci_d", "dci_c", "dci_i", "factor_vae", "beta_vae"}


def test_plain_is_the_defaults_of_the_fields_and_defines_every_number():
    for name, kind in schema.SECTIONS.items():
        found = PLAIN.codes if name == "codes" else PLAIN.sections[name]
        assert found == kind(), name
    assert all(PLAIN.defines(name) for name in schema.NUMBERS)


def test_every_number_is_in_the_table_of_metrics():
    for name in schema.NUMBERS:
        row = METRICS[name]
        assert row.reference and row.digits is not None


@pytest.mark.parametrize("name", schema.names())
def test_every_number_of_a_protocol_is_one_of_plain_with_other_fields(name):
    protocol = schema.named(name)
    for number in schema.NUMBERS:
        if protocol.defines(number):
            found = table.fields(number, protocol)
            assert found.keys() == table.fields(number, PLAIN).keys()
            assert protocol.sources.keys() >= found.keys() - {
                f"codes.{f.name}" for f in fields(Rows)
            }
            for field, value in found.items():
                assert table.fields(number, PLAIN.changed(field, value))[field] == value
        else:
            with pytest.raises(UserError, match=f"{name} does not define {number}; it has: "):
                protocol.section(number)


UNCHOSEN = [
    (name, number)
    for name in schema.names()
    for number in [*schema.INVARIANT, "tad", "attrs", "sap"]
    if schema.named(name).defines(number)
    and getattr(schema.named(name).section(number), "chosen", "") != "on validation rows"
    and getattr(schema.named(name).section(number), "neighbours", 1) > 0
]


@pytest.mark.parametrize(("name", "number"), UNCHOSEN)
def test_rows_that_no_choice_is_made_on_are_fitted_on(name, number):
    """So that it changes nothing whether a file calls them validation or training rows."""
    count = 600 if number == "knn" else 200  # of which k may be 200
    codes = made("rotated", count, 1)
    codes = replace(codes, values=np.round(codes.values, 1))  # for a protocol of quantised codes
    if number == "knn":  # whose codes fail on labels of fewer than five classes
        classes = np.digitize(codes.labels.values[:, -1:], [-1.2, -0.5, 0, 0.5, 1.2]).astype(float)
        codes = replace(codes, labels=LabelColumns(classes, ("c",), ("classes",)))
    split = np.repeat([TRAIN, VALID, TEST], [2 * count // 5, count // 5, 2 * count // 5])
    several, two = (
        table.measure(number, replace(codes, split=parts), schema.named(name), 0).value
        for parts in (split, np.where(split == VALID, TRAIN, split))
    )
    assert several == pytest.approx(two, abs=1e-12)


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    shutil.copy(schema.FOLDER / "dino-knn.toml", path)
    text = path.read_text("utf-8")
    path.write_text(text.replace("[20,", "[5,"), "utf-8")
    mine = schema.named(str(path))
    assert mine.sections["knn"] == replace(schema.named("dino-knn").sections["knn"], neighbours=5)
    path.write_text(text.replace("[knn]", "[psnr]"), "utf-8")
    with pytest.raises(UserError, match=r"mine.toml: no section 'psnr'"):
        schema.named(str(path))
    path.write_text(text.replace('["unit length",', '["unit",'), "utf-8")
    with pytest.raises(UserError, match=r"mine.toml: knn.scaling no choice 'unit'"):
        schema.named(str(path))


def labelled(kinds, values):
    names = tuple(f"l{k}" for k in range(len(kinds)))
    return Codes(
        np.random.default_rng(0).normal(size=(len(values), 3)), LabelColumns(values, names, kinds)
    )


def test_factors_must_be_in_all_combinations_where_a_number_needs_them(monkeypatch):
    def compute(codes, how, seed):
        return Estimate(float(codes.labels.values.shape[1]), n=len(codes.values))

    section = schema.NUMBERS["knn"].section
    whole = single("whole", compute, section, ("classes",), combinations=True)
    monkeypatch.setitem(schema.NUMBERS, "whole", whole)
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(range(3), range(4), range(5)), -1).reshape(-1, 3).astype(float)
    codes = labelled(("classes",) * 3, rng.permutation(grid))
    assert table.measure("whole", codes, PLAIN, 0).value == 3
    lacking = labelled(("classes",) * 3, grid[1:])
    with pytest.raises(UserError, match="of which 59 of 60 occur"):
        table.measure("whole", lacking, PLAIN, 0)


def test_the_first_rows_and_rows_at_random():
    codes = made("aligned", 100, 0, persons=np.arange(100) // 2)
    codes = replace(codes, split=np.arange(100) % 3)
    first, notes = taken(codes, Rows("first", 60), 0)
    assert notes == ("60 of 100 rows",)
    for one, whole in (
        (first.values, codes.values),
        (first.labels.values, codes.labels.values),
        (first.split, codes.split),
        (first.persons, codes.persons),
    ):
        assert (one == whole[:60]).all()
    one, other = (taken(codes, Rows("at random", 60), seed)[0].values for seed in (0, 1))
    assert len(np.unique(one[:, 0])) == 60 and not np.array_equal(one, other)
    assert (one == taken(codes, Rows("at random", 60), 0)[0].values).all()
    assert taken(codes, Rows("first", 100), 0) == (codes, ())


def test_a_dimension_that_is_constant_on_the_fitted_rows_is_dropped():
    codes = made("aligned", 100, 0)
    x = np.pad(codes.values, ((0, 0), (0, 1)))
    x[parts(codes, 0).test, 6] = 1
    codes = replace(codes, values=x)
    kept, notes = taken(codes, Rows(), 0)
    assert kept.values.shape == (100, 6) and notes == ("constant dimensions left out: 1 of 7",)
    assert taken(codes, Rows(constant="kept"), 0) == (codes, ())


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate(None, why="needs labels"),
        Estimate(0.1 + 0.2, n=7, why="no error: too few persons", notes=("a", "b")),
        Estimate(1 / 3, error=Error(2 / 7, math.inf), n=9),
        Estimate(1 / 3, (Influence("images:x", np.array([1 / 3, 1e-300])), Influence("draws:y", np.arange(3) / 7)), n=2),
        Estimate(1 / 3, n=2, scores=Scores(np.arange(2), np.array([1 / 3, 1e-300]))),
    ],
)  # fmt: skip
def test_an_estimate_is_the_same_after_it_was_kept_as_text(estimate):
    (read,) = estimates_of_json(json_of_estimates({"x": estimate})).values()
    assert read == estimate and (read.scores is None) == (estimate.scores is None)
    if estimate.scores is not None:
        assert read.scores.images.tolist() == [0, 1]
        assert read.scores.values.tobytes() == estimate.scores.values.tobytes()
    for ours, theirs in zip(read.influences, estimate.influences, strict=True):
        assert ours.units == theirs.units and ours.values.tobytes() == theirs.values.tobytes()


def test_a_metric_gives_the_same_alone_and_with_those_that_share_its_work():
    codes = made("aligned", 120, 0)
    for together in table.shared_by(name for name in schema.NUMBERS if name not in SLOW):
        each = table.estimates(together, codes, PLAIN, 0)
        for name in together:
            assert table.estimates([name], codes, PLAIN, 0)[name] == each[name]


def test_each_metric_of_codes_is_in_one_group_and_in_the_table():
    groups = {group.metrics: group for group in schema.NUMBERS.values()}
    names = [name for metrics in groups for name in metrics]
    assert sorted(names) == sorted(schema.NUMBERS) and {*names} <= {*METRICS}
