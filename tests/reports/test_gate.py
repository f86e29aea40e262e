"""The regression gate on runs with known differences, as the command is used: real folders, a real process."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from reports.gate import (
    Refused,
    compare,
    holm,
    read_margins,
    read_run,
)
from reports.records import HIGHER, LOWER, NEITHER, Record, record_key, write_records
from reports.uncertainty import error, of_mean, write_uncertainties

DIRECTIONS = {
    "ssim": HIGHER,
    "mse": LOWER,
    "auroc": HIGHER,
    "pixel_std": NEITHER,
    "latent_dim": NEITHER,
}


def write_run(folder: Path, scores: dict, *, seed: int = 0, protocol: dict | None = None) -> Path:
    """A run folder of means: `scores` maps (system, setting, metric) to values per image, or to one number."""
    folder.mkdir(parents=True, exist_ok=True)
    records, uncertainties = [], {}
    for (system, setting, metric), values in scores.items():
        uncertainty = (
            ()
            if values is None or np.isscalar(values)
            else of_mean(values, f"images of seed {seed}")
        )
        found = error(uncertainty)
        record = Record(
            "reconstruction", "table", system, "portraits", "test", setting, None, metric,
            None if values is None else float(np.mean(values)),
            stderr=found.stderr if found else None, direction=DIRECTIONS[metric], protocol=f"p{seed}",
            note="no value" if values is None else "",
        )  # fmt: skip
        records.append(record)
        uncertainties[record_key(record)] = uncertainty
    write_records(folder / "records.csv", records)
    write_uncertainties(folder / "influences.npz", uncertainties)
    fields = {"benchmark": "reconstruction", "ssim": "zero padding", "seed": seed} | (
        protocol or {}
    )
    (folder / "run.json").write_text(json.dumps({"protocols": {f"p{seed}": fields}}))
    return folder


def verdicts(base: Path, new: Path, alpha: float = 0.05) -> dict:
    found = compare(read_run(base), read_run(new), read_margins(), alpha)
    return {(c.record.system, c.record.setting, c.record.metric): c.verdict for c in found}


def command(*arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    return subprocess.run(
        [sys.executable, "-m", "reports.compare", *map(str, arguments)],
        capture_output=True, text=True, env=clean | environment,
    )  # fmt: skip


RNG = np.random.default_rng(0)
SSIM = RNG.normal(0.95, 0.02, 200)
KEY = ("DiffAE", "", "ssim")


@pytest.fixture
def base(tmp_path):
    return write_run(tmp_path / "base", {KEY: SSIM})


# ----------------------------------------------------------------------------------------------
# Verdicts


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (0.0, "same"),
        (-0.0002, "same"),  # below the margin of 0.0005
        (-0.002, "regression"),
        (+0.002, "improvement"),
        (+0.05, "improvement"),
    ],
)
def test_a_shift_of_all_images_is_judged_by_margin_and_direction(base, tmp_path, change, verdict):
    shifted = SSIM + change + RNG.normal(0, 0.001, 200)
    assert verdicts(base, write_run(tmp_path / "new", {KEY: shifted})) == {KEY: verdict}


def test_lower_is_better_for_mse(tmp_path):
    key = ("DiffAE", "", "mse")
    values = RNG.normal(1e-3, 1e-4, 100)
    base = write_run(tmp_path / "base", {key: values})
    assert verdicts(base, write_run(tmp_path / "worse", {key: values * 1.2})) == {key: "regression"}
    assert verdicts(base, write_run(tmp_path / "better", {key: values / 1.2})) == {
        key: "improvement"
    }


def test_pairing_sees_what_independent_images_hide(base, tmp_path):
    change = SSIM - 0.003
    assert verdicts(base, write_run(tmp_path / "paired", {KEY: change})) == {KEY: "regression"}
    other = write_run(tmp_path / "other", {KEY: RNG.permutation(change)}, seed=1)
    assert verdicts(base, other) == {KEY: "unresolved"}


def test_what_is_neither_better_nor_worse_is_never_a_regression(tmp_path):
    spread, size = ("DiffAE", "", "pixel_std"), ("DiffAE", "", "latent_dim")
    base = write_run(tmp_path / "base", {spread: SSIM, size: 512.0})
    new = write_run(tmp_path / "new", {spread: SSIM - 0.1, size: 256.0})
    assert verdicts(base, new) == {spread: "changed", size: "changed"}
    assert command(base, new).returncode == 0


def test_a_number_without_uncertainty_is_exact_with_the_same_seed_and_unknown_with_another(
    tmp_path,
):
    base = write_run(tmp_path / "base", {KEY: 0.95})
    assert verdicts(base, write_run(tmp_path / "a", {KEY: 0.9})) == {KEY: "regression"}
    assert verdicts(base, write_run(tmp_path / "b", {KEY: 0.9496})) == {KEY: "same"}
    other = write_run(tmp_path / "c", {KEY: 0.9}, seed=1)
    assert verdicts(base, other) == {KEY: "not compared"}


def test_a_lost_number_fails_and_a_new_one_does_not(base, tmp_path):
    lost = write_run(tmp_path / "lost", {KEY: None, ("DDIM", "", "ssim"): SSIM})
    assert verdicts(base, lost) == {KEY: "missing", ("DDIM", "", "ssim"): "new"}
    assert command(base, lost).returncode == 1
    assert command(base, lost, "--allow-missing").returncode == 0


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "other images"])
def test_false_alarms_are_rarer_than_alpha(tmp_path, paired, monkeypatch):
    """400 comparisons of runs that differ by chance alone, 40 attributes and a mean each, no margin."""
    rng = np.random.default_rng(7)
    alarms = 0
    for i in range(400):
        shared = rng.normal(size=(60, 1))
        base, new = (shared * paired + rng.normal(size=(60, 40)) for _ in range(2))
        a = write_run(tmp_path / "a", as_attributes(base))
        b = write_run(tmp_path / "b", as_attributes(new), seed=0 if paired else i + 1)
        found = compare(read_run(a), read_run(b), {}, 0.05)
        alarms += any(c.verdict == "regression" for c in found)
    assert 3 <= alarms <= 31  # 20 expected; beyond these with probability below 1 in 100


def as_attributes(values):
    columns = {("DiffAE", f"attribute {a}", "auroc"): column for a, column in enumerate(values.T)}
    return columns | {("DiffAE", "mean", "auroc"): values.mean(1)}


# ----------------------------------------------------------------------------------------------
# Refusals


def test_another_protocol_is_refused_and_the_field_named(base, tmp_path):
    new = write_run(tmp_path / "new", {KEY: SSIM}, protocol={"ssim": "valid windows"}, seed=1)
    result = command(base, new)
    assert result.returncode == 2 and result.stdout == ""
    assert "the protocols differ in ssim: 'zero padding' in" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("file", ["records.csv", "run.json", "influences.npz"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1, 2]"])
def test_a_damaged_folder_is_refused_by_name(base, tmp_path, file, content):
    new = write_run(tmp_path / "new", {KEY: SSIM})
    (new / file).write_bytes(content)
    with pytest.raises(Refused, match=str(new)):
        read_run(new)


def test_folders_that_are_none(base, tmp_path):
    result = command(base, tmp_path / "nowhere")
    assert result.returncode == 2
    assert "nowhere" in result.stderr and "no such file" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("line", ["ssim,minus,value,", "ssim,-1,value,", "ssim,1,percent,", "ssim"])
def test_margins_that_are_none(tmp_path, line):
    path = tmp_path / "margins.csv"
    path.write_text(f"metric,margin,of,why\n{line}\n")
    with pytest.raises(Refused, match=r"margins\.csv"):
        read_margins(path)


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
        write_run(tmp_path / "base", {key: SSIM, KEY: SSIM}),
        write_run(tmp_path / "new", {key: SSIM - 0.1, KEY: SSIM}),
    )


def test_a_regression_is_told_in_every_form(regression, tmp_path):
    junit, summary = tmp_path / "gate.xml", tmp_path / "summary.md"
    summary.write_text("before\n")
    result = command(
        *regression, "--junit", junit, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)
    )
    assert result.returncode == 1, result.stderr
    assert "# Regression gate: 1 worse" in result.stdout
    annotations = [line for line in result.stdout.splitlines() if line.startswith("::")]
    assert len(annotations) == 1 and annotations[0].startswith("::error title=Regression gate")
    assert summary.read_text().startswith("before\n# Regression gate: 1 worse")
    for text in (result.stdout.split("\n::error title")[0], summary.read_text()):
        assert "<script>" not in text
        (row,) = [line for line in text.splitlines() if line.startswith("| regression")]
        assert row.replace("\\|", "").count("|") == 9
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (failed,) = [case for case in suite if case.find("failure") is not None]
    assert failed.get("classname").startswith("reconstruction.<script>")


def test_an_unwritable_report_is_one_line(base, tmp_path):
    result = command(base, base, "--junit", tmp_path / "missing" / "gate.xml")
    assert result.returncode == 2
    assert "gate.xml: No such file" in result.stderr and "Traceback" not in result.stderr


def test_records_of_two_tables_are_one_number(tmp_path):
    """Table 1 repeats a row of Table 2: it must not count twice in a family."""
    folder = write_run(tmp_path / "base", {KEY: SSIM})
    run = read_run(folder)
    (record,) = run.records.values()
    write_records(folder / "records.csv", [record, replace(record, table="table2")])
    assert len(read_run(folder).records) == 1
