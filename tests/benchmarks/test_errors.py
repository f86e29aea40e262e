"""The error that a row states, and the units that it says it is of, of every benchmark on people with several pictures.

Every row is measured again here: from the scores of single images by a closed form, or by running
the benchmark without a person or without a block of people. So a benchmark or metric that is added
is covered; one whose rows state no error must be named in `NO_ERROR`.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from people import SPLITS, Cells, People, Tokens
from registered import EVERY, OF_IMAGES, all_images
from scipy import stats

from benchmarks import evaluate
from benchmarks.core.registry import REGISTRY
from benchmarks.metrics import METRICS
from benchmarks.metrics.codes.probes import CHANCE
from reports.records.metrics import OF_CODES, OF_EDITS

pytestmark = pytest.mark.usefixtures("no_effnet")

PEOPLE = {"train": 31, "valid": 9, "test": 33}
SEEDS, SAMPLES, POOL, DRAWS = 2, 47, 90, 3
SETTINGS = all_images() | {
    "edits.pairs": 2,
    "edits.calibration": 2,
    "edits.classifier": 320,
    "latent.space": 320,
    "fewshot.pool": POOL,
    "fewshot.samples": 20,
    "fewshot.seeds": SEEDS,
    "fewshot.binary_k": 8,
    "fewshot.pu_positives": 8,
    "fewshot.pu_unlabeled": 100,
    "fewshot.frechet_error": True,
    "samples.count": SAMPLES,
    "unconditional.frechet_error": True,
    "denoising.timesteps": [300],
    "representation.coded": EVERY,
    "representation.draws": DRAWS,
    "representation.orders": DRAWS,
}
BLOCKS = 20
# Of others' protocols, those without networks: means over images, over batches of 8, of squared errors.
PROTOCOLS = ["plain", "lightningdit", "rae", "maskbit", "torchmetrics-1.7"]


class Smooth(Cells):
    """Decodes the map alone: nothing that it makes of an image depends on noise."""

    name = title = fingerprint = "smooth"

    def decode(self, code, steps=100):
        return self._large(code.semantic)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A new folder of these people; its name chooses the packaged face embedding."""

    def write(people, **how):
        return people.write(tmp_path_factory.mktemp("people") / "portraits", **how)

    return write


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def people():
    return People.drawn(PEOPLE, dict.fromkeys(SPLITS, 1))


def measured(systems, tasks, data, **changes):
    settings = SETTINGS | changes.pop("settings", {})
    return evaluate(systems, tasks, data, "smoke", settings=settings, progress=False, **changes)


@pytest.fixture(scope="module")
def every(people, folder, short_fits):
    """All benchmarks, and all protocols of others that need no networks."""
    return measured([Cells(), Tokens()], "all", folder(people), protocol=PROTOCOLS)


@pytest.fixture(scope="module")
def without_identities(people, folder):
    tasks = ["reconstruction", "denoising", "probes", "interpolation", "variation"]
    return measured([Cells(), Tokens()], tasks, folder(people, identities=False))


def stating(results):
    return [row for row in results.rows if row.stderr is not None]


def key(row):
    return row.benchmark, row.table, row.system, row.setting, row.steps, row.solver, row.metric


def published(metric):
    return METRICS[metric].stands_in_for or metric


# ----------------------------------------------------------------------------------------------
# Which rows state an error, and of what

