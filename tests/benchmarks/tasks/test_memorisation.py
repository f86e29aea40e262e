"""Nearest training images, against another library and with systems that copy."""

from dataclasses import replace

import numpy as np
import pytest
from colours import features, without_effnet
from lone_context import small_context
from people import SPLITS, Cells, People
from PIL import Image
from scipy.spatial.distance import cdist

from benchmarks import evaluate
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics import nearest as module
from benchmarks.metrics.nearest import estimate_quantile, estimate_ratio, nearest
from benchmarks.systems import load
from benchmarks.systems.protocol.base import SAMPLE, System
from benchmarks.tasks.memorisation import BENCHMARK
from benchmarks.tasks.shared.samples import thumbnails
from diffae.checkpoints.trained_on import TrainedOn
from diffae.data import open_dataset
from diffae.eight_bit import to_uint8
from reports.page.sheets import read_sheet


class Copier(System):
    """Its i-th sample is the i-th training image."""

    name = title = fingerprint = "copier"
    capabilities = frozenset({SAMPLE})
    latent_dim = 0

    def __init__(self, training):
        self.training = training

    def sample(self, indices, seed, steps):
        return self.training.batch(np.asarray(indices))


def values(context, system):
    return {(r.system, r.metric, r.setting): r for r in rows(BENCHMARK, context, [system])}


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_nearest_is_scipys_whatever_the_blocks(monkeypatch, dtype):
    rng = np.random.default_rng(0)
    queries, corpus = (rng.integers(0, 256, (n, 50)).astype(dtype) for n in (23, 101))
    monkeypatch.setattr(module, "ROWS", 7)
    monkeypatch.setattr(module, "COLUMNS", 11)
    distance, index = nearest(queries, corpus)
    expected = cdist(queries.astype(float), corpus.astype(float))
    np.testing.assert_array_equal(index, expected.argmin(1))
    np.testing.assert_allclose(distance, expected.min(1), rtol=1e-12)


def test_a_copy_is_at_distance_zero():
    corpus = 100 + np.random.default_rng(0).normal(size=(50, 2048)).astype(np.float32)
    distance, index = nearest(corpus[[7, 3]], corpus)
    assert distance.tolist() == [0, 0] and index.tolist() == [7, 3]


def test_error_of_a_quantile():
    """Of the normal median, 1.2533 sigma / sqrt(N); of the 5th percentile, 2.1132 sigma / sqrt(N)."""
    rng = np.random.default_rng(0)
    for q, factor in ((0.5, 1.2533), (0.05, 2.1132)):
        errors = [estimate_quantile(rng.normal(size=2000), q).stderr for _ in range(50)]
        assert np.mean(errors) == pytest.approx(factor / np.sqrt(2000), rel=0.05)
    assert estimate_quantile(np.arange(101.0), 0.05).value == 5
    lone = estimate_quantile(np.array([3.0]), 0.5)
    assert (lone.value, lone.stderr) == (3, None) and lone.why.startswith("no error: too few")


@pytest.mark.parametrize(("q", "fewest"), [(0.05, 73), (0.5, 4), (0.95, 73)])
def test_a_quantile_of_few_values_has_no_error(q, fewest):
    """Where it has one it is that of many draws, to a half; of few the interval would end at the
    smallest value.
    """
    rng = np.random.default_rng(0)
    assert estimate_quantile(rng.normal(size=fewest - 1), q).stderr is None
    draws = [estimate_quantile(rng.normal(size=max(fewest, 40)), q) for _ in range(400)]
    values, errors = np.array([(draw.value, draw.stderr) for draw in draws], float).T
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(values.std(), rel=0.5)
    assert estimate_quantile(np.arange(1.0, fewest + 1), q).stderr > 0


