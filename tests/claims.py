"""Claims of docs/models.md about the packaged models, checked against a finished run.

    python -m benchmarks.run all --out runs/claims
    pytest tests/claims.py --run-folder runs/claims

Not collected by default: it needs a run of profile `quick`. That the page has these sentences, and
that they hold in the committed baseline, is tested in `tests/test_results_pages.py`.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from reports.records.record import Record
from reports.tables.build import Merged, read
from reports.tables.contests import Contest, contests_of
from reports.tables.ranking import LEVEL, gap_between

SSIM = {"table": "table2_ablation", "metric": "ssim", "setting": "x_T inverted"}
PATHS = {"table": "appendix_f_smoothness", "metric": "ppl_effnet", "setting": "mean"}
PAIR = ("DiffAE", "DDIM")


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> Merged:
    folder: Path | None = request.config.getoption("--run-folder")
    if folder is None:
        pytest.skip("give the folder of a finished quick run with --run-folder")
    return read([folder])


# ----------------------------------------------------------------------------------------------
# The sentences of docs/models.md


def of(found: Merged, **fields: object) -> list[Record]:
    return [r for r in found.records if all(getattr(r, name) == v for name, v in fields.items())]


def one(found: Merged, **fields: object) -> Record:
    (record,) = of(found, **fields)
    return record


def between(found: Merged, **fields: object) -> Contest:
    """The contest of DiffAE and DDIM, in which DiffAE is the best."""
    ours = [r for r in of(found, **fields) if r.system in PAIR]
    (held,) = contests_of(ours, found.metrics)
    assert held.best.system == "DiffAE" and len(held.others) == 1
    return held


def auroc(found: Merged, system: str) -> Record:
    return one(found, benchmark="probes", metric="auroc", setting="mean", system=system)


def is_clear(found: Merged, better: Record, worse: Record) -> bool:
    gap = gap_between(better, worse)
    return gap.behind > 0 and gap.is_clear


def probe_is_better(found: Merged) -> bool:
    names = ("DiffAE", "pixels + PCA", "random encoder")
    ours, *others = (auroc(found, name) for name in names)
    return all(is_clear(found, ours, other) for other in others)


def reconstructs_better(found: Merged) -> bool:
    (samples,) = (h.contests[0][0] for h in found.headlines if h.benchmark == "unconditional")
    reconstructions = [between(found, **SSIM, steps=steps) for steps in (10, 20, 50, 100)]
    assert samples.best.system == "DiffAE"
    gaps = [gap for held in (samples, *reconstructions) for gap in held.others]
    return not any(gap.standing == LEVEL for gap in gaps)


def one_pair_decides(found: Merged) -> bool:
    held = between(found, **PATHS)
    (gap,) = held.others
    (difference,) = gap.record.estimate.minus(held.best.estimate).influences
    variances = difference.values**2  # one pair makes more than half of them
    return gap.standing == LEVEL and variances.max() > variances.sum() / 2


def fast(found: Merged, system: str) -> bool:
    calls = SSIM | {"table": "table2_by_calls", "system": system}
    papers = one(found, **calls, solver="ddim", calls=200)
    return is_clear(found, one(found, **calls, solver="ab2-v", calls=20), papers)


def few_steps_are_not_many(found: Merged) -> bool:
    ddim = one(found, **SSIM, system="DDIM", steps=100)
    return is_clear(found, ddim, one(found, **SSIM, system="DiffAE", steps=20))


def random_is_better_at_ten(found: Merged) -> bool:
    ours = SSIM | {"system": "DiffAE", "steps": 10}
    return is_clear(found, one(found, **ours | {"setting": "x_T random"}), one(found, **ours))


CLAIMS: dict[str, Callable[[Merged], bool]] = {
    "A linear probe predicts the attributes better from z_sem than from pixels + PCA of the same size "
    "(256 numbers) or from a random encoder.": probe_is_better,
    "DiffAE reconstructs better than DDIM at every T, and its samples are nearer to the data.": reconstructs_better,
    "The mean path lengths of DiffAE and DDIM do not differ significantly in `quick`: a single pair of "
    "images dominates DDIM's mean.": one_pair_decides,
    "DiffAE does better with 20 calls (0.9979).": lambda found: fast(found, "DiffAE"),
    "For DDIM the two solvers (0.9941 with `fast`, 0.9931 with 200 calls) do not differ "
    "significantly.": lambda found: not fast(found, "DDIM"),
    "DiffAE at T = 20 (SSIM 0.9712) is **not** as good as DDIM at T = 100 (0.9931)": few_steps_are_not_many,
    "At T = 10 a random x_T gives a better SSIM (0.958) than the inverted one (0.942)": random_is_better_at_ten,
}


@pytest.mark.parametrize("sentence", CLAIMS)
def test_what_readme_says_is_what_the_page_says(found, sentence):
    assert CLAIMS[sentence](found)


def test_everything_was_measured(found):
    # of small images, of codes of real numbers, of vectors without tokens
    undefined = ["ms_ssim", "bits_per_pixel", "spectrum_kl", "pkd_effnet", "pfd_effnet"]
    undefined += ["sec_50", "lds", "equivariance"]  # and without places
    measurable = [r for r in found.records if r.metric not in undefined]
    # of attributes that a code does not hold
    measurable = [r for r in measurable if r.table != "edits_by_attribute"]
    missing = {(r.benchmark, r.system, r.note) for r in measurable if r.value is None}
    allowed = {"DDIM", "pixels + PCA", "random encoder"}
    assert {system for _, system, _ in missing} <= allowed, missing
