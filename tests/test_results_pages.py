"""The tables and the picture of README.md and of docs/results are up to date with their commands."""

import ast
import csv
import importlib
import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from doc_scripts import script
from PIL import Image

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
    assert len({(row.work, row.package) for row in rows}) == len(rows) >= 6
    assert [(row.work, row.package) for row in rows if not row.differ() <= row.within] == []
    wrong = replace(rows[0], ours=lambda: rows[0].ours() * 1.01)
    with pytest.raises(ValueError, match="linear probes.* differs from scikit-learn by 0.01"):
        compare.measured(wrong, rounds=1)
    line = compare.measured(rows[0], rounds=1)
    assert float(line["theirs / ours"]) == pytest.approx(
        float(line["their seconds"]) / float(line["our seconds"]), rel=0.02
    )


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


@pytest.mark.parametrize("name, count", [("factors", 2), ("edits", 3)])
def test_a_page_has_the_numbers_of_its_file(name, count):
    numbers = script(RESULTS / name / f"{name}.py")
    page = (RESULTS / name / "README.md").read_text(encoding="utf-8")
    tables = numbers.tables(pd.read_csv(numbers.FILE)).split("\n\n")
    assert len(tables) == count and all(table in page for table in tables)


@pytest.fixture
def footguns(monkeypatch):
    monkeypatch.syspath_prepend(RESULTS)
    return script(RESULTS / "footguns.py")


def of_page(text):
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines[1:]]


@pytest.mark.slow
def test_the_traps_have_the_sizes_on_their_page(footguns):
    """To update them: python docs/results/footguns.py --write"""
    for row, (_, trap, _) in zip(of_page(footguns.PAGE.read_text()), footguns.TRAPS, strict=True):
        number, *values = trap()
        assert (number, pytest.approx(values, rel=5e-3)) == (row[2], [*map(float, row[3:5])]), row


@pytest.mark.parametrize(("name", "picture"), [("compose", "overview"), ("edits", "edits")])
def test_a_picture_is_made_of_the_packaged_model_by_the_script_beside_it(name, picture):
    """To update them: python docs/pictures/compose.py runs/RUN docs/pictures/overview.png, and
    python docs/pictures/edits.py docs/pictures/edits.png
    """
    path = ROOT / "docs" / "pictures" / f"{picture}.png"
    with Image.open(path) as image:
        assert image.text["made of"] == script(path.with_name(f"{name}.py")).made_of()
    assert path.stat().st_size < 200_000


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
