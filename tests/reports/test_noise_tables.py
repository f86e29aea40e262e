"""What a report sets in bold: a table by hand of what docs/reports.md says, one condition after another.

A run folder has several benchmarks; each is one case.
"""

import csv
import math
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from runs import changed, measured, number, write_run
from scipy import stats

from reports.make import main
from reports.records.estimate import Estimate, Influence

K = 50  # images
EVEN = np.tile([1.0, -1.0], K // 2) * math.sqrt((K - 1) / K)  # mean 0, standard deviation 1
HARD = np.random.default_rng(0).normal(0, 0.02, K)
HARD -= HARD.mean()
SEM = float(stats.sem(HARD))
# A benchmark, its table, its headline, the setting, and +1 where lower is better; in the page's order.
PLACES = (
    ("reconstruction", "table1_reconstruction", "ssim", "", -1),
    ("probes", "section5.3_probe", "auroc", "mean", -1),
    ("interpolation", "appendix_f_smoothness", "ppl", "median", 1),
    ("denoising", "figure6_denoising", "mse", "", 1),
)


@dataclass(frozen=True)
class One:
    """A system that is worse by `behind` than A, with `t` times its standard error, on images."""

    system: str
    behind: float = 0.0
    error: float = 0.0  # of the difference to A on the same images
    images: str | None = "images:a"  # None: without any error
    reference: bool = False


def t_times(t, error=0.001):
    """Behind by t standard errors on the same images."""
    return {"behind": t * error, "error": error}


A = One("A")
CRITICAL = stats.t.ppf(0.975, K - 1)  # 2.01
APART = stats.t.ppf(0.975, 2 * (K - 1)) * math.sqrt(2) * SEM  # of other images
# The systems, and those in bold.
CASES = [
    ([A], ""),
    ([A, One("B", **t_times(1.02 * CRITICAL))], "A"),
    ([A, One("B", **t_times(0.98 * CRITICAL))], ""),
    ([A, One("B")], ""),
    ([A, One("B", **t_times(1)), One("C", **t_times(9))], "AB"),
    ([A, One("B", **t_times(9)), One("C", **t_times(10))], "A"),
    # other images: the errors of both
    ([A, One("B", 0.98 * APART, images="images:b")], ""),
    ([A, One("B", 1.02 * APART, images="images:b")], "A"),
    ([A, One("B", 1.02 * APART, images="persons:a")], "A"),
    # errors that are not known: of both, or of one, whose partner's then counts for both
    ([One("A", images=None), One("B", 0.001, images=None)], ""),
    ([A, One("B", 0.95 * APART, images=None)], ""),
    ([One("A", images=None), One("B", 1.05 * APART)], "A"),
    # references are never bold, and make none bold
    ([A, One("R", **t_times(-9), reference=True)], ""),
    ([A, One("R", **t_times(9), reference=True)], ""),
    ([A, One("B", **t_times(9)), One("R", **t_times(-9), reference=True)], "A"),
    ([A, One("R", **t_times(-9))], "R"),
]


def record_of(one, place):
    benchmark, table, metric, setting, sign = place
    made = number(
        table,
        metric,
        None,
        benchmark=benchmark,
        system=one.system,
        setting=setting,
        reference=one.reference,
    )
    images = 0.5 + HARD + sign * (one.behind + one.error * math.sqrt(K) * EVEN)
    if one.images is None:
        return changed(made, value=float(images.mean()))
    return measured(made, images, one.images)


def reported(tmp_path, cases, seeds=1):
    """By benchmark the bold systems of the first table of the page, and of the table in CSV, of a run or of
    seeds of it with the same numbers.
    """
    records = [
        record_of(one, place) for place, case in zip(PLACES, cases, strict=False) for one in case
    ]
    runs = []
    for seed in range(seeds):
        settings = {"data": "portraits", "seed": seed, "profile": {"name": "quick"}}
        runs.append(str(write_run(tmp_path / f"run-{seed}", records, settings=settings)))
    main([*runs, "--out", str(tmp_path / "report")])
    page = (tmp_path / "report" / "report.html").read_text()
    first = re.search(r'<table class="headlines">(.*?)</table>', page, re.S)[1]
    systems = re.findall(r'<th scope="col" class="numeric">([^<]*)', first)
    for (name, table, *_), case in zip(PLACES, cases, strict=False):
        row = re.search(rf'<th scope="row">{name}</th>(.*?)</tr>', first, re.S)[1]
        cells = re.findall(r"<td.*?</td>", row, re.S)[2:]
        shown = [s for s, cell in zip(systems, cells, strict=False) if "<strong" in cell]
        rows = csv.DictReader((tmp_path / "report" / "tables" / f"{table}.csv").open())
        written = sorted(row["system"] for row in rows if row["best"] == "True")
        assert len(systems) >= sum(not one.reference for one in case)
        yield "".join(sorted(shown)), "".join(written)


def groups(cases):
    """As many cases as a run has places, together."""
    size = len(PLACES)
    return [pytest.param(cases[i : i + size], id=f"from-{i}") for i in range(0, len(cases), size)]


@pytest.mark.parametrize("group", groups(CASES))
def test_bold_are_the_best_and_what_chance_may_explain(tmp_path, group):
    found = list(reported(tmp_path, [case for case, _ in group]))
    assert found == [(bold, bold) for _, bold in group]


def test_means_over_seeds_are_not_paired(tmp_path):
    """Each seed has images of its own, so that a mean has the errors of both systems."""
    case = [A, One("B", **t_times(9, 0.0001))]
    for seeds, bold in ((1, "A"), (2, "")):
        assert list(reported(tmp_path / str(seeds), [case], seeds)) == [(bold, bold)]


def test_differences_are_paired_partly_or_not(tmp_path):
    """The error of each source that both have is that of its differences; the others add up."""
    rng = np.random.default_rng(2)
    x, y, z, w = (rng.normal(size=K) / K for _ in range(4))
    sources = {"samples": (x, y), "reference": (z, w)}
    cases = {
        (True, True): ("paired", math.hypot(np.linalg.norm(x - y), np.linalg.norm(z - w))),
        (False, True): (
            "partly",
            math.hypot(np.linalg.norm(z - w), np.linalg.norm(x), np.linalg.norm(y)),
        ),
        (True, False): (
            "partly",
            math.hypot(np.linalg.norm(x - y), np.linalg.norm(z), np.linalg.norm(w)),
        ),
        (False, False): ("independent", math.sqrt(sum(float(v @ v) for v in (x, y, z, w)))),
    }
    for shared, (how, stderr) in cases.items():
        folders = []
        for side in range(2):
            influences = tuple(
                Influence(f"{name}:{'a' if same else side}", values[side])
                for (name, values), same in zip(sources.items(), shared, strict=True)
            )
            record = number("table4_unconditional_fid", "kid", None, benchmark="unconditional")
            record = replace(record, estimate=Estimate(0.1 + side, influences, n=50), system="A")
            folder = write_run(tmp_path / f"{shared}{side}", [record])
            folders.append(f"{'ab'[side]}={folder}")
        out = tmp_path / f"{shared}"
        main([*folders, "--out", str(out)])
        (row,) = csv.DictReader((out / "tables" / "differences.csv").open())
        assert row["note"].endswith(f"; {how}") and float(row["value"]) == pytest.approx(1)
        assert float(row["stderr"]) == pytest.approx(stderr, rel=1e-5)
