"""--native: each image at its own size and aspect, cut to multiples of the stride."""

from dataclasses import replace

import numpy as np
import pytest
from colours import without_effnet
from lone_context import small_context
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.nn import functional as F

from benchmarks import evaluate, systems
from benchmarks.commands.planned import collect, unread
from benchmarks.core.runner.evaluation import rows
from benchmarks.core.store import MemoryStore
from benchmarks.runtime.choices import TaskOptions
from benchmarks.systems import Part, System
from benchmarks.tasks.reconstruction import native
from benchmarks.tasks.reconstruction.reconstruction import BENCHMARK
from benchmarks.tasks.reconstruction.tables import NATIVE, TABLE1
from diffae.data import open_dataset
from diffae.data.dataset import Subset
from diffae.data.readers.idx import IdxImages
from diffae.system.errors import UserError

pytestmark = pytest.mark.usefixtures("no_effnet")
# The third is smaller than the stride, the last than the window of SSIM once it is cut.
SHAPES = [(45, 37), (64, 40), (3, 30), (45, 37), (30, 62), (47, 36), (11, 30)]
KEPT = [0, 1, 3, 4, 5]


class Pooled(System):
    """The means of squares of pixels; each is decoded to its colour."""

    name = title = fingerprint = "pooled"
    capabilities = frozenset({"encode", "decode", "semantic"})
    image_size, stride, latent_dim = 32, 4, 3 * 8**2
    semantic_parts = (Part((3, None, None)),)

    def encode_semantic(self, images):
        return F.avg_pool2d(images, self.stride)

    def decode(self, code, steps=100):
        return F.interpolate(code.semantic, scale_factor=self.stride)


class Coarse(Pooled):
    stride, latent_dim = 8, 3 * 4**2


class OneSize(Pooled):
    stride, semantic_parts = None, (Part((3, 8, 8)),)

    def encode_semantic(self, images):
        return F.avg_pool2d(images, 4)


