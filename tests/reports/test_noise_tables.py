"""What a report calls best, within noise, behind a reference and carried by one image: tables by hand
of what docs/reports.md says, one condition after another.

A run folder has several benchmarks; each is one case.
"""

import csv
import html
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
    more: tuple[float, ...] = ()  # worse by so much on each image, in place of `behind`


def t_times(t, error=0.001, **more):
    """Behind by t standard errors on the same images."""
    return {"behind": t * error, "error": error, **more}


A = One("A")
ALONE, CLEAR, LEVEL, BEHIND = "alone", "clear", "within noise", "behind a reference"
UNDECIDED = "not decided"
CRITICAL = stats.t.ppf(0.975, K - 1)  # 2.01
APART = stats.t.ppf(0.975, 2 * (K - 1)) * math.sqrt(2) * SEM  # of other images
# The systems, the word of the verdict, those in bold, words of the sentence.
CASES = [
    ([A], ALONE, "", "no other system was measured"),
    ([A, One("B", **t_times(1.02 * CRITICAL))], CLEAR, "A", "follows with"),
    ([A, One("B", **t_times(0.98 * CRITICAL))], LEVEL, "", "cannot be told apart from B"),
    ([A, One("B")], LEVEL, "", "from B: it has"),
    ([A, One("B", **t_times(1)), One("C", **t_times(9))], LEVEL, "AB", "told apart from B"),
    ([A, One("B", **t_times(9)), One("C", **t_times(10))], CLEAR, "A", "B follows"),
    # other images: the errors of both
    ([A, One("B", 0.98 * APART, images="images:b")], LEVEL, "", "told apart"),
    ([A, One("B", 1.02 * APART, images="images:b")], CLEAR, "A", "follows"),
    ([A, One("B", 1.02 * APART, images="persons:a")], CLEAR, "A", "follows"),
    # errors that are not known: of both, or of one, whose partner's then counts for both
    (
        [One("A", images=None), One("B", 0.001, images=None)],
        UNDECIDED,
        "",
        "not decided which system is best (no error of it is known)",
    ),
    ([A, One("B", 0.95 * APART, images=None)], LEVEL, "", "told apart"),
    ([One("A", images=None), One("B", 1.05 * APART)], CLEAR, "A", "follows"),
    # references: better beyond noise, better within it, worse; real images; better than B alone
    ([A, One("R", **t_times(-9), reference=True)], BEHIND, "", "R "),
    ([A, One("R", **t_times(-1), reference=True)], ALONE, "", "(within noise)"),
    ([A, One("R", **t_times(9), reference=True)], ALONE, "", "For reference: R"),
    ([A, One("real images (test)", **t_times(-9), reference=True)], ALONE, "", "(better)"),
    (
        [A, One("B", **t_times(9)), One("R", **t_times(5), reference=True)],
        CLEAR,
        "A",
        "better than 1 of 2",
    ),
    ([A, One("B", **t_times(9)), One("R", **t_times(-9), reference=True)], BEHIND, "A", "(better)"),
    ([A, One("R", **t_times(-9))], CLEAR, "R", "A follows"),
    ([A, One("R", -1.02 * APART, images="images:b", reference=True)], BEHIND, "", "(better)"),
    ([A, One("R", -0.98 * APART, images="images:b", reference=True)], ALONE, "", "within noise"),
]
# Differences of single images: the mean of the others, and that of one.
FEW = tuple(0.001 + 0.0004 * EVEN[:6])


def with_one(many, one):
    return (*many[:-1], one)


CARRIED = [
    # beyond noise with and without it: by more than half of the difference, or by less
    (tuple(0.001 + 0.001 * EVEN), "images:a", False),
    (with_one(0.001 + 0.001 * EVEN, 0.08), "images:a", True),
    (with_one(0.001 + 0.001 * EVEN, 0.02), "images:a", False),
    # beyond noise with it and not without it
    (with_one(0.00026 + 0.001 * EVEN, 0.0025), "images:a", True),
    # within noise with it and without it, where it is less than half of the variance
    (with_one(0.00001 + 0.001 * EVEN, 0.004), "images:a", False),
    # half of the variance alone
    (with_one(0.00001 + 0.001 * EVEN, 0.02), "images:a", True),
    # no image can be named of blocks or seeds, of other images, nor of four
    (with_one(0.001 + 0.001 * EVEN, 0.08), "blocks:a", False),
    (with_one(0.001 + 0.001 * EVEN, 0.08), "seeds:a", False),
    (with_one(0.001 + 0.001 * EVEN, 0.08), "persons:a", True),
    (with_one(FEW[:5], 0.08), "images:a", True),
    (with_one(FEW[:4], 0.08), "images:a", False),
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
    worse = np.array(one.more) if one.more else one.behind + one.error * math.sqrt(K) * EVEN
    images = 0.5 + HARD[: len(worse)] + sign * worse
    if one.images is None:
        return changed(made, value=float(images.mean()))
    return measured(made, images, one.images)


def reported(tmp_path, cases, seeds=1):
    """The report of a run, or of seeds of it with the same numbers: by benchmark the word and the sentence
    of its verdict, and the bold systems.
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
    said = re.findall(r'<h3>[^\n]*<span class="chip[^>]*>([^<]*)</span>(.*?)</article>', page, re.S)
    assert len(said) == len(cases)
    found = []
    for (_, table, *_), (word, text) in zip(PLACES, said, strict=False):
        text = " ".join(html.unescape(re.sub("<[^>]*>", "", text)).split())
        rows = list(csv.DictReader((tmp_path / "report" / "tables" / f"{table}.csv").open()))
        bold = "".join(sorted(row["system"] for row in rows if row["best"] == "True"))
        found.append((word, text, bold))
    return found


def groups(cases):
    """As many cases as a run has places, together."""
    size = len(PLACES)
    return [pytest.param(cases[i : i + size], id=f"from-{i}") for i in range(0, len(cases), size)]


@pytest.mark.parametrize("group", groups(CASES))
def test_the_best_and_what_chance_may_explain(tmp_path, group):
    for case, (word, text, bold) in zip(
        group, reported(tmp_path, [c[0] for c in group]), strict=True
    ):
        _, expected, best, words = case
        assert (word, bold) == (expected, best), (case, text)
        assert words in text, (case, text)


def test_means_over_seeds_are_not_paired(tmp_path):
    """Each seed has images of its own, so that a mean has the errors of both systems."""
    case = [A, One("B", **t_times(9, 0.0001))]
    for seeds, (word, bold) in ((1, (CLEAR, "A")), (2, (LEVEL, ""))):
        ((found, text, best),) = reported(tmp_path / str(seeds), [case], seeds)
        assert (found, best) == (word, bold), text


@pytest.mark.parametrize("group", groups(CARRIED))
def test_a_difference_that_one_image_carries(tmp_path, group):
    cases = [
        [One("A", images=units, more=tuple(0 * np.array(more))), One("B", images=units, more=more)]
        for more, units, _ in group
    ]
    for case, (_, text, _) in zip(group, reported(tmp_path, cases), strict=True):
        assert (" carries this difference" in text) == case[2], (case[1:], text)


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
