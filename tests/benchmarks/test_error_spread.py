"""The error that a row states is the spread of its number over people drawn anew.

`docs/results/error_spread.py` makes the page of more replicates and names the rows that are meant
to be outside of its limits.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def spread():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RESULTS)  # where it has a module beside it
        path = RESULTS / "error_spread.py"
        spec = importlib.util.spec_from_file_location("error_spread", path)
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "error_spread", module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.slow
def test_the_stated_error_is_the_spread_over_redrawn_people(spread, tmp_path, monkeypatch):
    """Within 0.8 to 1.25 of it, or within the limits that the page names, for every row of every
    benchmark. The ratio's own uncertainty, of 30 replicates, is some 13 %.
    """
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    found = spread.ratios(spread.measured(30, tmp_path, spread.BENCHMARKS))
    assert {row[0] for row in found} == set(spread.BENCHMARKS)
    assert not spread.outside(found)


def test_no_error_of_pairs_or_groups_is_another_number_s(spread, tmp_path, monkeypatch):
    """Their scores are in no file: eight draws tell a wrong error by a factor of three."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    found = spread.ratios(spread.measured(8, tmp_path, ["interpolation", "variation"]))
    assert len(found) == 12
    assert all(1 / 3 < one.ratio < 3 for one in found.values()), found


def test_the_page_has_every_row_within_its_limits(spread):
    page = (RESULTS / "error_spread.md").read_text().partition(spread.START)[2]
    lines = [line[1:-1].split("|") for line in page.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines[2:]]
    assert len(rows) > 100
    found = {}
    for *row, stated, over, ratio, interval, _ in rows:
        ends = map(float, interval.split(" to "))
        found[tuple(row)] = spread.Ratio(*map(float, (stated, over, ratio)), *ends, 0)
    assert {row[0] for row in found} <= set(spread.BENCHMARKS)
    assert not spread.outside(found)
    for _, (low, high), why in spread.NAMED:
        assert f"{low} to {high}: {why}" in page


@pytest.mark.parametrize(
    ("factor", "is_outside"), [(1.0, False), (0.5, True), (1.7, True), (0.01, True)]
)
def test_a_wrong_error_is_outside(spread, factor, is_outside):
    """Means of 30 normal values, 100 times, whose errors are right or wrong by a factor."""
    values = np.random.default_rng(0).normal(size=(100, 30))
    stated = factor * values.std(axis=1, ddof=1) / 30**0.5
    found = {("reconstruction", "x", "", "mse"): spread.ratio(values.mean(1), stated)}
    assert bool(spread.outside(found)) == is_outside
