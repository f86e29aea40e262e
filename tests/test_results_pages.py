"""The tables and the picture of README.md and of docs/results are up to date with their commands."""

import ast
import csv
import importlib
import importlib.util
import itertools
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from doc_scripts import script
from PIL import Image
from scipy import stats

from reports.records.entries import read_entry
from reports.tables.build import read

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
OURS = {"diffae", "probes", "benchmarks", "reports"}


@pytest.fixture(scope="module")
def readme():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RESULTS)  # where it has a module beside it
        return script(RESULTS / "readme.py")


def test_no_page_is_stale(readme):
    """To update them: python docs/results/readme.py --write"""
    assert not readme.stale()


def test_what_is_timed_against_other_libraries_gives_their_numbers(monkeypatch):
    """At small sizes; and numbers that are not theirs are not timed."""
    monkeypatch.syspath_prepend(RESULTS)
    compare = script(RESULTS / "peers" / "compare.py")
    rows = compare.rows(small=True)
    assert len({(row.work, row.package) for row in rows}) == len(rows) >= 9
    assert [(row.work, row.package) for row in rows if not row.differ() <= row.within] == []
    wrong = replace(rows[0], ours=lambda: rows[0].ours() * 1.01)
    with pytest.raises(ValueError, match="linear probes.* differs from scikit-learn by 0.01"):
        compare.measured(wrong, rounds=1)
    line = compare.measured(rows[0], rounds=1)
    assert float(line["theirs / ours"]) == pytest.approx(
        float(line["their seconds"]) / float(line["our seconds"]), rel=0.02
    )


def test_a_new_baseline_makes_the_readme_stale(readme, tmp_path, monkeypatch):
    baseline = tmp_path / "baseline"
    shutil.copytree(ROOT / "benchmarks" / "baseline", baseline)
    rows = list(csv.reader((baseline / "records.csv").open()))
    value = rows[0].index("value")
    cells = ["DiffAE", "x_T random", "100", "ssim"]  # in Tables 1 and 2
    for row in rows:
        if [row[i] for i in (2, 5, 6, 7)] == cells:
            row[value] = "0.1234"
    with (baseline / "records.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    monkeypatch.setattr(readme, "BASELINE", baseline)
    ((page, text),) = readme.stale().items()
    assert page == ROOT / "README.md" and "| 0.1234 ± " in text


def test_the_readme_has_the_numbers_of_the_baseline():
    """The numbers are read independently of the script."""
    page = (ROOT / "README.md").read_text()
    rows = list(csv.DictReader((ROOT / "benchmarks" / "baseline" / "records.csv").open()))

    def number(digits, **cells):
        (row,) = [r for r in rows if all(r[name] == cell for name, cell in cells.items())]
        return f"{float(row['value']):.{digits}f} ± {float(row['stderr']):.{digits}f}"

    inverted = {
        "table": "table2_ablation",
        "setting": "x_T inverted",
        "metric": "ssim",
        "solver": "ddim",
    }
    both = [number(4, system="DDIM", steps=steps, **inverted) for steps in ("10", "20")]
    assert f"| {' / '.join(both)} |" in page
    probe = {"table": "section5.3_probe", "setting": "mean", "metric": "auroc"}
    aurocs = [number(4, system=s, **probe) for s in ("DiffAE", "pixels + PCA", "random encoder")]
    line = next(
        line for line in page.splitlines() if line.startswith("| mean AUROC, 40 attributes")
    )
    assert re.findall(r"0\.\d{4} ± 0\.\d{4}", line) == aurocs


def test_every_script_and_folder_of_results_is_in_the_index():
    index = (RESULTS / "README.md").read_text()
    found = {path.name for path in RESULTS.iterdir() if not path.name.startswith(("_", "."))}
    for name in found - {"README.md", "readme.py", "measure.py"}:
        assert f"| [{name}](" in index, name
        assert (RESULTS / name).is_file() or (RESULTS / name / "README.md").is_file()


def test_a_rank_correlation_of_the_study_of_codes_is_that_of_scipy():
    """Its p-value is near that of all 720 orders."""
    analysis = script(RESULTS / "latent" / "analysis.py")
    x, y = np.array([3.0, 1, 4, 1, 5, 9]), np.array([2.0, 0.1, 7, 1, 8, 0.5])
    rho, low, high, p = analysis.correlation(x, y)
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
    half = 1.959964 * np.sqrt((1 + rho**2 / 2) / 3)
    assert np.arctanh([low, high]) == pytest.approx(np.arctanh(rho) + np.array([-half, half]))
    orders = [stats.spearmanr(order, y).statistic for order in itertools.permutations(x)]
    assert p == pytest.approx(np.mean(np.abs(orders) >= abs(rho) - 1e-9), abs=0.02)


def test_a_partial_rank_correlation_is_that_of_residuals():
    """Of ranks, after a regression on those of the third and the fourth column; and the difference of sizes."""
    analysis = script(RESULTS / "latent" / "analysis.py")
    columns = np.random.default_rng(0).normal(size=(30, 4)) @ np.triu(np.ones((4, 4)))
    columns[:, 0] *= -1
    ranks = stats.rankdata(columns, axis=0)

    def left(column, given):
        fit = stats.linregress(ranks[:, given], ranks[:, column])
        return ranks[:, column] - fit.intercept - fit.slope * ranks[:, given]

    found = analysis.statistics(columns)
    for name, given in {analysis.AT_RKD: 2, analysis.AT_PSNR: 3}.items():
        expected = np.corrcoef(left(0, given), left(1, given))[0, 1]
        assert found[name] == pytest.approx(expected) and abs(expected) > 0.05
    rho, other = (stats.spearmanr(columns[:, k], columns[:, 1]).statistic for k in (0, 2))
    assert found["rho"] == pytest.approx(rho) and rho < 0
    assert found[analysis.LESS] == pytest.approx(-rho - other)


def test_families_of_systems_are_drawn_whole():
    """Of two families with opposite orders a draw has the one, the other, or both; of systems, anything."""
    analysis = script(RESULTS / "latent" / "analysis.py")
    x = np.arange(6.0)
    columns = np.stack([np.r_[x, x], np.r_[x, -x], np.r_[x, x], np.r_[x, x]], axis=1)
    of_families = analysis.resampled(columns, np.repeat([0, 1], 6), 60)["rho"]
    both = stats.spearmanr(columns[:, 0], columns[:, 1]).statistic
    assert set(of_families.round(9)) == {-1, round(both, 9), 1}
    assert len(set(analysis.resampled(columns, np.arange(12), 60)["rho"].round(9))) > 20
    families = {analysis.family(name) for name in analysis.read().index}
    assert families == {"DiffAE", "VQ-GAN", "D2C", "convolutional", "principal components"}


def test_the_page_of_factors_has_the_numbers_of_its_file():
    factors = script(RESULTS / "factors" / "factors.py")
    page = (RESULTS / "factors" / "README.md").read_text(encoding="utf-8")
    tables = factors.tables(pd.read_csv(factors.FILE)).split("\n\n")
    assert len(tables) == 2 and all(table in page for table in tables)


def test_the_page_of_edits_has_the_numbers_of_its_file():
    edits = script(RESULTS / "edits" / "edits.py")
    page = (RESULTS / "edits" / "README.md").read_text(encoding="utf-8")
    tables = edits.tables(pd.read_csv(edits.FILE)).split("\n\n")
    assert len(tables) == 3 and all(table in page for table in tables)


@pytest.fixture
def footguns(monkeypatch):
    monkeypatch.syspath_prepend(RESULTS)
    return script(RESULTS / "footguns.py")


def of_page(text):
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines[1:]]


