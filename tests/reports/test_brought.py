"""Metrics and tables in a run folder: equal when read again, and refused if invalid."""

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from runs import KEY, SSIM, change_notes, gate_run, make_run, write_run

from benchmarks.core.registry import REGISTRY, specs
from benchmarks.results import Results
from diffae.system.errors import UserError
from reports import compare
from reports.records.estimate import Estimate
from reports.records.metric import Margin, Metric
from reports.records.metrics import METRICS
from reports.records.reading import from_plain, to_plain
from reports.records.record import LOWER, Record, write_records
from reports.records.run_folder import brought_in, read_run
from reports.records.specs import TableSpec
from reports.tables.build import build_tables, read
from reports.tables.markdown import render

SPECS = specs(REGISTRY.own)
MINE = Metric(
    LOWER, "m", "Mine", "me", label="mine", digits=1, margin=Margin(0.5, "why"), is_exact=True
)
SPEC = TableSpec("t", "T", "", "t", ("system",), ("metric",), metrics=("mine",), headline=("mine",))


@pytest.mark.parametrize("instance", [*SPECS, SPEC, MINE, *METRICS.values()])
def test_what_is_written_is_read_again(instance):
    text = json.dumps(to_plain(instance))
    assert from_plain(type(instance), json.loads(text)) == instance


def test_only_what_differs_from_the_defaults_is_written():
    assert to_plain(Metric(LOWER, "", "t", "r")).keys() == {
        "direction",
        "unit",
        "title",
        "reference",
    }
    assert to_plain(MINE)["margin"] == {"size": 0.5, "why": "why"}


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        ({"metrics": []}, "metrics is not an object"),
        ({"metrics": {"a b": {}}}, "'a b' cannot be a metric's name"),
        ({"metrics": {"mine": 1}}, "metric mine: not an object but 1"),
        ({"metrics": {"mine": {}}}, "metric mine: no direction"),
        ({"metrics": {"mine": {"speed": 1}}}, "metric mine: there is no field 'speed'"),
        ({"direction": "up"}, "direction 'up' is none of higher, lower, neither"),
        ({"unit": 1}, "unit: must be a text, not 1"),
        ({"digits": True}, "digits: must be a whole number, not True"),
        ({"digits": 99}, "digits are a number from 0 to 12"),
        ({"margin": 0.1}, "not an object but 0.1"),
        ({"margin": {"size": "big"}}, "size: must be a number, not 'big'"),
        ({"margin": {"size": 10**400}}, "size: must be a number, not 1000"),
        ({"margin": {"size": float("nan")}}, "size: must be a finite number"),
        ({"tables": {}}, "tables is not a list"),
        ({"tables": [1]}, "tables: not an object but 1"),
        ({"rows": "system"}, "rows: must be a list, not 'system'"),
        ({"rows": [1]}, "rows: must be a text, not 1"),
        ({"rows": ["system", "shoe"]}, "table t: no record has a 'shoe'"),
        ({"rows": ["steps"]}, "table t: neither its rows nor its columns name the system"),
        ({"columns": ["setting"]}, "table t: neither its rows nor its columns name the metric"),
        ({"rows": ["system"] * 2}, "table t: a field names its rows or columns twice"),
        ({"name": "../t"}, "a table cannot be called '../t'"),
    ],
)
def test_what_is_none_is_refused_by_name(tmp_path, notes, reason):
    if not notes.keys() & {"metrics", "tables"}:
        kind = SPEC if notes.keys() & {"rows", "columns", "name"} else MINE
        plain = to_plain(kind) | notes
        notes = {"tables": [plain]} if kind is SPEC else {"metrics": {"mine": plain}}
    path = tmp_path / "run.json"
    with pytest.raises(UserError) as refused:
        brought_in(path, notes)
    line = str(refused.value)
    assert line.startswith(f"{path}: ") and reason in line and len(line) < len(str(path)) + 200


def test_metrics_that_ship_mean_what_they_mean_here(tmp_path):
    lax = to_plain(METRICS["ssim"]) | {"margin": {"size": 1e9}}
    assert brought_in(tmp_path, {"metrics": {"ssim": lax}})[0] == {}


# ----------------------------------------------------------------------------------------------
# A run with a plug-in's metric, read without the plug-in


@pytest.fixture
def run(tmp_path):
    """A run of two systems, one number each, of a metric that no table here has."""
    records = [
        Record("b", "t", system, "d", "test", "", None, "mine", Estimate(value), LOWER, "m")
        for system, value in (("A", 1234.56), ("B", 7.0))
    ]
    notes = {"metrics": {"mine": to_plain(MINE)}, "tables": [to_plain(SPEC)], "protocols": {}}
    return write_run(tmp_path / "run", records, **notes)


