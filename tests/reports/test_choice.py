"""Terminal, page, bold type, differences, `Results.summary` and gate name the same settings,
values and differences of one run folder.
"""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from runs import SCORES, measured, number, write_run
from scipy import stats

from benchmarks.core.registry import specs
from benchmarks.results import Results
from reports.gate.verdicts import compare
from reports.gate.words import sentence
from reports.page import write_board
from reports.page.summary import summary
from reports.records.entries import Card, Entry
from reports.records.run_folder import Run, read_margins, read_run
from reports.tables.build import merge, read
from reports.tables.make_files import table_of_differences

RNG = np.random.default_rng(3)
HARD = SCORES - 0.05
# (system, setting, T) -> SSIM of each image. My VAE's is behind DiffAE's best by some 0.165.
OURS, VAE = ("DiffAE", "x_T random", 100), ("My VAE", "", None)
RUN = {
    ("DiffAE", "x_T inverted", 4): HARD + 0.02,
    ("DiffAE", "x_T random", 4): HARD + 0.01,
    ("DiffAE", "x_T inverted", 100): HARD - 0.1 + RNG.normal(0, 0.01, 50),
    OURS: HARD + RNG.normal(0, 0.01, 50),
    VAE: HARD - 0.165 + RNG.normal(0, 0.01, 50),
}


def records_of(scores):
    fields = {"table": "table1_reconstruction", "metric": "ssim", "value": None}
    return [
        measured(number(**fields, system=system, setting=setting, steps=steps), values)
        for (system, setting, steps), values in scores.items()
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("choice") / "run"
    return write_run(folder, records_of(RUN), ended="2026-11-27T10:00:00+00:00")


def test_tables_and_differences_take_a_system_at_its_best(run):
    found = read([run])
    test = stats.ttest_rel(RUN[OURS], RUN[VAE])
    ours, vae = (RUN[key].mean() for key in (OURS, VAE))
    behind, error = ours - vae, (ours - vae) / test.statistic

    (best,) = found.tables[1].best
    assert (best.system, best.setting, best.steps) == OURS

    (difference,) = table_of_differences(merge([read_run(run)])).panels[0].rows
    texts = [cell.text for cell in difference]
    assert texts[2:4] == ["DiffAE, x_T random, T = 100", "My VAE"] and texts[-1] == "paired"
    assert texts[4] == f"-{behind:.4f} ± {error:.4f}"


def test_overview_page_board_and_terminal_print_one_decision(run, tmp_path):
    """The system that is best, its setting, its value, and how far the next is behind: each of the four
    as it is written for a reader.
    """
    found, board = read([run]), tmp_path / "board.html"
    write_board(
        board,
        [Entry(replace(read_run(run), label="run"), Card("t", "b", "a"), frozenset())],
        tmp_path,
    )
    ranking = next(part for part in board.read_text().split("<table>") if "x_T random" in part)
    rows = [" ".join(re.sub("<.*?>", " ", row).split()) for row in ranking.split("<tr>")[2:]]
    assert rows[0].startswith(f"DiffAE, x_T random 1 {_with_error(OURS)}")
    number = float(rows[-1].split(" ± ")[1].split()[-1])  # "0.6890 ± 0.0031 50 0.1621 ± 0.0020"
    assert number == pytest.approx((RUN[OURS] - RUN[VAE]).mean(), abs=1e-4)
    assert "paired, beyond noise" in rows[-1]

    text = " ".join(" ".join(summary(found)).split())
    values = [f"{RUN[key].mean():.4f}" for key in (OURS, VAE)]
    errors = [f"± {stats.sem(RUN[key]):.4f}" for key in (OURS, VAE)]
    assert f"*{values[0]} {values[1]}" in text and " ".join(errors) in text

    rows = [[cell.text + cell.errors for cell in row] for row in found.tables[0].panels[0].rows]
    shown = [row for row in rows if _with_error(OURS) in row]
    assert len(shown) == 1 and {"DiffAE", "x_T random", "100"} <= set(shown[0])
    assert [row for row in rows if "My VAE" in row and _with_error(VAE) in row]


def _with_error(key) -> str:
    return f"{RUN[key].mean():.4f} ± {stats.sem(RUN[key]):.4f}"


def test_the_summary_of_results_has_these_numbers():
    profile = SimpleNamespace(title="quick", base="quick")
    data = SimpleNamespace(name="portraits")
    context = SimpleNamespace(dataset=data, profile=profile, seed=0)
    numbers = Run(Path("run"), list(records_of(RUN)), table_specs=specs(["reconstruction"]))
    results = Results(numbers, context)
    text = results.summary()
    assert f"*{RUN[OURS].mean():.4f}" in text and f" {RUN[VAE].mean():.4f}" in text
    assert {r.value for r in results.tables["table1_reconstruction"].best} == {RUN[OURS].mean()}


def test_the_gate_finds_the_same_difference(run, tmp_path):
    """Where DiffAE's number became that of My VAE."""
    other = write_run(tmp_path / "new", records_of({**RUN, OURS: RUN[VAE]}))
    found = compare(read_run(run), read_run(other), read_margins())
    (one,) = (c for c in found if c.verdict == "regression")
    test = stats.ttest_rel(RUN[OURS], RUN[VAE])
    behind = RUN[OURS].mean() - RUN[VAE].mean()
    assert one.loss == pytest.approx(behind)
    assert one.error.stderr == pytest.approx(behind / test.statistic, rel=1e-4)
    assert sentence(one).startswith("DiffAE: SSIM of reconstruction, x_T random, at T = 100 fell")


def test_what_two_runs_have_is_compared_at_each_of_its_settings(run, tmp_path):
    """Not the best setting of one with that of the other."""
    other = write_run(tmp_path / "new", records_of({key: RUN[key] - 0.01 for key in RUN}))
    a, b = (replace(read_run(folder), label=name) for folder, name in ((run, "a"), (other, "b")))
    rows = table_of_differences(merge([a, b])).panels[0].rows
    names = {
        tuple(cell.text.replace(" (a)", "").replace(" (b)", "") for cell in row[2:4])
        for row in rows
    }
    at = [", x_T inverted, T = 100", ", x_T random, T = 100"]
    assert names == {
        *((f"DiffAE{one}", f"DiffAE{one}") for one in at),
        ("My VAE", "My VAE"),
        (f"DiffAE{at[1]}", "My VAE"),
    }