@pytest.fixture
def folder(tmp_path):
    """Test images of several shapes, as PNG."""
    random, path = np.random.default_rng(0), tmp_path / "val"
    path.mkdir()
    for number, shape in enumerate(SHAPES):
        pixels = random.integers(0, 256, (*shape, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{number}.png")
    return path


@pytest.fixture
def context(folder, tmp_path):
    return without_effnet(small_context(open_dataset(folder, 32), tmp_path))


def measured(context, system=None, **options):
    """Rows by metric, of `system`."""
    context.options = TaskOptions(native=True, **options)
    found = [*rows(BENCHMARK, context, [systems.as_system(system or Pooled())])]
    assert {row.table for row in found} == {NATIVE}
    return {row.metric: row for row in found}


def pixels_of(folder, number, stride=4):
    """The middle of an image and its reconstruction, in [0, 1]."""
    image = np.asarray(Image.open(folder / f"{number}.png")) / 255
    height, width = (side // stride * stride for side in image.shape[:2])
    top, left = ((side - side // stride * stride) // 2 for side in image.shape[:2])
    image = image[top : top + height, left : left + width]
    squares = image.reshape(height // stride, stride, width // stride, stride, 3).mean((1, 3))
    return image, squares.repeat(stride, 0).repeat(stride, 1)


def ssim_of(image, decoded):
    like_ours = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(image, decoded, channel_axis=2, data_range=1, **like_ours)


def test_scores_are_those_of_each_image_alone(context, folder):
    found = measured(context)
    pairs = [pixels_of(folder, number) for number in KEPT]
    psnr = [peak_signal_noise_ratio(image, decoded, data_range=1) for image, decoded in pairs]
    mse = [np.square(image - decoded).mean() for image, decoded in pairs]
    ssim = [ssim_of(*pair) for pair in pairs]
    for metric, scores in {"psnr": psnr, "mse": mse, "ssim_valid": ssim}.items():
        row = found[metric]
        assert row.value == pytest.approx(np.mean(scores), rel=1e-5) and row.n == len(KEPT)
        assert row.stderr == pytest.approx(np.std(scores, ddof=1) / np.sqrt(len(KEPT)), rel=1e-4)
        assert "2 of 7 images left out: a side of less than 12 px" in row.note


def test_rows_are_in_the_order_of_the_run_whatever_the_chunk_and_the_batch(context, folder):
    """The features are mean colours, rounded to 8 bits before."""
    images = context.select("test", 7)
    variant = native.Variant.of(context, systems.as_system(Pooled()), "ddim", 1)
    whole = native.Native(variant, images)
    arrays = whole.job.compute(np.arange(7))
    (network,) = context.networks.features
    for position, number in enumerate(images.order):
        image, decoded = pixels_of(folder, number)
        if number not in KEPT:
            assert all(np.isnan(array[position]).all() for array in arrays.values())
            continue
        assert arrays["mse"][position] == pytest.approx(np.square(image - decoded).mean(), rel=1e-5)
        features = arrays[native.ORIGINAL + network.array][position]
        np.testing.assert_allclose(features, image.mean((0, 1)), rtol=1e-5)
        features = arrays[network.array][position]
        np.testing.assert_allclose(features, decoded.mean((0, 1)), atol=1 / 510)
    for size in (1, 4):
        parts = [whole.job.compute(np.arange(7)[at : at + size]) for at in range(0, 7, size)]
        for name, array in arrays.items():
            joined = np.concatenate([part[name] for part in parts])
            np.testing.assert_allclose(joined, array, rtol=1e-6)


@pytest.mark.parametrize("most", [1, 45 * 37 * 2, 1 << 20])
def test_batches_have_one_shape_and_few_pixels(context, monkeypatch, most):
    monkeypatch.setitem(native.AT_ONCE, "cpu", most)
    whole = native.Native(
        native.Variant.of(context, systems.as_system(Pooled()), "ddim", 1),
        context.select("test", 7),
    )
    batches = [*whole._batches(np.arange(7))]
    assert sorted(row for rows, _ in batches for row in rows) == [
        row for row, number in enumerate(whole.images.order) if number in KEPT
    ]
    assert all(len(rows) == 1 or images[:, 0].numel() <= most for rows, images in batches)
    # both of 45 x 37 and 47 x 36 are cut to 44 x 36
    assert len(batches) == {1: 5, 45 * 37 * 2: 4, 1 << 20: 3}[most]


def test_protocols_differ_from_ordinary_ones_and_between_strides(context):
    fine, coarse = measured(context), measured(context, Coarse())
    context.options = TaskOptions()
    ordinary = rows(BENCHMARK, context, [systems.as_system(Pooled())])
    ordinary = {row.metric: row for row in ordinary if row.table == TABLE1}
    for metric in ("psnr", "rfd_effnet", "rkd_effnet", "precision_effnet"):
        assert metric in fine and fine[metric].measured_by["transform"]["stride"] == 4
        assert len({rows[metric].protocol for rows in (fine, coarse, ordinary)}) == 3
    resized = replace(context, dataset=context.dataset.at(16), store=MemoryStore())
    other = measured(resized)  # the size of the comparison decides nothing
    assert {name: row.protocol for name, row in other.items()} == {
        name: row.protocol for name, row in fine.items()
    }
    assert other["psnr"].value == fine["psnr"].value
    assert "compared_at" not in other["psnr"].measured_by.get("model", {})


def test_what_has_one_size_says_so(context, folder, patches):
    (row,) = rows(BENCHMARK, replace(context, options=TaskOptions(native=True)), [OneSize()])
    assert row.value is None and "has no stride" in row.note and "without --native" in row.note
    arrays = IdxImages(folder, np.zeros((7, 28, 28), np.uint8), np.zeros(7, np.uint8))
    context = replace(context, dataset=replace(context.dataset, source=arrays))
    (row,) = rows(BENCHMARK, replace(context, options=TaskOptions(native=True)), [Pooled()])
    assert row.value is None and row.note.startswith("the images of val have been resized, or are")
    how = {"profile": "smoke", "stand_ins": True, "progress": False, "native": True}
    with pytest.raises(UserError, match="^--native: is of reconstruction, which is not asked for"):
        evaluate(Pooled(), "cost", data=folder, **how)
    with pytest.raises(
        UserError, match="^--keep: is of images of one size; leave it out, or --nat"
    ):
        evaluate(Pooled(), "reconstruction", data=folder, keep=1, **how)


def test_a_dry_run_counts_each_image_once(context):
    context.options = TaskOptions(native=True)
    data = context.dataset
    context.dataset = unread(replace(data, source=Subset(data.source, np.arange(7))), False)
    planned, refused = collect(context, ["reconstruction"], [systems.as_system(Pooled())])
    (work,) = planned
    assert work.job.calls.encoder == work.job.calls.decoder == work.job.calls.perceptual == 1
    assert work.job.calls.features == 2 and work.units == 7 and not refused
