"""Table 1 on codes and sets of reconstructions: sizes, codebooks, Frechet distance, image sizes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import reference_metrics
from colours import without_effnet
from piq import multi_scale_ssim
from scipy.stats import entropy
from systems import Pixels
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks import systems
from benchmarks.core import store
from benchmarks.core.images import embedded
from benchmarks.core.measurement import Variant
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.codebooks import count_codes, use
from benchmarks.metrics.sets import kernel
from benchmarks.metrics.sets.frechet_jackknife import paired_jackknife
from benchmarks.metrics.sets.jackknife import BLOCKS, Side, influences, shares_of
from benchmarks.metrics.sets.manifold import overlaps
from benchmarks.metrics.units import Units
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, System
from benchmarks.systems.protocol.parts import Part
from benchmarks.tasks.reconstruction.reconstruction import (
    BENCHMARK,
    CODEBOOKS,
    TABLE1,
    counts_of_codes,
    tokens_job,
)
from reports.records.record import Distinct

COUNT = 45


@pytest.fixture
def context(context):
    context.profile = context.profile.changed_by({"reconstruction.images": COUNT})
    return without_effnet(context)


def run(context, system):
    """Rows by (table, setting, metric)."""
    found = list(rows(BENCHMARK, context, [system]))
    without = [row for row in found if row.value is None and row.note != "the value is infinite"]
    assert {row.metric for row in without} <= {"ms_ssim", "bits_per_pixel"}
    return {(row.table, row.setting, row.metric): row for row in found}


class Halves(System):
    """Two maps of tokens: whether a pixel is bright, at full size and at half: few codes of many
    are used
    """

    name = title = fingerprint = "halves"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    image_size, latent_dim = 32, 32**2 + 16**2
    semantic_parts = (Part.of_tokens((32, 32), 8), Part.of_tokens((16, 16), 4))

    def encode_semantic(self, images):
        grey = images.mean(1)
        return 2 * (grey > 0).long(), 1 + (avg_pool2d(grey, 2) > 0.2).long()

    def decode(self, code, steps=100):
        return (code.semantic[0][:, None].float() - 1).expand(-1, 3, -1, -1).contiguous()


def test_use_and_perplexity_of_each_codebook(context):
    found = run(context, systems.as_system(Halves()))
    images = context.select("test", COUNT).batch(np.arange(COUNT))
    for name, size, tokens in zip(
        ("part 1", "part 2"), (8, 4), Halves().encode_semantic(images), strict=True
    ):
        shares = np.bincount(tokens.flatten().numpy(), minlength=size) / tokens.numel()
        assert found[CODEBOOKS, name, "code_bits"].value == math.log2(size)
        assert found[CODEBOOKS, name, "codebook_use"].value == pytest.approx(2 / size)
        row = found[CODEBOOKS, name, "perplexity"]
        assert row.value == pytest.approx(np.exp(entropy(shares)), rel=1e-9)
    assert found[TABLE1, "", "code_bits"].value == 32**2 * 3 + 16**2 * 2
    assert found[TABLE1, "", "bits_per_pixel"].value == pytest.approx(3 + 2 / 4)
    assert found[TABLE1, "", "compression"].value == pytest.approx(3 * 1024 / 1280)


def test_bits_of_a_code_and_of_the_whole_are_two_numbers_where_there_is_one_codebook(
    context, tmp_path
):
    """A file of records takes no number twice."""
    found = run(context, systems.load("dummy-tokens"))
    distinct = Distinct(tmp_path / "records.csv")
    for row in found.values():
        distinct.add(row, "a row")
    assert found[CODEBOOKS, "codebook", "code_bits"].value == 4
    assert found[TABLE1, "", "code_bits"].value == 3 * 32**2 * 4


def test_the_error_of_a_perplexity_is_that_of_new_images():
    """Images whose share of a code scatters: the jackknife's error is the spread over draws of images."""
    rng, found, errors = np.random.default_rng(0), [], []
    for _ in range(200):
        p = rng.beta(2, 3, size=60)
        tokens = (rng.random((60, 50)) < p[:, None]).astype(np.int64)
        counts = count_codes(tokens, np.arange(60) % BLOCKS, 2)
        perplexity = use(counts, Units("images", np.arange(60)))["perplexity"]
        found.append(perplexity.value)
        errors.append(perplexity.stderr)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.12)


@pytest.mark.parametrize("together", [1, 3])
def test_the_error_of_a_perplexity_has_each_image_in_its_block_whatever_the_chunks(
    context, monkeypatch, together
):
    monkeypatch.setattr(store, "CHUNK", 16)
    context.store.together = together
    selection = context.select("test", COUNT)
    system = systems.as_system(Halves())
    job = tokens_job(Variant.of(context, system, None, None), selection)
    counts, _ = counts_of_codes(system, selection, context.store.read(job)).values()
    tokens = Halves().encode_semantic(selection.batch(np.arange(COUNT)))[0].numpy()
    blocks = selection.units.blocks(BLOCKS)
    whole, *without = (
        np.exp(entropy(np.bincount(tokens[blocks != block].ravel(), minlength=8)))
        for block in range(-1, BLOCKS)
    )
    parts = influences(whole, np.array(without), shares_of(blocks))
    perplexity = use(counts, selection.units)["perplexity"]
    assert perplexity.stderr == pytest.approx(np.linalg.norm(parts))


def test_a_system_without_codebooks_has_no_such_rows(context):
    found = run(context, systems.load("dummy-map"))
    assert not any(table == CODEBOOKS for table, *_ in found)
    bits = found[TABLE1, "", "bits_per_pixel"]
    assert (bits.value, bits.note) == (None, "not quantised: its code is of real numbers")
    assert found[TABLE1, "", "compression"].value == 16