def test_tables_are_made_of_the_folder_alone(run):
    overview, table = read([run]).tables
    assert "mine" not in METRICS
    page = render(table, "", {})
    assert "mine (m) ↓" in page and " 1,234.6 |" in page and "**7.0**" in page
    assert "1,234.6" in render(overview, "", {})
    plain = render(build_tables(table.records)[1], "", {})
    assert "1235" in plain  # four digits, where nobody says how many


def test_times_are_tables_too(run):
    time = Record(
        "b", "fast", "A", "d", "", "", None, "images_per_second", Estimate(12.345), unit="images/s"
    )
    write_records(run / "times.csv", [time])
    *others, fast = read([run]).tables
    assert [table.name for table in others] == ["overview", "t"] and fast.name == "fast"
    assert "| 12.35 |" in re.sub(" +", " ", render(fast, "", {}))


def test_the_margin_of_the_folder_decides(run, tmp_path, capsys):
    """A loss of 0.4, where 0.5 does not matter; then the margin is gone."""
    worse = copy_of(run, tmp_path / "worse", "7.4")
    assert compare.main([str(run), str(worse)]) == 0
    for folder in (run, worse):
        change_notes(folder, metrics={"mine": to_plain(replace(MINE, margin=None))})
    assert compare.main([str(run), str(worse)]) == 1
    assert "mine" in capsys.readouterr().out


def test_the_baseline_has_the_last_word_on_a_margin(run, tmp_path):
    """A new run cannot widen its own margin."""
    worse = copy_of(run, tmp_path / "worse", "7.6")
    change_notes(worse, metrics={"mine": to_plain(replace(MINE, margin=Margin(9.0, "why")))})
    assert compare.main([str(run), str(worse)]) == 1
    assert compare.main([str(worse), str(run)]) == 0


def copy_of(folder, to, value):
    """A copy of a run folder with another number of B."""
    shutil.copytree(folder, to)
    text = (folder / "records.csv").read_text()
    assert text.count("7.0") == 1
    (to / "records.csv").write_text(text.replace("7.0", value))
    return to


def test_tables_that_cannot_be_made_are_refused(run):
    change_notes(run, tables=[to_plain(SPEC)] * 2)
    with pytest.raises(UserError, match="two tables would be written to one file: overview, t, t"):
        _ = read([run]).tables


def test_a_run_without_any_is_read(tmp_path):
    folder = gate_run(tmp_path / "old", {KEY: SSIM})
    assert read_run(folder).metrics == {} == make_run({KEY: SSIM}).metrics
    assert [table.name for table in read([folder]).tables] == ["overview", "table"]


# ----------------------------------------------------------------------------------------------
# The tables that ship


def test_every_table_of_ours_names_metrics_that_there_are():
    for spec in SPECS:
        assert {*spec.metrics, *spec.headline} <= METRICS.keys()
        stand_ins = [m for m in (*spec.metrics, *spec.headline) if METRICS[m].stands_in_for]
        assert not stand_ins, "they stand behind what they stand in for"


def test_tables_come_in_the_order_of_the_paper_whatever_that_of_the_benchmarks():
    records = [Record("b", s.source, "A", "d", "", "", 1, "mse", Estimate(1.0)) for s in SPECS]
    names = [table.name for table in build_tables(records, reversed(SPECS))[1:]]
    assert names[:2] == ["table1_reconstruction", "reconstruction_by_protocol"]
    assert names[2:4] == ["reconstruction_by_length", "reconstruction_native"]
    assert names[4:6] == ["table2_ablation", "table2_by_calls"]
    assert names[6:9] == ["section5.3_probe", "table3_fewshot_fid", "table4_unconditional_fid"]
    assert "codebooks" in names[9 : names.index("section5.5_cost")]


def test_a_headline_is_shown_by_what_stands_in_for_it():
    records = [
        Record("b", "table4_unconditional_fid", "A", "d", "", "", 1, name, Estimate(1.0))
        for name in ("fd_effnet", "mse")
    ]
    (panel,) = build_tables(records, SPECS)[0].panels
    assert len(panel.rows) == 1 and "fd_effnet" in str(panel.rows)


def test_results_are_compared_by_the_margins_of_the_base(run, tmp_path):
    """Also in Python, where the plug-in may not be."""
    base, new = (
        change_notes(shutil.copytree(run, tmp_path / name), metrics={"mine": to_plain(metric)})
        for name, metric in (("base", MINE), ("new", replace(MINE, margin=None)))
    )
    results = SimpleNamespace(as_run=lambda *called: read_run(new))
    frame = Results.compare(results, base)
    mine = frame[frame["metric"] == "mine"]
    assert len(mine) and set(mine["margin"]) == {MINE.margin.size}
    other = Results.compare(SimpleNamespace(as_run=lambda *called: read_run(base)), new)
    assert set(other[other["metric"] == "mine"]["margin"]) == {0}
