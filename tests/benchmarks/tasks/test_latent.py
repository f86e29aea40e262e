"""The benchmark `latent` with systems whose decoders are known."""

from dataclasses import replace

import numpy as np
import pytest
import reference_metrics
import torch
from colours import without_effnet
from torch.nn import functional as F

from benchmarks import systems
from benchmarks.core.images import semantic_of
from benchmarks.core.job import Job
from benchmarks.core.measurement import Variant
from benchmarks.core.runner.evaluation import rows
from benchmarks.core.store import Store
from benchmarks.metrics import latent
from benchmarks.metrics.sets import kernel
from benchmarks.metrics.sets.jackknife import BLOCKS, Side
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, System
from benchmarks.systems.protocol.parts import Part
from benchmarks.systems.shared import codebook
from benchmarks.systems.shared.quantised import Quantised
from benchmarks.tasks.latent.latent import (
    BENCHMARK,
    BETWEEN,
    LINEAR,
    ROBUST,
    SPECTRUM,
    SPHERICAL,
    UNMOVED,
)
from benchmarks.tasks.latent.moves import MovedCodes
from diffae.diffusion import noise

IMAGES, TRAINING, MOVED = 30, 40, 12
CPU = torch.device("cpu")


class SquaredError:
    """In place of a perceptual distance: the mean squared error."""

    name = metric_name = "pd_effnet"
    network = "efficientnet-lite0"

    def describe(self):
        return {"perceptual": "mse"}

    def __call__(self, a, b):
        return (a - b).square().mean((1, 2, 3))


@pytest.fixture
def context(context):
    sizes = {"images": IMAGES, "training": TRAINING, "moved": MOVED, "bits": (2, 6)}
    sizes |= {"noise": (0.1, 1.0), "neighbours": (1, 3)}
    found = without_effnet(context)
    found.profile = found.profile.changed_by({f"latent.{k}": v for k, v in sizes.items()})
    found.networks.perceptual, found.pictures = SquaredError(), None
    return found


class Pixels(System):
    """The image, at a quarter of its range, is its own code: nothing is clamped."""

    name = title = fingerprint = "pixels"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    image_size, latent_dim = 32, 3 * 32**2
    semantic_parts = (Part((3, 32, 32)),)

    def encode_semantic(self, images):
        return 10 * images + 1

    def decode(self, code, steps=100):
        return ((code.semantic - 1) / 10).clamp(-1, 1)


class InSteps(Pixels):
    """Decoded in T steps."""

    name = title = fingerprint = "in steps"
    iterative = True


class Dim(Pixels):
    """Decoded at half the contrast: the image of a code is not the original."""

    name = title = fingerprint = "dim"

    def decode(self, code, steps=100):
        return super().decode(code) / 2


class Tokens(Quantised):
    """Every 8 x 8 pixels, averaged, become the nearest of six colours."""

    name = title = fingerprint = "tokens"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    image_size, latent_dim = 32, 3 * 16
    semantic_parts = (Part((3, 4, 4)),)
    book = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codebooks = {"colours": 6}

    def encode_semantic(self, images):
        return self.encode_ranked(images, torch.zeros(len(images), 4, 4, dtype=torch.int64))

    def encode_ranked(self, images, ranks):
        return codebook.look_up(
            codebook.of_rank(F.avg_pool2d(images, 8), self.book, ranks), self.book
        )

    def tokens(self, code):
        return (codebook.nearest(code.semantic, self.book),)

    def decode(self, code, steps=100):
        return F.interpolate(code.semantic, scale_factor=8)


def measured(context, system):
    found = list(rows(BENCHMARK, context, [systems.as_system(system)]))
    return {(row.table, row.setting, row.metric): row for row in found}


def codes_of(context, system):
    images, training = context.select("test", IMAGES), context.select("train", TRAINING)
    variant = Variant.of(context, systems.as_system(system), None, None)
    return MovedCodes.of(variant, images, training)


def moved_by(codes, move, positions):
    """The codes of the images at these positions, moved."""
    store = codes.variant.context.store
    semantic = semantic_of(store.rows(codes.of_images, positions))
    return move.moved(positions, semantic, *map(store.read, move.takes))


def images_of(selection):
    return selection.batch(np.arange(len(selection)))