OF_PICTURES = {*OF_IMAGES, "auroc", "ap", "accuracy"}
OF_SETS = "rkid rfid ikid ifid pkid pfid perplexity".split()
OF_TWO_SETS, OVERLAPS = ("kid", "fid"), ("precision", "recall", "density", "coverage")
TWO_SIDES = {
    "cells": {"blocks of samples", "blocks of reference"},
    "cells + autoencoding": {"blocks of decoded", "blocks of reference"},
    "real images (test)": {"blocks of test", "blocks of reference"},
}
# What the units of a row are, where it has any: by docs/numbers.md, "Uncertainty of a number".
KINDS = {
    **{("", name): {"persons"} for name in OF_PICTURES},
    **{("", name): {"blocks"} for name in OF_SETS},
    **{("", name): {"blocks, halved"} for name in OVERLAPS},
    **{("", name): TWO_SIDES for name in OF_TWO_SETS},
    **{
        ("fewshot", name): {
            "cells": {"seeds", "blocks of a pool, dealt in turn", "blocks of reference"},
            "": {"blocks"},
        }
        for name in (*OF_TWO_SETS, "acceptance_rate")
    },
    ("interpolation", "ppl"): {"pairs"},
    ("edits", "kid"): {"blocks"},
    **{("edits", name): {"persons"} for name in ("lec", "reversibility", "on_target")},
    **{("representation", name): {"persons"} for name in ("knn", "rankme", "participation")},
    ("representation", "code_length"): {"persons", "draws"},
    **{("latent", name): {"persons"} for name in ("equivariance", "sec_50", "lds")},
    **{
        ("variation", name): {"persons"}
        for name in ("seed_variance", "seed_bias", "psnr_of_mean", "calibration")
    },
    ("variation", "diversity_lpips"): {"groups of 3"},
    ("variation", "pixel_std"): {"groups of 3"},
}
SCALE = {
    "the same person, another picture": {"persons with two pictures"},
    "different people": {"persons, a picture each"},
    "different images": {"persons, a picture each"},
}
EVERY_KIND = set.union(
    *(kind for kind in KINDS.values() if isinstance(kind, set)), *TWO_SIDES.values()
)
# Errors that are known without the influence of single units.
ALONE = [
    "fid_seed_std",
    "viv",
    "code_fd",
    *(f"{n}_{of}" for n in ("nn", "nn_ratio") for of in ("inception", "pixels")),
]
# Metrics whose rows state no error, and why.
NO_ERROR = {
    "of one division of the training images": ["direction_consistency"],
    "chosen on validation images": ["strength"],
    "a property of the system": [name for name, metric in METRICS.items() if metric.is_exact],
    "grows with the images, and is not compared": ["codebook_use"],
    "of the machine": ["images_per_second", "peak_memory"],
}
# Of edits those that need no truth, of persons of a class; and others.
OF_CLASS = {"lec", "reversibility", "on_target"}
OF_TRUTH = (
    set(OF_EDITS)
    - OF_CLASS
    - {*("composition", "direction_consistency", "lec_frobenius", "composition_l1", "f1")}
)
REPRESENTED = {"knn", "code_length", "rankme", "participation", "equivariance"}
OF_SPACE = {"viv", "code_fd", "sec_50", "lds"}  # the others need more codes, or are not in `smoke`
# Metrics that these data have no rows of, and where their errors are tested.
ELSEWHERE = {
    "ms_ssim": "test_a_mean_is_of_persons_whatever_the_metric",
    "top1": "test_a_mean_is_of_persons_whatever_the_metric",
    "top5": "test_a_mean_is_of_persons_whatever_the_metric",
    "lpips_vgg": "a protocol's; as lpips",
    "worse_with_more": "of --keep; tests/benchmarks/tasks/test_reconstruction_by_length.py",
    **dict.fromkeys(OF_TRUTH, "tests/benchmarks/metrics/test_edits.py"),
    **dict.fromkeys(("lec_frobenius", "composition_l1", "f1"), "protocols' of edits"),
    "cmmd": "needs CLIP; tests/benchmarks/metrics/test_kernel.py",
    **dict.fromkeys(set(OF_CODES) - REPRESENTED - OF_SPACE, "tests/benchmarks/metrics/codes/"),
}


def kinds(row):
    if row.setting in SCALE:
        return SCALE[row.setting]
    if row.system == "chance":
        return {"persons"}
    if row.setting.endswith(" labels"):
        return {"persons", "draws"}
    name = published(row.metric)
    found = KINDS.get((row.benchmark, name), KINDS.get(("", name)))
    if isinstance(found, dict):
        found = found.get(row.system, found.get(""))
    return found


def test_every_benchmark_and_every_metric_states_an_error_or_is_named(every):
    named = {metric for metrics in NO_ERROR.values() for metric in metrics} | set(ELSEWHERE)
    stated = {published(row.metric) for row in stating(every)}
    assert stated.isdisjoint(named - set(OF_CODES))
    assert {published(name) for name in METRICS} == stated | named
    assert {row.benchmark for row in stating(every)} | {"cost"} == set(REGISTRY.own)


def test_a_row_of_a_metric_that_has_errors_has_one(every, people):
    """But of a share with fewer than five images on either side, of equal halves, and of few values."""
    named = {metric for metrics in NO_ERROR.values() for metric in metrics}
    for row in every.rows:
        if row.value is None or published(row.metric) in named or row.stderr is not None:
            continue
        if row.system == "chance":
            continue
        assert published(row.metric) in OVERLAPS or row.benchmark == "memorisation", key(row)
        assert "no error: " in row.note, key(row)


def count_of(kind, row, people):
    """The units of a kind behind a row."""
    if kind == "draws":
        return DRAWS
    if kind == "persons" and row.split:
        return len(np.unique(people.person[people.split == SPLITS.index(row.split)]))
    if kind == "persons":
        return len(np.unique(people.person))
    if kind.startswith("blocks"):
        return BLOCKS - 1 if kind == "blocks, halved" else BLOCKS
    return SEEDS if kind == "seeds" else row.n


def test_the_kind_of_unit_and_its_number_are_those_of_the_data(every, people):
    for row in stating(every):
        found = {part.units.partition(":")[0]: part for part in row.estimate.influences}
        if published(row.metric) in ALONE:
            assert not found, key(row)
            continue
        expected = kinds(row)
        assert set(found) == expected if expected else set(found) <= EVERY_KIND, key(row)
        for kind, part in found.items():
            count = count_of(kind, row, people)
            # of the persons of one class, and of the first of each group
            of_some = row.metric in OF_CLASS or row.benchmark == "variation"
            assert len(part.values) == count or (of_some and len(part.values) < count), key(row)


