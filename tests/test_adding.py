"""The diffs of CONTRIBUTING.md: each adds a thing in at most 40 lines, and the thing is there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PACKAGES = ("diffae", "probes", "benchmarks", "reports")
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
*METRICS, OPTION, BENCHMARK, FORMAT = DIFFS
MAE, ENERGY, SPARSITY = "mae", "energy", "hoyer"
TABLES = {
    MAE: "table1_reconstruction",
    ENERGY: "table4_unconditional_fid",
    SPARSITY: "representation",
}
LABELS = {MAE: "MAE", ENERGY: "energy", SPARSITY: "sparsity"}


@pytest.fixture
def copy(tmp_path):
    """A copy of the packages, and a function that runs a command of it."""
    for name in PACKAGES:
        unwanted = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(ROOT / name, tmp_path / "tree" / name, ignore=unwanted)
    return tmp_path / "tree"


def apply(diff: str, tree: Path) -> None:
    command = ["git", "apply", "-"]
    done = subprocess.run(command, input=diff, text=True, cwd=tree, capture_output=True)
    assert not done.returncode, done.stderr


def run(tree: Path, *words: object) -> str:
    """The standard output of a command of the tree."""
    kit = str(ROOT / "tests" / "kit")
    environment = {**os.environ, "DIFFAE_CACHE": str(tree.parent / "cache"), "PYTHONPATH": kit}
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, cwd=tree, env=environment, text=True, capture_output=True)
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.fixture
def pictures(tmp_path):
    """Twenty images of 32 px, and the same a level brighter, in two folders."""
    pixels = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    for name, shift in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(pixels):
            Image.fromarray(image + np.uint8(shift)).save(tmp_path / name / f"{i:02}.png")
    np.save(tmp_path / "pixels.npy", pixels)
    return tmp_path


def test_a_diff_has_at_most_forty_lines_and_applies(copy):
    assert len(OPTION.splitlines()) <= 25 and len(BENCHMARK.splitlines()) <= 25
    for diff in DIFFS:
        assert len(diff.splitlines()) <= 40
        apply(diff, copy)


def test_a_metric_is_a_diff_of_at_most_twenty_lines_and_is_measured(copy, pictures):
    for diff in METRICS:
        assert len(diff.splitlines()) <= 20
        apply(diff, copy)
    lines = run(copy, "benchmarks.measure", MAE, pictures / "a", pictures / "b").splitlines()
    assert lines[-2].startswith("pairs: 20, standard error ")
    assert float(lines[-1].removeprefix(MAE)) == pytest.approx(1 / 255, rel=1e-3)  # one level


@pytest.mark.slow
def test_metrics_of_sets_and_of_codes_are_measured(copy, pictures):
    for diff in METRICS:
        apply(diff, copy)
    codes = np.random.default_rng(0).standard_normal((60, 8))
    np.save(pictures / "codes.npy", codes)
    sparsity = (8**0.5 - abs(codes).sum(1) / np.linalg.norm(codes, axis=1)) / (8**0.5 - 1)
    lines = run(copy, "benchmarks.measure", SPARSITY, pictures / "codes.npy").splitlines()
    assert f"standard error {sparsity.std(ddof=1) / 60**0.5:.3g} over images" in lines[-2]
    assert float(lines[-1].removeprefix(SPARSITY)) == pytest.approx(sparsity.mean())
    lines = run(copy, "benchmarks.measure", ENERGY, pictures / "a", pictures / "b").splitlines()
    assert "standard error" in lines[-2]
    assert float(lines[-1].removeprefix(ENERGY)) < 0  # each image has its like on the other side


@pytest.mark.slow
def test_a_run_its_report_and_the_gate_know_a_metric(copy):
    for diff in METRICS:
        apply(diff, copy)
    words = ["--systems", "dummy-map", "--profile", "smoke", "--stand-ins", "--size", 32]
    sizes = ["data.portraits=150", "samples.count=24", "unconditional.reference=40"]
    words += [word for size in (*sizes, "reconstruction.images=8") for word in ("--set", size)]
    tasks = ("reconstruction", "unconditional", "representation")
    run(copy, "benchmarks.run", *tasks, *words, "--out", "run")
    run(copy, "reports.make", "run", "--out", "report")
    judged = run(copy, "reports.compare", "run", "run", "--all")
    records = pd.read_csv(copy / "run/records.csv")
    page = (copy / "report/report.html").read_text()
    for metric, table in TABLES.items():
        of_metric = records[(records.metric == metric) & (records.system == "dummy: map")]
        assert of_metric.table.unique() == [table]
        assert of_metric.value.notna().all() and (of_metric.stderr > 0).all()
        label = LABELS[metric]
        assert label in (copy / f"report/tables/{table}.md").read_text() and label in page
        assert label in judged


GREY = """
from inspect import signature