def test_halfway_on_a_line_is_the_mean_of_two_images_one_of_ten_near_ones(context):
    codes, everything = codes_of(context, Pixels()), np.arange(IMAGES)
    ours, theirs = (images_of(s).flatten(1) for s in (codes.images, codes.training))
    middles = (moved_by(codes, codes.halfway(False), everything).flatten(1) - 1) / 10
    others = 2 * middles - ours
    apart = torch.cdist(others, theirs)
    chosen = apart.argmin(1)
    assert apart.min(1).values.max() < 0.05
    ranks = torch.cdist(ours, theirs).argsort(1).argsort(1)[everything, chosen]
    assert ranks.max() < 10 and len(set(ranks.tolist())) > 3
    for index, rank in zip(codes.images.order[:5], range(5), strict=True):
        draw = noise.generator(0, "latent neighbour", int(index)).random()
        near = torch.cdist(ours[rank : rank + 1], theirs)[0].argsort()[:10]
        cost = 100 * (ours[rank] - theirs[near]).square().mean(1)
        expected = near[int((torch.softmax(-cost, 0).cumsum(0) <= draw).sum())]
        assert chosen[rank] == expected


def test_codes_of_the_first_images_are_those_of_all(context):
    """Not encoded again in a smaller batch, by which their last digits could differ."""
    codes, store = codes_of(context, Pixels()), context.store
    few = Job("few", "", {}, MOVED, lambda positions, semantic: semantic, [codes.of_images])
    first = store.read(few)["semantic"]
    assert all(store.pieces(codes.of_images).values())
    assert np.array_equal(first, store.read(codes.of_images)["semantic"][:MOVED])


def test_the_distances_are_those_of_the_decoded_images_to_the_originals(context):
    found = measured(context, Pixels())
    network = context.networks.features[0]
    codes = codes_of(context, Pixels())
    originals = context.store.read(context.codes.real_features(codes.images, network))["features"]
    blocks = codes.images.units.blocks(BLOCKS)
    for setting, spherical in ((SPHERICAL, True), (LINEAR, False)):
        semantic = moved_by(codes, codes.halfway(spherical), np.arange(IMAGES))
        made = context.codes.embed(((semantic - 1) / 10).clamp(-1, 1))[network.array]
        row = found[BETWEEN, setting, "ikd_effnet"]
        expected = kernel.paired(Side.of(made, blocks), Side.of(originals, blocks)).whole()
        assert row.value == pytest.approx(expected.value, rel=1e-4)
        assert row.n == IMAGES and row.stderr > 0
        assert row.measured_by["training"] == TRAINING and row.measured_by["candidates"] == 10
    assert found[BETWEEN, UNMOVED, "ikd_effnet"].value == pytest.approx(0, abs=1e-6)
    assert found[BETWEEN, UNMOVED, "ifd_effnet"].value == pytest.approx(0, abs=1e-3)


class Loud(Pixels):
    """Decoded at ten times the contrast: a part of each image lies beyond [-1, 1]."""

    name = title = fingerprint = "loud"

    def decode(self, code, steps=100):
        return self.cut(code.semantic - 1)


@pytest.mark.parametrize("floats", [True, False])
def test_a_network_that_takes_floats_is_given_what_is_decoded_as_it_is(context, floats):
    """evalvae.py lines 339-341 and 391-393: (image + 1) / 2, neither clamped nor rounded, of which
    Inception takes floats; others are given 8 bits.
    """
    network = replace(context.networks.features[0], takes=(torch.uint8, torch.float32))
    context.networks.features = (network if floats else context.networks.features[0],)
    found, codes = measured(context, Loud()), codes_of(context, Loud())
    originals = ((images_of(codes.images) + 1) / 2).mean((2, 3)).numpy()
    for setting in (UNMOVED, SPHERICAL):
        move = codes.halfway(True) if setting == SPHERICAL else codes.unmoved()
        moved = (moved_by(codes, move, np.arange(IMAGES)) - 1) / 10
        seen = (10 * moved + 1) / 2
        if not floats:
            seen = (255 * seen.clamp(0, 1)).round() / 255
        row = found[BETWEEN, setting, "ifd_effnet"]
        expected = reference_metrics.frechet(seen.mean((2, 3)).numpy(), originals)
        assert row.value == pytest.approx(expected, rel=1e-4)
        how = "as decoded: neither clamped nor rounded to 8 bits" if floats else None
        assert row.measured_by.get("images") == how
        assert ("and were not clamped" in row.note) == floats
    assert found[ROBUST, "noise 1", "pd_effnet"].note == ""