@pytest.mark.parametrize("q", [0.5, 0.05])
@pytest.mark.parametrize("alike", [0.0, 0.95])
@pytest.mark.parametrize("people", [40, 120])
def test_error_of_a_quantile_of_pictures_of_the_same_people(people, alike, q):
    """Where an error is stated it is the spread over new people; of too few no draw states one."""
    rng, draws = np.random.default_rng(1), []
    for _ in range(400):
        groups = np.repeat(np.arange(people), rng.choice([1, 2, 3, 4], people))
        of_person = np.sqrt(alike) * rng.normal(size=people)[groups]
        values = np.exp(of_person + np.sqrt(1 - alike) * rng.normal(size=len(groups)))
        draws.append(estimate_quantile(values, q, groups))
    values, errors = np.array([(draw.value, draw.stderr) for draw in draws], float).T
    if (people, q) == (40, 0.05):
        assert np.isnan(errors).all()
    else:
        assert 0.9 < np.sqrt(np.square(errors).mean()) / values.std() < 1.15


def test_the_error_of_a_ratio_is_the_spread_over_new_distances():
    rng, values, stated = np.random.default_rng(2), [], []
    for _ in range(300):
        ours, theirs = 1.5 * rng.gamma(9, 1, 150), rng.gamma(9, 1, 60)
        ratio = estimate_ratio(*(estimate_quantile(some, 0.5) for some in (ours, theirs)))
        values.append(ratio.value)
        stated.append(ratio.stderr)
    assert 0.87 < np.sqrt(np.mean(np.square(stated))) / np.std(values, ddof=1) < 1.2


def test_a_system_that_copies_is_found_out(context):
    found = values(context, Copier(context.select("train", 90)))
    for metric in ("nn_effnet", "nn_pixels", "nn_ratio_effnet", "nn_ratio_pixels"):
        assert found["copier", metric, "median"].value == pytest.approx(0, abs=1e-3)
    assert found["real images (test)", "nn_effnet", "median"].value > 1
    sheet = read_sheet(context.pictures / "memorisation-copier.png")
    for column in range(sheet.lengths[0]):
        assert np.array_equal(sheet.cell(0, column), sheet.cell(1, column))


@pytest.mark.parametrize(("size", "again"), [(32, 0), (16, 8)])
def test_samples_are_drawn_again_for_a_picture_where_thumbnails_are_of_another_size(
    patches, tmp_path, size, again
):
    """In either case the picture has the samples themselves: here the training images are in another order."""
    context = small_context(patches.at(size), tmp_path, {"samples.count": 20})
    context.networks.features = (features(),)
    training, drawn = context.select("train", 90), []

    class Turned(Copier):
        def sample(self, indices, seed, steps):
            drawn.extend(indices)
            return super().sample(89 - np.asarray(indices), seed, steps)

    values(context, Turned(training))
    assert drawn[:20] == list(range(20)) and len(drawn) == 20 + again
    copied = to_uint8(training.batch(np.arange(70, 90))).permute(0, 2, 3, 1).numpy()
    sheet = read_sheet(context.pictures / "memorisation-copier.png")
    scale = sheet.cell(0, 0).size[0] // size
    cells = [
        np.asarray(sheet.cell(0, column))[::scale, ::scale] for column in range(sheet.lengths[0])
    ]
    indices = [int((copied == cell).all((1, 2, 3)).argmax()) for cell in cells]
    assert len(set(indices)) == 8 and all(map(np.array_equal, copied[indices], cells))
    assert drawn[20:] in ([], [19 - index for index in indices])


def test_what_is_not_known_of_the_training_images_is_said(context):
    """By the packaged checkpoint's own kind of record: none, of other images, of these, of other
    splits, of the test images too; at once, or one training after another.
    """
    context.networks.features, copier = (features(),), Copier(context.select("train", 90))
    told = TrainedOn.describe("preset", context.dataset, "train", 0)
    horses = replace(told, fingerprint="another", data="horses")
    valid, test = replace(told, split="valid"), replace(told, split="test")
    elsewhere = f"trained on {told.data}, not on these images: what it copied lies elsewhere"
    both = "trained on the held-out images too: no scale"
    for known, note in (
        (None, "not known to be trained on these: what copier copied may lie elsewhere"),
        (horses, "trained on horses, not on these images: what it copied lies elsewhere"),
        (told, ""),
        (valid, elsewhere),
        (test, elsewhere),
        (replace(told, split="all"), both),
        (replace(horses, before=told), ""),
        (replace(told, before=valid), ""),
        (replace(told, before=test), both),
        (replace(test, before=told), both),
    ):
        copier.trained_on = known
        found = values(context, copier)
        notes = {
            row.note for (system, _, q), row in found.items() if (system, q) == ("copier", "median")
        }
        assert notes == {note}
        assert found["real images (test)", "nn_effnet", "median"].note == ""