def test_without_identities_a_picture_is_a_unit(without_identities, people):
    seen = set()
    for row in stating(without_identities):
        for part in row.estimate.influences:
            kind = part.units.partition(":")[0]
            seen.add(kind)
            if kind == "images":
                assert len(part.values) == row.n, key(row)
            if published(row.metric) in OF_PICTURES and row.setting not in SCALE:
                assert kind == "images", key(row)
    assert "persons" not in seen and "images" in seen


def test_the_stated_error_and_interval_are_those_of_the_units(every):
    """Sources are independent: their variances add; Student's t with Welch's degrees of freedom."""
    for row in stating(every):
        if sources := row.estimate.influences:
            parts = [(float(np.square(s.values).sum()), len(s.values) - 1) for s in sources]
            total = sum(variance for variance, _ in parts)
            assert row.stderr == pytest.approx(math.sqrt(total), rel=1e-6), key(row)
            df = total**2 / sum(v**2 / df for v, df in parts if v) if total else math.inf
            half = stats.t.ppf(0.975, df) * row.stderr
        else:
            half = stats.norm.ppf(0.975) * row.stderr
        ends = row.value - half, row.value + half
        assert (row.ci_low, row.ci_high) == pytest.approx(ends, rel=1e-5, abs=1e-12), key(row)


# ----------------------------------------------------------------------------------------------
# Means over images: a closed form


def of_clusters(values, person):
    """Mean, the influence of each person in ascending order, and its standard error: the sandwich
    of Liang and Zeger (1986), with k / (k - 1).
    """
    x, (_, member) = np.asarray(values, float), np.unique(person, return_inverse=True)
    k, mean = member.max() + 1, float(x.mean())
    moved = np.array([(x[member == i] - mean).sum() for i in range(k)]) / len(x)
    return mean, moved * math.sqrt(k / (k - 1)), math.sqrt(k / (k - 1) * np.square(moved).sum())


def check_means(results, person):
    """Every mean over images is that of its scores, with the error of clusters; returns the metrics."""
    scores = results.samples()
    what = ["benchmark", "system", "dataset", "split", "setting", "solver"]
    seen = set()
    for row in results.rows:
        scored = row.metric in scores and row.metric in OF_IMAGES and row.value is not None
        is_other = row.table.endswith("by_protocol") or row.setting in SCALE
        if not scored or is_other or row.system == CHANCE:
            continue
        same = np.logical_and.reduce([scores[name] == getattr(row, name) for name in what])
        for name in ("steps", "calls"):
            value = getattr(row, name)
            same &= (scores[name].isna() if value is None else scores[name] == value).to_numpy(bool)
        own = scores[same].dropna(subset=[row.metric])
        mean, moved, stderr = of_clusters(own[row.metric], person[own["image"]])
        assert row.value == pytest.approx(mean, rel=1e-6, abs=1e-9), key(row)
        assert row.stderr == pytest.approx(stderr, rel=1e-5, abs=1e-12), key(row)
        assert row.n == len(own), key(row)
        (part,) = row.estimate.influences
        np.testing.assert_allclose(part.values, moved, rtol=1e-4, atol=1e-6 * stderr + 1e-12)
        seen.add(published(row.metric))
    return seen


def test_a_mean_has_the_error_of_clusters(every, people):
    of_images = set(map(published, OF_IMAGES))
    assert check_means(every, people.person) == of_images - set(ELSEWHERE)


def test_a_mean_has_the_error_of_images_where_no_person_is_known(without_identities, people):
    assert len(check_means(without_identities, np.arange(len(people)))) >= 5


@pytest.mark.parametrize("metric", ["ms_ssim", "top1"])
def test_a_mean_is_of_persons_whatever_the_metric(folder, metric):
    """MS-SSIM needs large images; top-1 and top-5 accuracy classes, of which each image has one."""
    if metric == "ms_ssim":
        counts, side = {"train": 1, "valid": 1, "test": 2}, 176
        people = People.drawn(counts, dict.fromkeys(SPLITS, 2), side)
        system = Cells()
        system.image_size, system.latent_dim = side, 48 + 3 * side**2
        found = measured(system, "reconstruction", folder(people))
        assert metric in check_means(found, people.person)
        return
    people = People.drawn(PEOPLE, dict.fromkeys(SPLITS, 2))
    brightness = people.images.mean((1, 2, 3))
    classes = np.digitize(brightness, np.quantile(brightness, np.linspace(0, 1, 8)[1:-1]))
    people = replace(people, attributes=classes[:, None] == np.arange(7))
    found = measured(Cells(), "probes", folder(people))
    assert {"top1", "top5"} <= check_means(found, people.person)
