"""Table 4 with images of known colours: comparisons, their uncertainty, and the rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from colours import SIZE, Painter, colours_of, context_of, dataset, features, frechet, kernel

from benchmarks.core.registry import specs
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.sets.groups import OVERLAP, shown_in
from benchmarks.metrics.sets.jackknife import BLOCKS, Side, blocks_of
from benchmarks.metrics.sets.kernel import cmmd
from benchmarks.metrics.sets.manifold import overlaps
from benchmarks.results import Results
from benchmarks.tasks.unconditional import BENCHMARK
from reports.records.run_folder import Run

COUNT, SAMPLES, REFERENCE = 140, 40, 50  # 84 to train on, 42 to test on


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Red, all of them, so that the samples' other colours lie far away."""
    return dataset(tmp_path_factory.mktemp("colours"), np.full(COUNT, True))


@pytest.fixture
def context(images, tmp_path):
    changes = {"samples.count": SAMPLES, "unconditional.reference": REFERENCE}
    changes |= {"unconditional.frechet_error": True, "unconditional.overlap": 3}
    return context_of(images, tmp_path, changes)


class Blue(Painter):
    """Its samples are of one kind, far from red."""

    @staticmethod
    def colour(index, seed):
        return Painter.colour(2 * index + 1, seed)


def measured(context, system=None, metric="fd_effnet"):
    found = rows(BENCHMARK, context, [system or Painter()])
    return {r.system: r for r in found if r.metric == metric}


def split(context, name, count):
    return colours_of(context.dataset, context.select(name, count).order)


def painted(count):
    return np.array([Painter.colour(i, 0) for i in range(count)])


def seen(colours):
    """The features [n, 3] of images of these colours, to the last bit: many distances are equal."""
    return features()(torch.from_numpy(colours)[:, :, None, None].expand(-1, -1, SIZE, SIZE))


def test_samples_are_held_against_the_training_images(context):
    found = measured(context)
    reference, test = split(context, "train", REFERENCE), split(context, "test", SAMPLES)
    row = found["painter"]
    assert row.value == pytest.approx(frechet(painted(SAMPLES), reference), rel=1e-5)
    assert (row.n, row.note) == (SAMPLES, "")
    protocol = row.measured_by
    assert (protocol["n"], protocol["reference_n"]) == (SAMPLES, REFERENCE)
    assert protocol["reference_split"] == "train"
    # a code that is the colour decodes to the image itself
    for title in ("painter + autoencoding", "real images (test)"):
        assert found[title].value == pytest.approx(frechet(test, reference), rel=1e-5)


def test_kernel_distances_have_the_samples_and_the_error_of_frechet_distances(context):
    """With the plain jackknife over blocks of the samples and of the reference, by hand."""
    kernels, frechets = measured(context, metric="kd_effnet"), measured(context)
    reference, test = split(context, "train", REFERENCE), split(context, "test", SAMPLES)
    painted_ones = painted(SAMPLES)
    row = kernels["painter"]
    assert row.value == pytest.approx(kernel(painted_ones, reference), rel=1e-5)
    for title in ("painter + autoencoding", "real images (test)"):
        assert kernels[title].value == pytest.approx(kernel(test, reference), rel=1e-4)
    for title, row in kernels.items():
        beside = frechets[title]
        assert (row.n, row.note, row.reference) == (beside.n, beside.note, beside.reference)
        assert row.measured_by == beside.measured_by
    block = np.arange(SAMPLES) % 20
    left_out = [kernel(painted_ones[block != k], reference) for k in range(20)]
    (part,) = (p for p in kernels["painter"].estimate.influences if "samples" in p.units)
    expected = (np.mean(left_out) - left_out) * np.sqrt(19 / 20)
    np.testing.assert_allclose(part.values, expected, atol=1e-7)
    assert len(kernels["painter"].estimate.influences) == 2


def test_cmmd_stands_where_clip_is_among_the_networks(context):
    clip = {"network": "clip_vitl14_336", "metric_name": "fd_clip_vitl14_336"}
    context.networks.features = (replace(context.networks.features[0], **clip),)
    row = measured(context, metric="cmmd")["painter"]
    sides = [
        Side.of(x / 255, blocks_of(len(x)))
        for x in (painted(SAMPLES), split(context, "train", REFERENCE))
    ]
    assert (
        row.value == pytest.approx(cmmd(*sides).whole().value, rel=1e-4) and row.stderr is not None
    )
    for metric in ("kd_clip_vitl14_336", "fd_clip_vitl14_336"):
        assert measured(context, metric=metric)["painter"].value is not None


