"""The regression gate on runs with known differences: verdicts, and outputs for a CI system."""

import math
import os
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import in_process
import numpy as np
import pytest
from runs import KEY, RNG, SSIM, changed, gate_run, make_run
from scipy import stats

from reports import compare as command_line
from reports.gate.verdicts import compare, holm
from reports.records.metric import Metric
from reports.records.record import COLUMNS, LOWER, NEITHER, error_between
from reports.records.run_folder import read_margins, read_run


def verdicts(base: Path, new: Path) -> dict:
    comparisons = compare(read_run(base), read_run(new), read_margins())
    return {(c.record.system, c.record.setting, c.record.metric): c.verdict for c in comparisons}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run the command in this process, with only the given environment of a CI system."""

    def run(*arguments, **environment):
        for name in [name for name in os.environ if name.startswith("GITHUB_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return in_process.command(command_line.main, *arguments, cache=tmp_path)

    return run


@pytest.fixture
def base(tmp_path):
    return gate_run(tmp_path / "base", {KEY: SSIM})


# ----------------------------------------------------------------------------------------------
# Verdicts


def test_p_of_a_change_is_of_both_sides_and_of_a_regression_of_one():
    """SciPy's paired t-test, without a margin and with one number in the family."""
    rng = np.random.default_rng(5)
    other = SSIM + rng.normal(0.0002, 0.001, 200)
    for metric, side in (("pixel_std", "two-sided"), ("mse", "greater")):
        key = ("DiffAE", "", metric)
        (found,) = compare(make_run({key: SSIM}), make_run({key: other}), {}, 0.05)
        assert found.p == pytest.approx(stats.ttest_rel(other, SSIM, alternative=side).pvalue)
        assert 1e-4 < found.p < 0.2


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "other images"])
def test_false_alarms_are_rarer_than_alpha(paired):
    """400 comparisons of runs that differ by chance alone, 12 attributes and a mean each, no margin."""
    rng = np.random.default_rng(7)
    alarms = 0
    for i in range(400):
        shared = rng.normal(size=(60, 1))
        base, new = (shared * paired + rng.normal(size=(60, 12)) for _ in range(2))
        a = make_run(as_attributes(base))
        b = make_run(as_attributes(new), seed=0 if paired else i + 1)
        found = compare(a, b, {}, 0.05)
        alarms += any(c.verdict == "regression" for c in found)
    assert 3 <= alarms <= 31  # 20 expected; beyond these with probability below 1 in 100


def as_attributes(values):
    columns = {("DiffAE", f"attribute {a}", "auroc"): column for a, column in enumerate(values.T)}
    return columns | {("DiffAE", "mean", "auroc"): values.mean(1)}


# ----------------------------------------------------------------------------------------------
# Numbers that are none


def edit(folder: Path, old: str, new: str, file: str = "records.csv") -> None:
    text = (folder / file).read_text()
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new))


# ----------------------------------------------------------------------------------------------
# Without influences


DAMAGED = {
    ("DiffAE", f"attribute {a}", "auroc"): RNG.normal(0.9 - 0.02 * a, 0.05, 300) for a in range(10)
}


def test_a_share_without_an_error_is_compared_by_that_of_the_other_run():
    """A precision of almost all images has none; an SSIM that lost its own is refused."""
    key = ("DiffAE", "", "precision_effnet")
    hits = (RNG.random(200) < 0.8).astype(float)
    base, new = make_run({key: hits, KEY: SSIM}), make_run({key: hits / 2, KEY: SSIM})
    stated = next(row for row in new.rows if row.metric == key[2])
    rows = tuple(changed(row, stderr=None) if row is stated else row for row in new.rows)
    comparisons = compare(base, replace(new, rows=rows), {})
    (found,) = (one for one in comparisons if one.record.metric == key[2])
    error = float(np.std(hits, ddof=1) / np.sqrt(len(hits)))
    assert found.verdict == "regression"
    assert found.error.stderr == pytest.approx(np.sqrt(2) * error, rel=1e-6)


def test_a_baseline_without_influences_still_fails_a_damaged_model_and_says_the_pairing_is_lost(
    tmp_path, command
):
    base = gate_run(tmp_path / "base", DAMAGED)
    new = gate_run(tmp_path / "new", {key: values - 0.05 for key, values in DAMAGED.items()})
    (base / "influences.npz").unlink()
    assert set(verdicts(base, new).values()) == {"regression"} and len(verdicts(base, new)) == 10
    result = command(base, new)
    assert result.returncode == 1
    said = " ".join(result.stdout.split())
    named = re.search(r"\*\*The pairing is lost\*\* for 10 numbers \((.*?); 7 more\)", said)
    assert named[1].count("DiffAE: AUROC of reconstruction, ") == 3
    slight = gate_run(tmp_path / "slight", {key: v - 0.001 for key, v in DAMAGED.items()})
    assert set(verdicts(base, slight).values()) == {"unresolved"}