from benchmarks import evaluate
from diffae.data import open_combinations, open_dataset, open_portraits
from diffae.system.errors import UserError

grids = [open_combinations(open_portraits(8, 16).changed_by(options), 32) for options in ({}, {"grey": True})]
print(*(image.std(axis=3).max() > 0 for image in (grid.images([0]) for grid in grids)))
print("grey" in signature(evaluate).parameters)
try:
    open_dataset("../earlier", 32).changed_by({"grey": True})
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_an_option_that_changes_the_data_is_one_field(copy, pictures):
    """It is a flag, a keyword, in run.json, in the protocols, and in a prepared copy; an older copy is as good."""
    earlier, grey = pictures / "earlier", pictures / "grey"
    prepare = ["diffae.data", "prepare", pictures / "a"]
    run(copy, *prepare, earlier, "--size", 32)
    apply(OPTION, copy)
    run(copy, *prepare, grey, "--size", 32, "--grey")
    run(copy, *prepare, earlier, "--size", 32)  # finished before
    words = ["--systems", "dummy-constant", "--profile", "smoke", "--out", "run", "--data"]
    values, noted = {}, {}
    for given in [("a",), ("a", "--grey"), ("grey",), ("earlier",)]:
        folder, *flags = given
        run(copy, "benchmarks.run", "reconstruction", *words, pictures / folder, *flags)
        noted[given] = json.loads((copy / "run/run.json").read_text())
        values[given] = (copy / "run/records.csv").read_text()
        shutil.rmtree(copy / "run")
    assert values["earlier",] == values["a",] != values["a", "--grey"] == values["grey",]
    for given, note in noted.items():
        is_grey = True if "grey" in "".join(given) else None
        assert note["settings"].get("grey") is is_grey
        transforms = [fields["transform"] for fields in note["protocols"].values()]
        assert {transform.get("grey") for transform in transforms} == {is_grey}
    (copy / "combinations.py").write_text(GREY)
    lines = run(copy, "combinations").splitlines()
    assert lines[:2] == ["True False", "True"]
    assert lines[2].startswith("--grey: is not how this copy was made; prepare it again")


@pytest.mark.slow
def test_a_benchmark_has_its_sizes_table_and_section(copy, pictures):
    apply(BENCHMARK, copy)
    words = ["--systems", "dummy-constant", "--profile", "smoke", "--data", pictures / "a"]
    run(copy, "benchmarks.run", "mirrored", *words, "--out", "run")
    table = (copy / "run/tables/mirrored.csv").read_text().splitlines()
    assert len(table) == 2 and ",4," in table[1]  # of the 6 images of the test split
    assert "mirrored" in (copy / "run/report.html").read_text()
    assert "mirrored how well mirrored" in " ".join(run(copy, "benchmarks.run", "list").split())


@pytest.mark.slow
def test_tests_need_no_entry_for_a_benchmark(copy):
    apply(BENCHMARK, copy)
    files = ("benchmarks/test_seeds.py", "benchmarks/test_caps.py", "benchmarks/test_keys.py")
    files += ("benchmarks/core/test_profiles.py", "reports/test_brought.py")
    words = ("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "no:cacheprovider", "-v")
    chosen = "mirrored or built_in or there_are or section or order_of_the_paper"
    tests = [ROOT / "tests" / file for file in files]
    assert "[mirrored] PASSED" in run(copy, "pytest", *words, "-k", chosen, *tests)


@pytest.mark.slow
def test_a_format_is_recognised(copy, pictures):
    apply(FORMAT, copy)
    assert "20 images" in run(copy, "diffae.data", "check", pictures / "pixels.npy")