def test_how_the_samples_overlap_with_the_reference(context):
    """Those of `manifold` on the colours; too few samples are a row that says how many are needed."""
    context.profile = context.profile.changed_by({"unconditional.overlap": 10_000})
    held_out, sides = split(context, "test", SAMPLES), {}
    sides["painter"] = painted(SAMPLES)
    sides["painter + autoencoding"] = sides["real images (test)"] = held_out
    reference = context.select("train", REFERENCE)
    theirs = Side.of(
        seen(colours_of(context.dataset, reference.order)).numpy(), reference.units.blocks(BLOCKS)
    )
    for metric in shown_in(OVERLAP):
        found = measured(context, metric=f"{metric}_effnet")
        assert set(found) == set(sides)
        assert found["painter + autoencoding"].reference and found["real images (test)"].reference
        for title, ours in sides.items():
            row = found[title]
            assert row.table == "unconditional_overlap" and row.n == len(ours)
            of_ours = Side.of(seen(ours).numpy(), blocks_of(len(ours)))
            expected = overlaps(of_ours, theirs).whole()[metric].value
            assert row.value == pytest.approx(expected, abs=1e-6)
    context.profile = context.profile.changed_by({"unconditional.overlap": 30})
    row = measured(context, metric="coverage_effnet")["painter"]
    ours = Side.of(seen(painted(30)).numpy(), blocks_of(30))
    expected = overlaps(ours, theirs.first(30)).whole()["coverage"]
    assert (row.n, row.measured_by["n"], row.measured_by["reference_n"]) == (30, 30, 30)
    assert row.value == pytest.approx(expected.value, abs=1e-6)
    found = measured(context)
    assert set(found) == set(sides) and found["painter"].n == SAMPLES
    context.profile = context.profile.changed_by({"samples.count": 3})
    row = measured(context, metric="recall_effnet")["painter"]
    assert row.value is None
    assert row.note == "recall with k = 3 needs at least 4 images in the samples, which has 3"


def test_the_error_holds_the_samples_and_the_reference(context):
    """Far apart, the distance is that of the means, and its error 2 sqrt(d' (S_a / n + S_b / m) d):
    with 20 of the one side and 400 of the other, nearly all is that of the few. Held to what a
    jackknife of 20 blocks can do.
    """
    sizes = {"few samples": (20, 72), "small reference": (400, 20)}
    for n, m in sizes.values():
        context.profile = context.profile.changed_by(
            {"samples.count": n, "unconditional.reference": m}
        )
        row = measured(context, Blue())["painter"]
        a = np.array([Blue.colour(i, 0) for i in range(n)]) / 255
        b = split(context, "train", m) / 255
        d = a.mean(0) - b.mean(0)
        ours, theirs = d @ np.cov(a.T) @ d / n, d @ np.cov(b.T) @ d / m
        assert row.stderr == pytest.approx(2 * np.sqrt(ours + theirs), rel=0.25)


def test_held_out_images_are_kept_out_of_their_reference(context):
    """Profile `paper` takes the reference from all images: those of the row make way for the next ones."""
    context.profile = context.profile.changed_by({"unconditional.reference_split": "all"})
    found = measured(context)
    order, test = context.select("all", COUNT).order, context.select("test", SAMPLES).order
    apart = [index for index in order if index not in set(test)][:REFERENCE]
    row = found["real images (test)"]
    ours = split(context, "test", SAMPLES)
    assert row.value == pytest.approx(frechet(ours, colours_of(context.dataset, apart)), rel=1e-5)
    assert row.note == "the reference is taken without these images"
    protocol = row.measured_by
    assert protocol["reference_without"] == "the images of the row"
    assert protocol["reference_n"] == REFERENCE
    # what the paper does with the decoded ones is done, and said
    row = found["painter + autoencoding"]
    reference = split(context, "all", REFERENCE)
    assert row.value == pytest.approx(frechet(ours, reference), rel=1e-5)
    shared = len(set(test) & set(order[:REFERENCE]))
    assert shared > 8  # the order of all images is not that of their partition
    assert f"{shared} of the images themselves are in the reference" in row.note