def test_the_page_of_traps_names_the_twenty_of_the_script(footguns):
    rows = of_page(footguns.PAGE.read_text())
    assert [(row[1], row[5]) for row in rows] == [(of[0], of[2]) for of in footguns.TRAPS]
    assert len(rows) == 20
    range_, right, wrong = rows[0][2], *map(float, rows[0][3:5])
    assert range_ == "PSNR" and right - wrong == pytest.approx(20 * np.log10(2), abs=0.01)


@pytest.mark.slow
def test_the_traps_have_the_sizes_on_their_page(footguns):
    """To update them: python docs/results/footguns.py --write"""
    for row, (_, trap, _) in zip(of_page(footguns.PAGE.read_text()), footguns.TRAPS, strict=True):
        number, *values = trap()
        assert (number, pytest.approx(values, rel=5e-3)) == (row[2], [*map(float, row[3:5])]), row


def test_a_page_without_markers_is_an_error(readme, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no table")
    with pytest.raises(SystemExit, match="page.md"):
        readme.renewed(page, {"results": lambda: "a table"})


def test_the_picture_is_made_of_the_packaged_model_by_the_script_beside_it():
    """To update it: python docs/pictures/compose.py runs/RUN docs/pictures/overview.png"""
    compose = script(ROOT / "docs" / "pictures" / "compose.py")
    with Image.open(ROOT / "docs" / "pictures" / "overview.png") as picture:
        assert picture.text["made of"] == compose.made_of()


def test_the_page_says_of_the_packaged_models_what_the_baseline_shows():
    """By the rule of report.html: a difference within noise is none, and one that depends on one
    image is marked.
    """
    claims, found = script(ROOT / "tests" / "claims.py"), read([ROOT / "benchmarks" / "baseline"])
    page = " ".join((ROOT / "docs" / "models.md").read_text(encoding="utf-8").split())
    for sentence, holds in claims.CLAIMS.items():
        assert sentence in page and holds(found), sentence


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.py")), ids=lambda path: path.name)
def test_what_a_script_imports_exists(path):
    for node in ast.walk(ast.parse(path.read_text())):
        ours = isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in OURS
        for name in [one.name for one in node.names] if ours else ():
            found = hasattr(importlib.import_module(node.module), name)
            assert found or importlib.util.find_spec(f"{node.module}.{name}"), name


@pytest.mark.parametrize("entry", sorted((ROOT / "docs/entries").iterdir()), ids=lambda e: e.name)
def test_an_entry_of_the_board_follows_from_its_scores(entry):
    assert len(read_entry(entry).taken) > 100