def test_without_influences_the_error_is_welchs_with_the_degrees_of_freedom_of_the_interval(
    tmp_path,
):
    values = RNG.normal(size=8), RNG.normal(size=5)
    runs = [gate_run(tmp_path / name, {KEY: v}) for name, v in zip("ab", values, strict=True)]
    for run in runs:
        (run / "influences.npz").unlink()
    (a,), (b,) = (read_run(run).rows for run in runs)
    expected = stats.ttest_ind(*values, equal_var=False)
    between = error_between(a, b)
    assert (a.value - b.value) / between.stderr == pytest.approx(expected.statistic)
    assert between.df == pytest.approx(expected.df, rel=1e-4)
    assert error_between(a, changed(b, stderr=None)).stderr == pytest.approx(
        math.sqrt(2) * a.stderr
    )
    for n, df in (("8", 7), ("", 1)):
        line = (runs[0] / "records.csv").read_text().splitlines()[1]
        edit(runs[0], line, cells_of(line, ci_low="", ci_high="", n=n))
        assert read_run(runs[0]).rows[0].estimate.error.df == df


def test_influences_of_another_run_are_refused(base, tmp_path, command):
    new = gate_run(tmp_path / "new", {KEY: 0.5 * SSIM})
    other = gate_run(tmp_path / "other", {KEY: SSIM})
    (new / "influences.npz").write_bytes((other / "influences.npz").read_bytes())
    result = command(base, new)
    assert (
        result.returncode == 2
        and "influences.npz: does not belong to this records.csv" in result.stderr
    )


# ----------------------------------------------------------------------------------------------
# Refusals


WITHOUT = dict.fromkeys(("stderr", "ci_low", "ci_high"), "")


def cells_of(line: str, **changes: str) -> str:
    cells = dict(zip(COLUMNS, line.split(","), strict=True))
    return ",".join((cells | changes).values())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda line: f"{line}\n{line}", "line 3: repeats the number of line 2"),
        (
            lambda line: f"{line}\n{cells_of(line, table='t2', value='0.96', **WITHOUT)}",
            "line 3: repeats the number of line 2",
        ),
        (lambda line: cells_of(line, value="0.96"), "line 2: its interval is 0.9"),
        (lambda line: cells_of(line, stderr="0.01"), "line 2: its interval is 0.9"),
        (lambda line: cells_of(line, ci_high=""), "line 2: an interval with one end"),
        (lambda line: cells_of(line, stderr="nan"), "line 2: stderr is 'nan', not a"),
        (lambda line: cells_of(line, stderr="-0.1"), "line 2: stderr is '-0.1', not a"),
        (lambda line: cells_of(line, stderr="1e200"), "line 2: stderr is '1e200', not a"),
        (lambda line: cells_of(line, stderr=""), "line 2: an interval without a standard error"),
        (
            lambda line: cells_of(line, value="", ci_low="", ci_high=""),
            "line 2: a standard error or an interval without a value",
        ),
        (lambda line: line[:60], "line 2: 9 cells, not 24"),
        (lambda line: line + ",x", "line 2: 25 cells, not 24"),
        (lambda line: f'{line}"\n{line[:-1]}"', "line 3: a quote that an earlier line opened"),
        (lambda line: line + '"', "not CSV: unexpected end of data"),
        (lambda line: line.replace("higher", "up"), "direction is 'up'"),
        (lambda line: line.replace(",200,", ",2e2,"), "n is '2e2', not a"),
        (lambda line: line.replace(",200,", f",{'9' * 5000},"), "99 ...'"),
        (lambda line: line + "x" * 200_000, "line 2: not CSV: field larger"),
        (lambda line: line.replace("p0", "p7"), "run.json has no protocol p7"),
        (None, "records.csv: no rows"),
    ],
)
def test_a_row_that_is_none_is_refused_by_line(base, tmp_path, command, change, reason):
    new = gate_run(tmp_path / "new", {KEY: SSIM})
    head, line = (new / "records.csv").read_text().splitlines()[:2]
    rows = [change(line), line.replace("DiffAE", "DDIM")] if change else []
    (new / "records.csv").write_text("\n".join([head, *rows, ""]))
    result = command(base, new)
    assert result.returncode == 2 and result.stdout == ""
    assert reason in result.stderr and str(new / "records.csv") in result.stderr
    assert len(result.stderr) < 600 and result.stderr.count("\n") == 1


def test_a_refusal_names_what_a_person_changed_and_the_field(tmp_path, command):
    base = gate_run(tmp_path / "base", {KEY: SSIM}, profile={"name": "quick"})
    new = gate_run(tmp_path / "new", {KEY: SSIM}, protocol={"n": 16}, profile={"name": "smoke"})
    result = command(base, new)
    assert result.returncode == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    assert "profile smoke against quick; the protocols" in result.stderr
    assert f"differ in n: 32 in {base}, 16 in {new}" in result.stderr


