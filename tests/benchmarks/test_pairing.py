"""Two runs are paired exactly where images, persons and reference are the same, in the same order."""

import math
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from people import SPLITS, Cells, People
from registered import EVERY, OF_IMAGES, all_images, every_benchmark

from benchmarks import evaluate
from benchmarks.metrics import METRICS
from diffae.system.errors import UserError
from reports.records.record import HIGHER, LOWER

pytestmark = pytest.mark.usefixtures("no_effnet", "short_fits")

SETTINGS = all_images() | {
    "denoising.timesteps": [300],
    "samples.count": 41,
    "representation.labels": [16],
    "representation.coded": EVERY,
    "representation.draws": 2,
    "edits.attributes": 1,
    "edits.pairs": 2,
    "edits.calibration": 2,
    "edits.classifier": 320,
    "fewshot.pool": 80,
    "fewshot.samples": 15,
    "fewshot.binary_k": 8,
    "fewshot.pu_positives": 8,
    "fewshot.pu_unlabeled": 100,
    "fewshot.frechet_error": True,
}
SLOW = "reconstruction latent identity fewshot representation".split()
APART = {*SLOW, "edits", "memorisation", "cost"}  # the last two have no units to pair
QUICK = [name for name in every_benchmark() if name not in APART]
TASKS = [
    pytest.param(QUICK, id="quick"),
    pytest.param(SLOW, id="slow", marks=pytest.mark.slow),
    pytest.param(["edits"], id="edits", marks=pytest.mark.slow),
]


class Worse(Cells):
    """The same system, whose decodes and samples are slightly darker."""

    fingerprint = "cells-worse"

    def decode(self, code, steps=100):
        return (0.97 * super().decode(code) - 0.01).clamp(-1, 1)


class Dark(Cells):
    """The same, and far darker."""

    fingerprint = "cells-dark"

    def decode(self, code, steps=100):
        return 0.6 * super().decode(code) - 0.3


@pytest.fixture(scope="module")
def people():
    return People.drawn(dict.fromkeys(SPLITS, 14) | {"train": 22}, dict.fromkeys(SPLITS, 1))


@pytest.fixture(scope="module", params=TASKS)
def run(request, tmp_path_factory):
    """Measure a system on people, in a run that is made once."""
    made = {}

    def measure(name, people, system=Cells, **changes):
        if name not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DIFFAE_CACHE", str(tmp_path_factory.mktemp("cache")))
                folder = people.write(tmp_path_factory.mktemp("data") / "portraits")
                settings = SETTINGS | changes.pop("settings", {})
                how = {"settings": settings, "progress": False, **changes}
                made[name] = evaluate(system(), request.param, folder, "smoke", **how)
        return made[name]

    measure.tasks = request.param
    return measure


def rows_of(results):
    found = [row for row in results.rows if row.estimate.influences]
    return {(r.table, r.system, r.setting, r.metric): r for r in found}


def units_of(row):
    return {source.units: source for source in row.estimate.influences}


def compared(new, base):
    frame = new.compare(base)
    names = ["benchmark", "system", "setting", "metric"]
    return {tuple(getattr(row, name) for name in names): row for row in frame.itertuples()}


def check_errors(new, base, is_paired):
    """The verdict's error: over units that both have the spread of the differences, else of each."""
    found, theirs = compared(new, base), rows_of(base)
    assert theirs
    for key, row in rows_of(new).items():
        one = found[row.benchmark, *key[1:]]
        ours, others = units_of(row), units_of(theirs[key])
        assert one.paired == is_paired == (set(ours) == set(others)), key
        if is_paired:
            squares = (np.square(part.values - others[u].values).sum() for u, part in ours.items())
        else:
            assert not set(ours) & set(others), key
            parts = chain(ours.values(), others.values())
            squares = (np.square(part.values).sum() for part in parts)
        assert one.stderr == pytest.approx(math.sqrt(sum(squares)), rel=1e-6, abs=1e-15), key