def test_the_distance_of_reconstructions_is_that_of_heusel_et_al(context):
    context.networks, system = replace(context.networks), Halves()  # with EfficientNet-lite0
    row = run(context, system)[TABLE1, "", "rfd_effnet"]
    selection = context.select("test", COUNT)
    images = selection.batch(np.arange(COUNT))
    ours, theirs = (
        embedded(some, context.networks.features[0]).astype(np.float64)
        for some in (system.decode(system.encode(images)), images)
    )
    assert row.value == pytest.approx(reference_metrics.frechet(ours, theirs), rel=1e-3)
    blocks = selection.units.blocks(BLOCKS)
    pairs = paired_jackknife(Side.of(ours, blocks), Side.of(theirs, blocks)).whole()
    assert row.stderr == pytest.approx(pairs.stderr, rel=1e-3)
    assert "with so few images" in row.note


def test_perfect_reconstructions_are_at_no_distance(context):
    """By the kernel distance exactly: no image is paired with its own reconstruction."""
    found = run(context, systems.load("dummy-perfect"))
    assert found[TABLE1, "", "rfd_effnet"].value == pytest.approx(0, abs=1e-4)
    assert found[TABLE1, "", "rkd_effnet"].value == 0
    assert found[TABLE1, "", "rkd_effnet"].stderr == 0
    for metric in ("precision_effnet", "recall_effnet"):
        row = found[TABLE1, "", metric]
        assert (row.value, row.stderr) == (1, None)
        assert (
            row.note
            == f"no error: the share is {COUNT} of {COUNT}, and an error needs 5 or more on either side"
        )


def test_reconstructions_are_held_against_their_originals_as_two_sets(context):
    """Kernel distance, precision and recall of the mean colours."""
    found, selection = run(context, Halves()), context.select("test", COUNT)
    network = context.networks.features[0]
    images = selection.batch(np.arange(COUNT))
    ours = embedded(Halves().decode(Halves().encode(images)), network)
    theirs, blocks = embedded(images, network), selection.units.blocks(BLOCKS)
    pairs = kernel.paired(Side.of(ours, blocks), Side.of(theirs, blocks)).whole()
    row = found[TABLE1, "", "rkd_effnet"]
    assert row.value == pytest.approx(pairs.value, rel=1e-6)
    assert row.stderr == pytest.approx(pairs.stderr, rel=1e-6)
    estimates = overlaps(Side.of(ours, blocks), Side.of(theirs, blocks)).whole()
    for metric in ("precision", "recall"):
        row = found[TABLE1, "", f"{metric}_effnet"]
        expected = estimates[metric]
        assert row.value == expected.value and row.n == COUNT
        if expected.stderr is not None:
            assert row.stderr == pytest.approx(expected.stderr, rel=1e-6)
            assert row.estimate.influences[0].units.startswith("blocks")


@pytest.mark.parametrize(
    ("count", "reasons"),
    [
        (1, {"rkd_effnet": "a kernel distance needs two images on each side, not 1"}),
        (1, {"rfd_effnet": "a Frechet distance needs two images on each side, not 1"}),
        (3, {"precision_effnet": "precision with k = 3 needs at least 4 images in the reference"}),
        (3, {"recall_effnet": "recall with k = 3 needs at least 4 images in the samples"}),
    ],
)
def test_too_few_images_are_rows_that_say_how_many_are_needed(context, count, reasons):
    context.profile = context.profile.changed_by({"reconstruction.images": count})
    found = {row.metric: row for row in rows(BENCHMARK, context, [Halves()])}
    for metric, reason in reasons.items():
        assert found[metric].value is None and found[metric].note.startswith(reason)


def test_ms_ssim_needs_images_of_161_px(context):
    """The mean over images of piq's; of small ones a row with the reason."""
    row = run(context, Halves())[TABLE1, "", "ms_ssim"]
    assert row.value is None and row.note == "MS-SSIM needs images of 161 px or more, not 32 x 32"
    context.dataset = context.dataset.at(176)
    context.profile = context.profile.changed_by({"reconstruction.images": 3})
    found = {(r.table, r.metric): r for r in rows(BENCHMARK, context, [Pixels(176, contrast=0.5)])}
    row = found[TABLE1, "ms_ssim"]
    images = context.select("test", 3).batch(np.arange(3))
    made = Pixels(176, contrast=0.5).decode(Pixels(176, contrast=0.5).encode(images))
    unit = [(x.clamp(-1, 1).double() + 1) / 2 for x in (made, images)]
    expected = multi_scale_ssim(*unit, data_range=1.0, reduction="none")
    assert row.value == pytest.approx(float(expected.mean()), rel=1e-6)
    assert row.stderr == pytest.approx(float(expected.std() / 3**0.5), rel=1e-6)
    assert "ms_ssim" not in {metric for table, metric in found if table != TABLE1}


# ----------------------------------------------------------------------------------------------
# Systems of other sizes than that of the comparison


def test_a_larger_system_runs_at_its_size_and_is_compared_at_the_others(context):
    """The paper's rule for Table 1: others at 256 px, compared at 128 px."""
    found = run(context, Pixels(48))
    selection = context.select("test", COUNT)
    originals = selection.batch(np.arange(COUNT))
    from_48 = interpolate(
        selection.dataset.at(48).batch(selection.order), (32, 32), mode="bilinear", antialias=True
    )
    mse = ((from_48.clamp(-1, 1) - originals) / 2).square().mean()
    assert found[TABLE1, "", "mse"].value == pytest.approx(float(mse), rel=1e-4)
    assert mse > 1e-5
    assert found[TABLE1, "", "compression"].value == 1
    model = found[TABLE1, "", "mse"].measured_by.get("model", {})
    assert model == {"run_at": 48, "compared_at": "32, bilinear with antialiasing"}
