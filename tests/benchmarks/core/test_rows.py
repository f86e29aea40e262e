"""The rows of a benchmark that ends early: all can be written, and none is a duplicate."""

import math
from pathlib import Path

import numpy as np
import pytest
from lone_context import lone_context
from runs import recorded
from scipy.stats import norm, sem, t

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.measurement import Measurement, Place
from benchmarks.core.runner.evaluation import rows
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import System
from reports.records.estimate import Error, Estimate, influences_on_mean
from reports.records.record import read_records, write_records


class Named(System):
    name, title, capabilities, latent_dim, fingerprint = "vae", "VAE", frozenset(), 1, "0"


def test_a_number_and_the_reason_why_the_next_is_missing_are_two_rows(tmp_path: Path):
    """Of a system without T, both would be the same cell of Table 4."""

    def run(context, system):
        place = Place(context, "table4_unconditional_fid", system, split="")
        yield Measurement([], lambda: place.numbers({"fid": Estimate(3.0)}))
        raise NotAvailable("it cannot encode")

    benchmark = Benchmark(
        name="unconditional",
        table="table4_unconditional_fid",
        headline=lambda _: "fid",
        needs=frozenset(),
        run=run,
    )
    found = list(rows(benchmark, lone_context(60, tmp_path), [Named()]))
    write_records(tmp_path / "records.csv", found)
    read = read_records(tmp_path / "records.csv")
    assert [(r.value, r.setting, r.note) for r in read] == [
        (3.0, "", ""),
        (None, "the rest", "it cannot encode"),
    ]


def test_an_interval_is_student_s_of_the_units_and_the_normal_s_of_a_bare_error():
    x = np.random.default_rng(0).normal(size=12)

    def interval(*estimate):
        row = recorded(lone_context(60), "fid", Estimate(*estimate))
        return row.stderr, row.ci_low, row.ci_high

    of_units = interval(x.mean(), influences_on_mean(x, "images"))
    assert of_units == pytest.approx((sem(x), *t.interval(0.95, 11, x.mean(), sem(x))))
    bare = interval(2.0, (), Error(0.5, math.inf))
    assert bare == pytest.approx((0.5, *norm.interval(0.95, 2, 0.5)))


@pytest.mark.parametrize("number", [3.0, np.float64(3), None])
def test_a_bare_number_is_refused_and_an_estimate_named(number):
    with pytest.raises(
        TypeError, match=rf"fid of .* {type(number).__name__}: give Estimate\(value"
    ):
        recorded(lone_context(60), "fid", number)


@pytest.mark.parametrize("length", [9_999, 10_000, 10_001, 2_000_000])
def test_a_note_of_any_length_can_be_read_again(tmp_path: Path, length: int):
    row = recorded(lone_context(60), "fid", Estimate(None, why="x" * length))
    write_records(tmp_path / "records.csv", [row])
    (read,) = read_records(tmp_path / "records.csv")
    assert len(read.note) == min(length, 10_000)