@pytest.mark.parametrize("value", ["x", "0", "1", "nan", "", "9" * 5000])
def test_an_alpha_that_is_none(base, command, value):
    result = command(base, base, f"--alpha={value}")
    assert result.returncode == 2 and "is not a number between 0 and 1" in result.stderr
    assert len(result.stderr) < 200 and "_probability" not in result.stderr


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["ssim,0.1,value,", "sssim,0.1,value,"], "line 3: no metric 'sssim' was measured"),
        (["ssim,0.1,value,", "ssim,0.2,value,"], "line 3: ssim occurs twice"),
        (["ssim,0.1,value"], "line 2: 3 cells, not 4"),
        (["ssim,nan,value,"], "line 2: a margin is a number from 0 up"),
        (["ssim,-1,value,"], "line 2: a margin is a number from 0 up"),
        (["ssim,minus,value,"], "line 2:"),
        (["ssim,1,percent,"], "line 2:"),
    ],
)
def test_margins_are_refused_by_line(base, tmp_path, command, lines, reason):
    path = tmp_path / "margins.csv"
    path.write_text("\n".join(["metric,margin,of,why", *lines]) + "\n")
    result = command(base, base, "--margins", path)
    assert result.returncode == 2 and f"margins.csv, {reason}" in result.stderr


def test_every_metric_with_a_better_side_has_a_margin():
    from benchmarks.metrics import METRICS

    margins = read_margins()
    timed = {"images_per_second"}
    gated = {name for name, info in METRICS.items() if info.direction != NEITHER} - timed
    assert gated <= set(margins)
    assert all(0 < margin.size < math.inf for margin in margins.values())


# ----------------------------------------------------------------------------------------------
# What a CI system reads

HOSTILE = "<script>alert('x')</script> | `a`, \"=1+1\"\n::error::"


@pytest.fixture
def regression(tmp_path):
    key = (HOSTILE, "x\x00\x1b]\ud7ff", "ssim")
    return (
        gate_run(tmp_path / "base", {key: SSIM, KEY: SSIM}),
        gate_run(tmp_path / "new", {key: SSIM - 0.1, KEY: SSIM}),
    )


def test_a_regression_is_told_in_every_form(regression, tmp_path, command):
    junit, summary = tmp_path / "gate.xml", tmp_path / "summary.md"
    summary.write_text("before\n")
    result = command(
        *regression, "--junit", junit, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)
    )
    assert result.returncode == 1, result.stderr
    assert "# Regression gate: 1 worse" in result.stdout
    assert not [line for line in result.stdout.splitlines() if line.startswith("::")]
    assert summary.read_text().startswith("before\n# Regression gate: 1 worse")
    assert "<summary>1 the same</summary>" in summary.read_text()
    everything = command(*regression, "--all").stdout
    for text in (result.stdout, summary.read_text(), everything):
        assert "<script>" not in text
    for text in (summary.read_text(), everything):
        (row,) = [line for line in text.splitlines() if line.startswith("| regression")]
        assert row.replace("\\|", "").count("|") == 9
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (failed,) = [case for case in suite if case.find("failure") is not None]
    assert failed.get("classname").startswith("reconstruction.<script>")


def test_an_unwritable_report_is_one_line(base, tmp_path, command):
    result = command(base, base, "--junit", tmp_path / "missing" / "gate.xml")
    assert result.returncode == 2
    assert (
        "gate.xml: No such file or directory; give a folder" in result.stderr
        and "Traceback" not in result.stderr
    )


@pytest.mark.parametrize("where", ["junit", "summary"])
def test_a_refusal_is_told_to_ci_too(base, tmp_path, command, where):
    junit, summary = tmp_path / "gate.xml", tmp_path / "summary.md"
    result = command(base, tmp_path / "nowhere", "--junit", junit, GITHUB_STEP_SUMMARY=str(summary))
    assert result.returncode == 2 and result.stdout == ""
    if where == "summary":
        assert summary.read_text().startswith("# Regression gate: not compared\n\n")
        assert "nowhere/run.json: no such file" in summary.read_text()
    else:
        suite = ElementTree.parse(junit).getroot()[0]
        assert suite.get("errors") == "1"
        assert "no such file" in suite[0].find("error").get("message")


def test_a_crash_of_the_gate_is_no_regression(base, tmp_path, command, monkeypatch):
    def crash(*_):
        raise ZeroDivisionError("in the\ngate")

    monkeypatch.setattr("reports.gate.verdicts.compare", crash)
    result = command(base, base, "--junit", tmp_path / "gate.xml")
    assert result.returncode == 3 and result.stdout == ""
    first, second, *_ = result.stderr.splitlines()
    assert first == "error: the gate itself failed: ZeroDivisionError: in the gate"
    assert second.startswith("Traceback")
    assert "ZeroDivisionError" in (tmp_path / "gate.xml").read_text()


def test_a_folder_whose_name_has_two_lines_is_refused_in_one(base, tmp_path, command):
    result = command(base, tmp_path / "a\n::error::b")
    assert result.returncode == 2 and result.stderr.count("\n") == 1


def test_a_plug_in_s_metric_that_depends_on_n_is_compared_at_one_n():
    mine, values = Metric(LOWER, "", "t", "r", depends_on_n=True), RNG.normal(100, 1, 128)
    runs = [
        replace(make_run({("DiffAE", "", "mine"): v}, seed=len(v)), metrics={"mine": mine})
        for v in (values, values[:118] + 50)
    ]
    (found,) = compare(*runs, {})
    assert (found.verdict, found.note[:10]) == ("not compared", "118 images")
