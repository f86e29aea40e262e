"""Codes alone, and equivariance, of systems whose encoders and decoders are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from colours import without_effnet
from systems import Cells
from torch.nn import functional as F

from benchmarks import systems
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.codes.data import Codes
from benchmarks.metrics.codes.schema import named
from benchmarks.metrics.codes.table import measure
from benchmarks.metrics.latent import estimate_equivariance
from benchmarks.metrics.units import Units
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, STOCHASTIC, System
from benchmarks.systems.protocol.parts import Part
from benchmarks.tasks.latent.latent import BENCHMARK
from benchmarks.tasks.latent.panel import panel
from benchmarks.tasks.latent.space import FOLLOWS, MOVES, SPACE, _compared, of_map
from benchmarks.tasks.shared.stored_estimates import images_of

MOVED, CODES = 12, 60
DOCS = Path(__file__).parents[3] / "docs"


class Pooled(System):
    """A map of means of 4 x 4 pixels; each cell is decoded to its colour."""

    name = title = fingerprint = "pooled"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    image_size, stride, latent_dim = 32, 4, 3 * 8**2
    semantic_parts = (Part((3, None, None)),)

    def encode_semantic(self, images):
        return 3 * F.avg_pool2d(images, 4) + 1

    def decode(self, code, steps=100):
        return F.interpolate((code.semantic - 1) / 3, scale_factor=4)


class Placed(Pooled):
    """Each place has an offset of its own, so that no move of the image is one of the code."""

    name = title = fingerprint = "placed"
    offset = 5 * torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    image_size, stride = 32, None
    semantic_parts = (Part((3, 8, 8)),)

    def encode_semantic(self, images):
        return super().encode_semantic(images) + self.offset

    def decode(self, code, steps=100):
        return super().decode(code) / 10


class Mean(Cells):
    """A vector that a flip and a quarter turn leave as it is."""

    def __init__(self):
        super().__init__(cells=1, name=type(self).__name__.lower())


class Constant(Mean):
    def encode_semantic(self, images):
        return torch.ones(len(images), 3)


class Two(Pooled):
    """Two maps, of 8 and of 16 px, and x_T."""

    name = title = fingerprint = "two"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC, STOCHASTIC})
    image_size, stride, latent_dim = 32, None, 3 * (8**2 + 16**2 + 32**2)
    semantic_parts = (Part((3, 8, 8)), Part((3, 16, 16)))

    def encode_semantic(self, images):
        return F.avg_pool2d(images, 4), F.avg_pool2d(images, 2)

    def encode_stochastic(self, images, semantic, steps):
        return images

    def random_x_T(self, indices, seed):
        return torch.zeros(len(indices), 3, 32, 32)

    def decode(self, code, steps=100):
        return F.interpolate(code.semantic[1], scale_factor=2)


@pytest.fixture
def found(context):
    """The rows of a system in a table, by setting and metric."""
    context = without_effnet(context)
    sizes = {
        "images": MOVED,
        "training": 16,
        "moved": MOVED,
        "space": CODES,
    }
    sizes |= {"numbers": ("viv", "sec_50", "lds", "lnc")}
    context.profile = context.profile.changed_by({f"latent.{k}": v for k, v in sizes.items()})

    def of(system, table):
        each = rows(BENCHMARK, context, [systems.as_system(system)])
        return {(row.setting, row.metric): row for row in each if row.table == table}, context

    return of


def settings(found):
    return {setting: row for (setting, _), row in found.items()}


# ----------------------------------------------------------------------------------------------
# Equivariance


def test_means_of_pixels_follow_every_move_but_a_shift_by_a_pixel(found):
    of = settings(found(Pooled(), FOLLOWS)[0])
    assert len(of) == 9
    for name, row in of.items():
        if name == "encoder, one pixel":
            assert row.value > 0.001 and row.stderr > 0
        else:
            assert row.value == pytest.approx(0, abs=1e-9), name
            assert row.n == MOVED


def test_places_of_their_own_follow_no_move_of_places(found):
    of = settings(found(Placed(), FOLLOWS)[0])
    for name in ("flip", "quarter turn", "one cell"):
        assert of[f"encoder, {name}"].value > 0.8
    assert of["encoder, half size"].value is None
    assert of["encoder, half size"].note == "it takes images of 32 px only"
    assert of["decoder, flip"].value == pytest.approx(0, abs=1e-9)


def test_a_vector_is_measured_by_how_it_stays(found):
    of = settings(found(Mean(), FOLLOWS)[0])
    for name in ("flip", "quarter turn"):
        assert of[f"encoder, {name}"].value == pytest.approx(0, abs=1e-9)
    assert 0 < of["encoder, one pixel"].value < 0.2
    assert of["encoder, one cell"].note == "its code has no cells of whole pixels"
    assert of["decoder, flip"].note == "its code has no places"


def test_a_constant_encoder_is_undefined_and_not_perfect(found):
    of = settings(found(Constant(), FOLLOWS)[0])
    assert of["encoder, flip"].value is None
    assert of["encoder, flip"].note == "all of them are the same"
    of, _ = found(Constant(), SPACE)
    assert of["", "viv"].note == "every channel of the codes is constant"


def test_maps_of_two_sizes_shift_by_a_cell_of_the_coarser(found):
    of = settings(found(Two(), FOLLOWS)[0])
    assert of["encoder, one cell"].value == pytest.approx(0, abs=1e-9)
    assert of["encoder, one pixel"].value > 0.001
    assert of["decoder, flip"].note == "x_T would have to move too"


@pytest.mark.parametrize("move", MOVES)
def test_places_that_a_shift_brings_in_are_not_compared(move):
    """Maps that differ at the border alone are equal after a shift, and not after another move."""
    inside = torch.randn(2, 3, 8, 8)
    at_border = inside.clone()
    at_border[..., 0] += 5
    compared = [_compared(move, maps) for maps in (inside, at_border)]
    assert np.array_equal(*compared) == (move in ("one cell", "one pixel"))


def equivariance(moved, expected):
    units = Units("images", np.arange(len(moved)))
    return estimate_equivariance(moved, expected, units)["equivariance"]


def test_e_of_unrelated_codes_is_1_and_its_error_the_spread():
    random = np.random.default_rng(0)
    each = [equivariance(*(random.normal(5, 2, (24, 4)) for _ in range(2))) for _ in range(300)]
    values = np.array([estimate.value for estimate in each])
    stated = np.sqrt(np.mean([estimate.stderr**2 for estimate in each]))
    assert values.mean() == pytest.approx(1, abs=3 * values.std() / 300**0.5)
    assert 0.85 < stated / values.std() < 1.2


def test_e_is_0_of_equal_codes_and_the_same_of_scaled_shifted_and_turned_ones():
    random = np.random.default_rng(1)
    a, b = random.standard_normal((2, 20, 5))
    b = a + 0.3 * b
    turn = np.linalg.qr(random.standard_normal((5, 5)))[0]
    estimate = equivariance(a, b)
    value = estimate.value
    assert equivariance(a, a).value == 0 and 0 < value < 0.2
    assert equivariance(7 * a @ turn + 40, 7 * b @ turn + 40).value == pytest.approx(value)
    m = np.concatenate([a, b]).mean(0)
    direct = np.square(a - b).sum() / (np.square(a - m).sum() + np.square(b - m).sum())
    assert value == pytest.approx(direct * 39 / 40)  # (2n - 1) / 2n
    assert "e_T = (2n - 1) / 2n \\cdot \\sum" in (DOCS / "latent.md").read_text(encoding="utf-8")
    alike = equivariance(0 * a + 3, 0 * a + 3)
    assert (alike.value, alike.why) == (None, "all of them are the same")
    without = equivariance(a[1:], b[1:]).value
    influence = estimate.influences[0].values[0]
    assert influence == pytest.approx((19 / 20) ** 0.5 * (value - without))


# ----------------------------------------------------------------------------------------------
# Codes alone


def test_rows_are_the_numbers_of_the_codes_of_training_images(found):
    of, context = found(Pooled(), SPACE)
    images = context.select("train", CODES)
    codes = Pooled().encode_semantic(images.batch(np.arange(CODES)))
    ours = Codes(codes.flatten(1).double().numpy(), shape=(3, 8, 8))
    for name in ("sec_50", "lds"):
        row, expected = of["", name], measure(name, ours, named("plain"), 0)
        assert row.value == pytest.approx(expected.value, rel=1e-6)
        assert row.stderr == pytest.approx(expected.stderr, rel=1e-5)
        assert row.n == CODES
    assert of["", "viv"].value is None and "not defined for 60 codes" in of["", "viv"].note


def zeros_of(images):
    """Codes of the images that are all zero."""
    known = images_of(images.dataset, images.order)
    return of_map(0, known, {"semantic": np.zeros((CODES, 3), np.float32)})


def test_what_is_known_of_images_is_in_the_order_of_their_codes(context):
    n = len(context.dataset)
    known = {"identities": np.arange(n) // 2, "attributes": np.arange(n)[:, None] % 3 == 0}
    context.dataset = replace(context.dataset, attribute_names=("a",), **known)
    images = context.select("train", CODES)
    codes = zeros_of(images)
    assert np.array_equal(codes.persons, images.order // 2)
    assert np.array_equal(codes.y[:, 0], images.order % 3 == 0)
    columns = np.array([(i % 3,) for i in range(n)], [("level", np.int16)])
    bare = {"attributes": None, "attribute_names": (), "columns": columns}
    images = replace(images, dataset=replace(images.dataset, **bare))
    labels = zeros_of(images).labels
    assert labels.kinds == ("ordered",)
    assert np.array_equal(labels.values[:, 0], images.order % 3)


def test_each_map_has_rows_of_its_own_and_a_vector_the_reason(found):
    of, _ = found(Two(), SPACE)
    assert {setting for setting, _ in of} == {"1, 8 px", "2, 16 px"}
    assert of["1, 8 px", "sec_50"].value != of["2, 16 px", "sec_50"].value
    of, _ = found(Mean(), SPACE)
    assert of["", "lds"].note == "needs maps of at least 4 x 4 places; these codes are vectors"


def test_a_panel_of_codes_and_a_decay_of_their_spectrum():
    """Powers that fall with the frequency go from above the line of white codes to below it."""
    random = np.random.default_rng(0)
    z = random.standard_normal((600, 4, 8, 8))
    z = z + np.roll(z, 1, 2) + np.roll(z, 1, 3)
    eigenvalues, spectrum, density = panel(Codes(z.reshape(600, -1), shape=(4, 8, 8)))
    assert eigenvalues.shape == spectrum.shape == density.shape == (3, 192, 192)
    blue = (spectrum[2] > spectrum[0] + 0.4).float()
    height = (blue * torch.arange(192.0)[:, None]).sum(0) / blue.sum(0).clamp(min=1)
    assert height[10] < 96 < height[180]  # rows are counted from the top
    white = panel(Codes(random.standard_normal((600, 256)), shape=(4, 8, 8)))[1]
    blue = (white[2] > white[0] + 0.4).float()
    assert (blue.sum(1) > 0).nonzero().flatten().sub(96).abs().max() < 6
    vector = panel(Codes(random.standard_normal((600, 256))))[1]
    assert (vector[2] <= vector[0] + 0.4).all()  # nothing is drawn in the code's colour
