"""Differences of systems and runs, against SciPy's paired t-test on the scores."""

import dataclasses
import json

import numpy as np
import pytest
from runs import PROTOCOL, SETTINGS, change_notes, measured, table1, write_run
from scipy import stats

from diffae.system.errors import UserError
from reports.make import main
from reports.records.run_folder import read_run
from reports.tables.build import merge
from reports.tables.make_files import table_of_differences

RNG = np.random.default_rng(5)
HARD = RNG.normal(0.9, 0.05, 40)  # how hard each image is, which all systems feel
SCORES = {
    name: HARD + RNG.normal(shift, 0.005, 40)
    for name, shift in (("A", 0), ("B", 0.004), ("C", -0.01))
}


def run(folder, scores, units="images", seed=0, protocol=None):
    """A run of one SSIM per system, with its influences unless `units` is empty."""
    records = [
        measured(table1(system, "ssim", None, n=len(values)), values, units or "images")
        for system, values in scores.items()
    ]
    settings = SETTINGS | {"seed": seed, "weights": {"x": str(folder)}}
    protocols = {"p0": PROTOCOL | (protocol or {})}
    return read_run(write_run(folder, records, bool(units), settings=settings, protocols=protocols))


def rows(*sources):
    """(A, B) -> record of the difference."""
    table = table_of_differences(merge(sources))
    names = [tuple(cell.text for cell in row[2:4]) for row in table.panels[0].rows]
    return dict(zip(names, table.records, strict=True))


def same_as_scipy(record, a, b):
    test = stats.ttest_rel(b, a)
    assert record.value == pytest.approx(np.mean(b) - np.mean(a))
    assert record.value / record.stderr == pytest.approx(test.statistic, rel=1e-4)
    interval = test.confidence_interval(0.95)
    assert (record.ci_low, record.ci_high) == pytest.approx((interval.low, interval.high), rel=1e-3)


def test_two_runs_of_the_same_images_are_paired(tmp_path):
    found = rows(run(tmp_path / "a", {"A": SCORES["A"]}), run(tmp_path / "b", {"B": SCORES["B"]}))
    ((names, record),) = found.items()
    assert names == ("A, x_T inverted, T = 100", "B, x_T inverted, T = 100")
    same_as_scipy(record, SCORES["A"], SCORES["B"])
    assert record.note.endswith("; paired")
    unpaired = np.hypot(*(np.std(SCORES[k], ddof=1) / 40**0.5 for k in "AB"))
    assert record.stderr < unpaired / 5


def test_a_system_of_two_runs_is_compared_with_itself_and_others_with_the_first(tmp_path):
    base = run(tmp_path / "base", {k: SCORES[k] for k in "AC"})
    mine = run(tmp_path / "mine", {"A": SCORES["B"], "C": SCORES["C"] + 0.001})
    found = rows(base, mine)
    at = ", x_T inverted, T = 100"
    assert set(found) == {
        (f"A (base){at}", f"C (base){at}"), (f"A (base){at}", f"A (mine){at}"), (f"C (base){at}", f"C (mine){at}"),
    }  # fmt: skip
    same_as_scipy(found[f"A (base){at}", f"A (mine){at}"], SCORES["A"], SCORES["B"])


def test_without_influences_the_errors_of_the_records_are_taken(tmp_path):
    a, b = (run(tmp_path / k, {k.upper(): SCORES[k.upper()]}, units="") for k in "ab")
    (record,) = rows(a, b).values()
    errors = [np.std(SCORES[k], ddof=1) / 40**0.5 for k in "AB"]
    assert record.stderr == pytest.approx(np.hypot(*errors), rel=1e-4)


def test_what_was_measured_otherwise_has_no_difference(tmp_path):
    a = run(tmp_path / "a", {"A": SCORES["A"]})
    b = run(tmp_path / "b", {"B": SCORES["B"]}, protocol={"data_sha256": "other"})
    assert table_of_differences(merge([a, b])) is None


def test_means_of_seeds_are_left_out(tmp_path):
    runs = [
        run(tmp_path / f"s{i}", {"A": SCORES["A"] + i, "B": SCORES["B"]}, seed=i) for i in range(2)
    ]
    runs = [dataclasses.replace(r, label="x") for r in runs]
    assert table_of_differences(merge(runs)) is None


def test_a_table_of_that_name_is_refused(tmp_path):
    source = run(tmp_path / "a", {"A": SCORES["A"]})
    notes = json.loads((source.folder / "run.json").read_text())
    spec = next(s for s in notes["tables"] if s["name"] == "table1_reconstruction")
    change_notes(source.folder, tables=[spec | {"name": "differences"}])
    with pytest.raises(UserError, match="'differences'"):
        main([str(source.folder), "--out", str(tmp_path / "out")])


def test_a_difference_is_of_as_many_images_as_the_smaller_run_has(tmp_path):
    """And its note says what was subtracted, with its run where both have one name."""
    few = {"A": SCORES["A"][:25]}
    runs = [run(tmp_path / "a", {"A": SCORES["A"]}), run(tmp_path / "b", few, units="others")]
    for one, other, n in ((*runs, 25), (*runs[::-1], 25)):
        ((names, record),) = rows(one, other).items()
        assert record.n == n
        first, second = (f"A ({run.folder.name}), x_T inverted, T = 100" for run in (one, other))
        assert names == (first, second) and record.note == f"minus {first}; independent"