def test_distance_of_grey_and_of_held_out_pixels(context):
    without_effnet(context)
    found = values(context, load("dummy-constant"))
    train, test = (
        thumbnails(context.select(split, n).batch(np.arange(n))).astype(float) / 255
        for split, n in (("train", 90), ("test", 20))
    )
    grey = np.sqrt(np.square(train - 128 / 255).mean(1)).min()
    held_out = cdist(test, train).min(1) / np.sqrt(train.shape[1])
    for setting, q in (("median", 0.5), ("5th percentile", 0.05)):
        ours = found["dummy: constant", "nn_pixels", setting]
        theirs = found["real images (test)", "nn_pixels", setting]
        assert ours.value == pytest.approx(grey, rel=1e-6)
        assert theirs.value == pytest.approx(np.quantile(held_out, q), rel=1e-6)
        ratio = found["dummy: constant", "nn_ratio_pixels", setting]
        assert ratio.value == pytest.approx(ours.value / theirs.value)
        if setting == "median":
            assert ours.stderr == pytest.approx(0, abs=1e-9)
            assert theirs.stderr == pytest.approx(estimate_quantile(held_out, q).stderr)
            assert ratio.stderr == pytest.approx(ratio.value * theirs.stderr / theirs.value)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_too_few_images_are_rows_with_the_reason(context, tmp_path, count):
    for index in range(count):
        Image.new("RGB", (32, 32), (index, 90, 90)).save(tmp_path / f"{index}.png")
    context.dataset = open_dataset(tmp_path, 32)
    found = values(context, load("dummy-constant"))
    assert {system for system, _, _ in found} == {"dummy: constant", "real images (test)"}
    for row in found.values():
        assert row.value is not None or "images to" in row.note


def test_held_out_images_that_are_copies_of_training_images_give_no_ratio(context, monkeypatch):
    context.networks.features = (features(),)
    monkeypatch.setattr(module, "_distances", lambda a, b: np.zeros(len(a)))
    row = values(context, load("dummy-constant"))["dummy: constant", "nn_ratio_pixels", "median"]
    assert (row.value, row.note) == (None, "held-out images are at distance 0: no ratio")


def test_thumbnails_are_the_pixels_of_small_images(context):
    images = context.select("test", 2).batch(np.arange(2))
    expected = context.dataset.images(context.select("test", 2).order).transpose(0, 3, 1, 2)
    assert np.array_equal(thumbnails(images), expected.reshape(2, -1))
    large = images.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert thumbnails(large).shape == (2, 3072)


def test_copies_of_held_out_images_make_no_error_smaller(tmp_path, no_effnet, monkeypatch):
    """Three equal pictures of each person tell what one tells: of held-out images, and of the ratio."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    people = People.drawn({"train": 20, "valid": 1, "test": 90}, dict.fromkeys(SPLITS, 4))
    first = np.unique(people.person, return_index=True)[1]
    settings = {"samples.count": 500, "memorisation.train": 500}
    found = []
    for name, kept in (("one", first), ("three", np.repeat(first, 3))):
        folder = people.kept(kept).write(tmp_path / name / "portraits")
        results = evaluate(
            Cells(), "memorisation", folder, "smoke", settings=settings, progress=False
        )
        rows = [r for r in results.rows if r.setting == "median" and r.metric.startswith("nn_")]
        found.append({(r.system, r.metric): r.stderr for r in rows})
    one, three = found
    for key in (("real images (test)", "nn_pixels"), ("real images (test)", "nn_effnet")):
        assert three[key] == pytest.approx(one[key], rel=0.15)
    assert three["cells", "nn_ratio_effnet"] == pytest.approx(
        one["cells", "nn_ratio_effnet"], rel=0.15
    )
