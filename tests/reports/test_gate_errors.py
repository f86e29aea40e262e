"""Standard errors that changed, as the regression gate names them."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import in_process
import numpy as np
import pytest
from runs import KEY, SSIM, gate_run, make_run, number

from reports import compare as command_line
from reports.gate.verdicts import compare
from reports.records.estimate import Estimate
from reports.records.record import record_key
from reports.records.run_folder import Run, read_margins, read_run

BASELINE = Path(__file__).parents[2] / "benchmarks" / "baseline"


def scaled(run: Run, metric: str, factor: float) -> Run:
    """The same run with other errors of a metric."""
    return replace(run, rows=tuple(
        replace(r, estimate=wider(r.estimate, factor)) if r.metric == metric else r for r in run.rows
    ))  # fmt: skip


def wider(estimate: Estimate, factor: float) -> Estimate:
    influences = tuple(
        replace(source, values=source.values * np.float32(factor)) for source in estimate.influences
    )
    error = estimate.error and replace(estimate.error, stderr=estimate.error.stderr * factor)
    return replace(estimate, influences=influences, error=error)


@pytest.mark.parametrize("metric", ["knn", "viv", "rkd_effnet"])  # of images, alone, of blocks
@pytest.mark.parametrize(("factor", "there"), [(1.24, False), (1.34, True), (0.79, True)])
def test_errors_of_the_baseline_that_changed_by_a_quarter_are_named(metric, factor, there):
    base = read_run(BASELINE)
    have = {key for key, r in base.records.items() if r.metric == metric and r.stderr}
    found = compare(base, scaled(base, metric, factor), read_margins())
    assert have and {record_key(c.record) for c in found if c.errors} == (have if there else set())


def rate_named(count: int, shared: float, factor: float, tails: bool = False) -> float:
    """How often an error over so many units is named, whose values in both runs correlate by
    `shared`, if in truth it changes by a factor.
    """
    random, named, draws = np.random.default_rng(count), 0, 400
    for _ in range(draws):
        x, y = random.standard_t(4, (2, count)) if tails else random.normal(size=(2, count))
        runs = [
            make_run({KEY: of}) for of in (x, factor * (shared * x + (1 - shared**2) ** 0.5 * y))
        ]
        named += compare(*runs, read_margins())[0].errors is not None
    return named / draws


@pytest.mark.parametrize("shared", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("count", [2, 3, 5, 20, 100])
def test_an_error_that_did_not_change_is_hardly_ever_named(count, shared):
    """Of three seeds an error differs by more than a quarter in 14 to 78 % of such pairs of runs, of
    20 blocks in up to 34 %.
    """
    assert rate_named(count, shared, 1.0) <= 0.0075  # three of 400, by chance 0.4


def test_an_error_of_few_units_is_named_where_all_changed_alike():
    assert rate_named(3, 1.0, 1.3) == rate_named(100, 0.9, 1.5) == 1
    assert rate_named(3, 0.9, 1.5) == 0 and rate_named(3, 1.0, 1.2) == 0


def test_another_n_and_errors_of_votes_are_not_named():
    """The error of five tables of votes, sqrt(p (1 - p) / 25,000 + variance / 5), differs between
    runs by more than a quarter in about two thirds of pairs.
    """
    more = np.concatenate([SSIM, SSIM])
    (c,) = compare(make_run({KEY: SSIM}), make_run({KEY: more}, seed=1), read_margins())
    assert c.errors is None
    random = np.random.default_rng(0)
    votes = random.normal(0.8, 0.02, (2, 2000, 5)).var(axis=2, ddof=1) / 5
    stderr = np.sqrt(0.8 * 0.2 / 25_000 + votes)
    assert (abs(np.log(stderr[0] / stderr[1])) > np.log(1.25)).mean() > 0.5
    for metric, named in (("factor_vae", False), ("viv", True)):
        rows = [number("table", metric, 0.8, stderr=one) for one in (0.01, 0.02)]
        runs = [Run(Path("run"), (row,), {"p0": {"seed": 0}}, {}) for row in rows]
        (c,) = compare(*runs, read_margins())
        assert (c.errors == (0.01, 0.02)) == named


def test_a_changed_error_is_in_every_output_and_fails_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def command(*arguments):
        return in_process.command(command_line.main, *arguments, cache=tmp_path)

    wider = SSIM.mean() + 1.34 * (SSIM - SSIM.mean())
    base = gate_run(tmp_path / "base", {KEY: SSIM, ("DDIM", "", "ssim"): SSIM})
    new = gate_run(tmp_path / "new", {KEY: wider, ("DDIM", "", "ssim"): SSIM})
    page, junit = (tmp_path / f"gate.{end}" for end in ("md", "xml"))
    found = command(base, new, "--page", page, "--junit", junit)
    assert found.returncode == 0 and found.stdout.startswith("# Regression gate: passed")
    was, now = (np.std(x, ddof=1) / 200**0.5 for x in (SSIM, wider))
    words = f"its standard error was {was:.2g} and is {now:.2g}"
    assert f"of 1 number: DiffAE: SSIM of reconstruction: {words}. This is no regression" in (
        " ".join(found.stdout.split())
    )
    assert page.read_text().count(words) == 2  # the remark and the row
    worse = gate_run(tmp_path / "worse", {KEY: wider - 0.1, ("DDIM", "", "ssim"): SSIM})
    assert command(base, worse, "--junit", junit).returncode == 1
    assert words in ElementTree.parse(junit).find(".//failure").get("message")