def test_other_pictures_of_the_persons_are_kept_out_too(context):
    """Two pictures a person, one of them in another split."""
    context.dataset = replace(context.dataset, identities=np.arange(COUNT) // 2)
    context.profile = context.profile.changed_by(
        {"unconditional.reference_split": "all", "samples.count": 10}
    )
    test = context.select("test", 10)
    persons = set(test.order // 2)
    order = context.select("all", COUNT).order
    apart = [index for index in order if index // 2 not in persons][:REFERENCE]
    row = measured(context)["real images (test)"]
    ours = colours_of(context.dataset, test.order)
    assert row.value == pytest.approx(frechet(ours, colours_of(context.dataset, apart)), rel=1e-5)


def test_a_reference_that_is_all_in_the_row_is_none(context):
    context.profile = context.profile.changed_by(
        {"unconditional.reference_split": "test", "samples.count": 42}
    )
    row = measured(context)["real images (test)"]
    assert row.value is None
    assert row.note == (
        "the reference is taken without these images, of which only 0 are left; "
        "a Frechet distance needs two images on each side, not 0"
    )


class Brighter(Painter):
    """Its colours grow by one with each step, so that the samples of one T are not those of another."""

    iterative = True

    def sample_latents(self, indices, seed, steps):
        return super().sample_latents(indices, seed, steps) + steps / 127.5


def test_every_n_has_real_images_beside_it_or_a_row_that_says_why_not(context):
    """60 samples, and 42 test images that are decoded: the latter have real images at their n."""
    context.profile = context.profile.changed_by({"samples.count": 60})
    for metric in ("kd_effnet", "fd_effnet"):
        found = measured(context, metric=metric)
        counts = {title: row.n for title, row in found.items()}
        assert counts == {
            "painter": 60,
            "painter + autoencoding": 42,
            "real images (test)": 60,
            "real images (test), n = 42": 42,
        }
        row = found["real images (test)"]
        assert (
            row.value is None
            and row.note == "the test split has 42 of the 60 images that are needed"
        )
        between, ours = (kernel, frechet)[metric == "fd_effnet"], split(context, "test", 42)
        expected = between(ours, split(context, "train", REFERENCE))
        assert found["real images (test), n = 42"].value == pytest.approx(expected, rel=1e-4)


def test_a_frechet_distance_may_be_without_its_error(context):
    """The value stays; the kernel distance has an error."""
    with_error = measured(context)
    context.profile = context.profile.changed_by({"unconditional.frechet_error": False})
    for title, row in measured(context).items():
        assert row.value == pytest.approx(with_error[title].value, rel=1e-9)
        assert (row.stderr, row.estimate.influences) == (None, ()) and with_error[title].stderr > 0
        assert row.note == with_error[title].note
    for row in measured(context, metric="kd_effnet").values():
        assert row.stderr > 0


def test_every_T_has_samples_of_its_own(context):
    context.profile = context.profile.changed_by({"samples.steps": (2, 30)})
    measured_rows = rows(BENCHMARK, context, [Brighter()])
    found = [r for r in measured_rows if (r.system, r.metric) == ("painter", "fd_effnet")]
    assert [row.steps for row in found] == [2, 30]
    reference = split(context, "train", REFERENCE)
    for row in found:
        new = np.minimum(painted(SAMPLES).astype(int) + row.steps, 255)
        assert row.value == pytest.approx(frechet(new, reference), rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_too_few_images_are_rows_with_the_reason(context, tmp_path, count):
    folder = tmp_path / "few"
    folder.mkdir()
    context.dataset = dataset(folder, np.full(count, True))
    for metric in ("kd_effnet", "fd_effnet"):
        found = measured(context, metric=metric)
        titles = {title.partition(", n =")[0] for title in found}
        assert titles == {"painter", "painter + autoencoding", "real images (test)"}
        few = f"the test split has {count // 2} of the 40 images that are needed"
        assert found["real images (test)"].note == few
        reasons = "needs two images on each side", few
        for row in found.values():
            assert row.value is not None or any(reason in row.note for reason in reasons)


@pytest.mark.parametrize(("count", "leads"), [(14, "kd_effnet"), (15, "fd_effnet")])
def test_the_headline_in_memory_is_by_five_samples_for_each_of_three_dimensions(
    context, count, leads
):
    context.profile = context.profile.changed_by({"samples.count": count})
    run = Run(Path("run"), table_specs=specs(["unconditional"]))
    for record in rows(BENCHMARK, context, [Painter()]):
        run.add(record)
    found = Results(run, context)
    assert {row.metric for row in found.tables["overview"].records} == {leads}
    assert f"{leads} ↓" in found.summary() and "real images (test)" in found.summary()