def test_noise_moves_an_image_by_its_level_times_the_deviation_over_training_images(context):
    found = measured(context, Dim())
    codes = codes_of(context, Dim())
    deviation = images_of(codes.training).std(0)
    eps = noise.normal(0, "latent noise", codes.images.order[:MOVED].tolist(), (3 * 32**2,))
    ours = images_of(codes.images)[:MOVED]
    moved = ours + 0.1 * deviation * eps.reshape(ours.shape)
    expected = (moved.clamp(-1, 1) - ours).square().mean() / 4
    row = found[ROBUST, "noise 0.1", "pd_effnet"]
    assert row.value == pytest.approx(float(expected), rel=1e-3) and row.n == MOVED
    assert 5 * row.value < found[ROBUST, "noise 1", "pd_effnet"].value
    coarse, fine = (found[ROBUST, f"{bits} bits", "pd_effnet"].value for bits in (2, 6))
    step = 6 * deviation / 63
    assert fine == pytest.approx(float((step**2 / 12).mean() / 4), rel=0.5) and fine < coarse / 50


def test_perturbed_tokens_are_drawn_from_the_nearest_by_image(context):
    codes = codes_of(context, Tokens())
    everything = np.arange(IMAGES)
    for neighbours, changed in ((1, 0.0), (3, 0.5 * 2 / 3)):
        moved = moved_by(codes, codes.perturbed(0.5, neighbours), everything)
        differs = (moved != moved_by(codes, codes.unmoved(), everything)).any(1).float().mean()
        assert float(differs) == pytest.approx(changed, abs=0.06)
    again = moved_by(codes, codes.perturbed(0.5, 3), everything[7:9])
    assert torch.equal(again, moved_by(codes, codes.perturbed(0.5, 3), everything)[7:9])
    order = torch.cdist(
        F.avg_pool2d(images_of(codes.images), 8).movedim(1, -1).reshape(-1, 3), Tokens.book
    ).argsort(1)
    moved = moved_by(codes, codes.perturbed(1.0, 3), everything).movedim(1, -1).reshape(-1, 1, 3)
    rank = (Tokens.book[order] == moved).all(2).float().argmax(1)
    assert sorted(set(rank.tolist())) == [0, 1, 2]
    assert np.bincount(rank) / len(rank) == pytest.approx([1 / 3] * 3, abs=0.06)


def test_a_spectrum_is_measured_of_every_map(context):
    found = measured(context, systems.load("dummy-map", CPU))
    row, images = found[SPECTRUM, "", "spectrum_kl"], images_of(context.select("test", IMAGES))
    expected = latent.spectrum_divergence(images, F.avg_pool2d(images, 4))
    assert row.value == pytest.approx(expected.mean(), rel=1e-6)
    assert row.stderr > 0 and row.n == IMAGES
    assert row.measured_by["images"].startswith("blurred (sigma 1.2, 7 px)")
    found = measured(context, InSteps())  # a map of 32 px
    sharp, moved = found[SPECTRUM, "", "spectrum_kl"], found[BETWEEN, LINEAR, "ikd_effnet"]
    assert moved.steps == moved.measured_by["decoding_steps"] > 0
    assert (sharp.steps, sharp.solver, sharp.calls) == (None, "", None)  # nothing is decoded
    assert not sharp.measured_by.get("decoding_steps")
    p, q = (latent.spectrum(x.double().numpy()) for x in (images, 10 * images))
    expected = (p * np.log((p + 1e-8) / (q + 1e-8))).sum(1)
    assert sharp.value == pytest.approx(expected.mean(), rel=1e-5)
    assert sharp.measured_by["images"].startswith("not blurred")


def test_results_are_of_the_image_and_not_of_the_batch(context, tmp_path, monkeypatch):
    together = measured(context, Tokens())
    monkeypatch.setattr("benchmarks.core.store.CHUNK", 7)
    apart = measured(replace(context, store=Store(tmp_path / "other")), Tokens())
    for key, row in together.items():
        if row.value is None:
            assert apart[key].note == row.note, key
        else:
            assert apart[key].value == pytest.approx(row.value, rel=1e-5, abs=1e-7), key