def test_alpha_is_divided_among_the_families_of_numbers(run, people):
    """A verdict is what its p, which does not depend on alpha, says at that level."""
    base, new = run("base", people), run("dark", people, Dark)
    found = []
    for alpha in (1e-12, 0.05, 0.9):
        frame = new.compare(base, alpha=alpha)
        tested = frame[frame.p.notna()]
        means = tested.setting.isin(["mean", "prevalence-weighted mean"])
        families = zip(tested.benchmark, tested.system, tested.metric, means, strict=True)
        level = alpha / len(set(families))
        directed = tested[[METRICS[name].direction in (HIGHER, LOWER) for name in tested.metric]]
        assert ((directed.verdict == "regression") == (directed.p <= level)).all()
        found.append(set(directed.index[directed.verdict == "regression"]))
    assert found[0] < found[1] < found[2]


def test_another_model_on_the_same_data_is_paired(run, people):
    base, new = run("base", people), run("worse", people, Worse)
    check_errors(new, base, is_paired=True)


def test_the_paired_error_of_a_mean_is_that_of_its_differences(run, people):
    """By person: the sum of what each person's pictures change, over all images."""
    base, new = run("base", people), run("worse", people, Worse)
    before, after, found = base.samples(), new.samples(), compared(new, base)
    seen = 0
    for (benchmark, system, setting, metric), one in found.items():
        if metric not in after or metric not in OF_IMAGES or not one.paired:
            continue
        same = [
            frame[
                (frame.benchmark == benchmark)
                & (frame.setting == setting)
                & (frame.system == system)
            ]
            for frame in (before, after)
        ]
        a, b = (f.drop_duplicates("image").set_index("image")[metric].dropna() for f in same)
        change = (b - a).astype(float)
        if system.startswith("real images"):  # pairs of them, which have no scores of single images
            continue
        member = np.unique(people.person[change.index], return_inverse=True)[1]
        k = member.max() + 1
        sums = np.bincount(member, change - change.mean()) / len(change)
        stderr = math.sqrt(k / (k - 1) * np.square(sums).sum())
        assert one.stderr == pytest.approx(stderr, rel=1e-4, abs=1e-12), (
            benchmark,
            setting,
            metric,
        )
        seen += 1
    assert seen


def test_another_seed_is_not_paired(run, people):
    """Where every image is taken too: their order, their noise and the samples are others."""
    if run.tasks == ["edits"]:
        pytest.skip("of so few images some distances have an error by one seed and not by another")
    check_errors(run("seed", people, seed=1), run("base", people), is_paired=False)


def renumbered(people):
    """The same pictures, one of whose test persons is two."""
    test = np.flatnonzero(people.split == 2)
    person = people.person.copy()
    one = test[
        person[test]
        == np.unique(person[test])[
            np.bincount(np.unique(person[test], return_inverse=True)[1]).argmax()
        ]
    ]
    person[one[0]] = person.max() + 1
    return replace(people, person=person)


def darker(people, split):
    """The same folder with other pixels in one image of a split."""
    images = people.images.copy()
    images[np.flatnonzero(people.split == split)[0]] //= 2
    return replace(people, images=images)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("other images", lambda people: darker(people, 2)),
        ("another reference", lambda people: darker(people, 0)),
        ("other persons", renumbered),
    ],
)
def test_other_data_are_never_paired(run, people, name, change):
    """The gate refuses them; and no unit of data is taken for the same. Samples depend on the seed alone."""
    base, new = run("base", people), run(name, change(people))
    with pytest.raises(UserError, match="data_sha256"):
        new.compare(base)
    before = rows_of(base)
    for key, row in rows_of(new).items():
        of_seed = ("blocks of samples:", "blocks of a pool", "seeds:")
        shared = set(units_of(row)) & set(units_of(before[key]))
        assert all(unit.startswith(of_seed) for unit in shared), key
        assert len(shared) == sum(unit.startswith(of_seed) for unit in units_of(row)), key


def test_fewer_images_are_not_paired(run, people):
    """Each count is a setting: the numbers of another are of other units, or of a refused protocol."""
    base, new = run("base", people), run("limit", people, limit=12)
    before = rows_of(base)
    for key, row in rows_of(new).items():
        if key in before and row.n != before[key].n:
            assert not set(units_of(row)) & set(units_of(before[key])), key
