"""PSNR, SSIM and LPIPS by a protocol, against scikit-image, torchmetrics and the package lpips, and
their averages against closed forms and simulated spreads.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from reference_metrics import lpips_package
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr
from torchmetrics.functional.image import structural_similarity_index_measure as torchmetrics_ssim
from torchvision.transforms.functional import gaussian_blur

from benchmarks.metrics.networks.perceptual import (
    PerceptualDistance,
    lpips_alexnet,
    lpips_vgg16,
)
from benchmarks.metrics.pixel import psnr
from benchmarks.metrics.protocols import pairs
from benchmarks.metrics.protocols.pairs import estimate, scores_of
from benchmarks.metrics.protocols.schema import named
from benchmarks.metrics.ssim import ssim
from benchmarks.metrics.units import Units
from benchmarks.weights import KNOWN
from diffae.eight_bit import to_uint8
from diffae.system.errors import UserError

PLAIN = named("plain")


def by(metric, **fields):
    """`plain` with other fields of a metric."""
    return replace(PLAIN, **{metric: replace(getattr(PLAIN, metric), **fields)})


def average(metric, protocol, scores):
    """The number that a protocol prints, of pairs that are a unit each."""
    return estimate(metric, protocol, scores, Units("some pairs", np.arange(len(scores))))


@pytest.fixture(scope="module")
def originals() -> torch.Tensor:
    """Crops of a photograph, uint8 5 x 3 x 40 x 48; the last is darker, so that its range is less."""
    crops = [torch.from_numpy(data.astronaut()[y : y + 40, 180:228]) for y in range(0, 200, 40)]
    images = torch.stack(crops).permute(0, 3, 1, 2).contiguous()
    return torch.cat([images[:4], images[4:] // 2])


@pytest.fixture(scope="module")
def decoded(originals) -> torch.Tensor:
    """What a decoder gives: blurred, and beyond [-1, 1] in places."""
    blurred = gaussian_blur(originals.float() / 127.5 - 1, 5, 1.0)
    return blurred * torch.tensor([1.3, 1.1, 1.0, 0.9, 1.2]).view(5, 1, 1, 1)


def unit(images: torch.Tensor) -> torch.Tensor:
    """In [0, 1], of files or of what a decoder gives: the numbers of float32, in float64."""
    return ((images / 127.5 - 1 if images.dtype == torch.uint8 else images) + 1).double() / 2


# ----------------------------------------------------------------------------------------------
# Of images


@pytest.mark.parametrize(
    ("fields", "theirs"),
    [
        ({"window": "uniform 7", "covariance": "sample"}, {}),
        ({"window": "uniform 7", "covariance": "sample", "range": "2"}, {"data_range": 2.0}),
        ({"window": "uniform 7"}, {"use_sample_covariance": False}),
        ({"window": "gaussian 11", "covariance": "sample"}, {"gaussian_weights": True}),
        ({}, {"gaussian_weights": True, "use_sample_covariance": False}),
    ],
)
def test_ssim_is_scikit_image_s(originals, decoded, fields, theirs):
    found = scores_of("ssim", by("ssim", padding="valid", **fields), decoded, originals)
    expected = [
        structural_similarity(*pair, channel_axis=0, **{"data_range": 1.0, **theirs})
        for pair in zip(unit(decoded).clamp(0, 1).numpy(), unit(originals).numpy(), strict=True)
    ]
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "data_range"),
    [
        ({}, 1.0),
        ({"range": "of the batch", "batch": 5}, None),
        ({"pixels": "[-1, 1]", "range": "2"}, (-1.0, 1.0)),
        (
            {"pixels": "[-1, 1]", "range": "of the batch", "batch": 5, "clamped": False},
            None,
        ),
    ],
)
def test_ssim_is_torchmetrics_s(originals, decoded, fields, data_range):
    found = scores_of("ssim", by("ssim", padding="reflect", **fields), decoded, originals)
    a, b = unit(decoded), unit(originals)
    a = a if fields.get("clamped", True) is False else a.clamp(0, 1)
    a, b = (2 * x - 1 if "pixels" in fields else x for x in (a, b))
    expected = torchmetrics_ssim(a, b, data_range=data_range, reduction="none")
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_the_range_is_that_of_each_batch(originals, decoded):
    """And of the last one, which is smaller; the last image is dark."""
    protocol = by("ssim", range="of the batch", batch=2, padding="reflect")
    found = scores_of("ssim", protocol, decoded, originals)
    parts = zip(unit(decoded).clamp(0, 1).split(2), unit(originals).split(2), strict=True)
    expected = [torchmetrics_ssim(*pair, data_range=None, reduction="none") for pair in parts]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-6, rtol=0)
    at_once = scores_of("ssim", by("ssim", range="of the batch", batch=5), decoded, originals)
    assert abs(at_once - found)[4] > 1e-3


def test_plain_is_what_is_measured_without_a_protocol(originals, decoded):
    signed = originals.float() / 127.5 - 1
    torch.testing.assert_close(
        scores_of("ssim", PLAIN, decoded, originals), ssim(decoded, signed), atol=1e-6, rtol=0
    )
    found = average("psnr", PLAIN, scores_of("psnr", PLAIN, decoded, originals)).value
    assert found == pytest.approx(float(psnr(decoded, signed).mean()), abs=1e-5)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"padding": "valid"}, 11),
        ({"padding": "reflect"}, 6),
        ({"padding": "zero"}, 1),
        ({"padding": "valid", "window": "uniform 7"}, 7),
    ],
)
def test_images_may_be_too_small_for_the_window(fields, size):
    protocol = by("ssim", **fields)
    images = torch.zeros(1, 3, size, 20)
    assert scores_of("ssim", protocol, images, images).tolist() == pytest.approx([1])
    if size > 1:
        with pytest.raises(UserError, match=f"{size - 1} px.*needs {size} px or more"):
            scores_of("ssim", protocol, images[:, :, 1:], images[:, :, 1:])


class MeanSquare(nn.Module):
    """In the place of LPIPS."""

    def forward(self, a, b):
        return (a - b).square().mean((1, 2, 3), keepdim=True)


def test_a_distance_is_of_pixels_in_minus_one_to_one(originals, decoded):
    """Clamped or not, rounded or not, each of what the protocol says."""
    names = "a name", "lpips", "alexnet", "none", "0" * 64
    distance = PerceptualDistance(*names, torch.device("cpu"), MeanSquare())
    signed, files = originals / 127.5 - 1, to_uint8(decoded) / 127.5 - 1
    expected = {
        (True, "none"): decoded.clamp(-1, 1),
        (False, "none"): decoded,
        (True, "half to even"): files,
    }
    for (clamped, rounding), made in expected.items():
        protocol = by("lpips", clamped=clamped, rounding=rounding)
        found = scores_of("lpips", protocol, decoded, originals, distance)
        squares = (made - signed).double().square().flatten(1).mean(1)
        torch.testing.assert_close(found, squares, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("metric", "fields"),
    [
        ("psnr", {"error": "halved"}),
        ("ssim", {"pixels": "[-1, 1]", "range": "2"}),
        ("ssim", {"pixels": "[-1, 1]", "range": "of the batch", "batch": 2, "clamped": False}),
        ("lpips", {"clamped": False}),
    ],
)
def test_a_pair_at_a_time_has_the_scores_of_all_together(
    originals, decoded, monkeypatch, metric, fields
):
    seen = []

    def distance(a, b, *, clamped):
        assert not clamped  # the pixels are as the protocol says
        seen.append(len(a))
        return (a - b).square().mean((1, 2, 3))

    given = metric, by(metric, **fields), decoded, originals, distance
    together = scores_of(*given)
    monkeypatch.setattr(pairs, "AT_ONCE", originals[0, 0].numel())
    assert torch.equal(scores_of(*given), together)
    assert seen == ([5, 1, 1, 1, 1, 1] if metric == "lpips" else [])


@pytest.mark.slow  # two networks are built twice
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_of_what_a_decoder_gave(originals, decoded, weights_dir, light_vgg16, net):
    load, trunk = {"alex": (lpips_alexnet, "alexnet"), "vgg": (lpips_vgg16, "vgg16")}[net]
    distance = load(weights_dir / KNOWN[trunk].files[-1].filename, torch.device("cpu"))
    theirs = lpips_package(net, weights_dir)
    for side in (distance.smallest, distance.smallest - 1):
        images = torch.zeros(1, 3, 40, side)
        if side == distance.smallest:  # the network itself says what the least size is
            assert distance(images, images).item() == 0
            continue
        with pytest.raises(RuntimeError, match="too small"):
            distance.module(images, images)
        with pytest.raises(UserError, match=f"images of {side} x 40 px: lpips .* needs {side + 1}"):
            distance(images, images)
    signed = originals.float() / 127.5 - 1
    for clamped, made in ((True, decoded.clamp(-1, 1)), (False, decoded)):
        protocol = by("lpips", trunk=trunk, clamped=clamped)
        found = scores_of("lpips", protocol, decoded, originals, distance)
        with torch.inference_mode():
            expected = theirs(made, signed).flatten().double()
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


# ----------------------------------------------------------------------------------------------
# Over images


def psnr_of(made, originals, **fields) -> float:
    """Of pixels x / 255."""
    protocol = replace(by("psnr", **fields), pixels=replace(PLAIN.pixels, scaling="x / 255"))
    return average("psnr", protocol, scores_of("psnr", protocol, made, originals)).value


def test_psnr_of_an_image_a_batch_and_all(originals, decoded):
    files = to_uint8(decoded)
    a, b = ((x.float() / 255).double() for x in (files, originals))
    of_each = [
        peak_signal_noise_ratio(y.numpy(), x.numpy(), data_range=1)
        for x, y in zip(a, b, strict=True)
    ]
    assert psnr_of(files, originals) == pytest.approx(np.mean(of_each), abs=1e-6)
    batches = [
        float(torchmetrics_psnr(*pair, data_range=1.0))
        for pair in zip(a.split(2), b.split(2), strict=True)
    ]
    found = psnr_of(files, originals, of="batch", batch=2)
    assert found == pytest.approx(np.mean(batches), rel=1e-6)
    expected = float(torchmetrics_psnr(a, b, data_range=1.0))
    assert psnr_of(files, originals, of="all") == pytest.approx(expected, rel=1e-6)
    assert len({round(x, 3) for x in (np.mean(of_each), found, expected)}) == 3


@pytest.mark.parametrize("of", ["image", "batch", "all"])
def test_halving_the_error_adds_6_dB(originals, decoded, of):
    plain, halved = (
        psnr_of(decoded, originals, of=of, batch=2, error=error)
        for error in ("of pixels in [0, 1]", "halved")
    )
    assert halved - plain == pytest.approx(20 * math.log10(2), abs=1e-9)


def test_the_mean_of_batches_of_which_the_last_is_small():
    values = torch.tensor([1.0, 2, 3, 4, 6], dtype=torch.float64)
    for metric in ("ssim", "lpips"):
        assert average(metric, PLAIN, values).value == pytest.approx(16 / 5)
        assert average(metric, by(metric, batch=2), values).value == pytest.approx(11 / 3)
    mean = average("psnr", by("psnr", batch=2), 10 ** (-values / 10))
    assert mean.value == pytest.approx(11 / 3)
    of_batch = average("psnr", by("psnr", of="batch", batch=2), 10 ** (-values / 10))
    errors = [(10**-0.1 + 10**-0.2) / 2, (10**-0.3 + 10**-0.4) / 2, 10**-0.6]
    assert of_batch.value == pytest.approx(np.mean(-10 * np.log10(errors)))
    (of_batches,) = of_batch.influences
    assert of_batches.units.startswith("batches:") and len(of_batches.values) == 3


@pytest.mark.filterwarnings("error")
def test_equal_images():
    errors = torch.tensor([0.0, 1e-2, 1e-4], dtype=torch.float64)
    for fields in ({}, {"batch": 2}, {"of": "batch"}):
        found = average("psnr", by("psnr", **fields), errors)
        assert found.value == math.inf and found.stderr is None
    found = average("psnr", by("psnr", equal_images="100 dB"), errors)
    assert found.value == pytest.approx(160 / 3) and found.stderr > 0
    small = torch.tensor([0.0, 1e-11, 3e-10, 1e-4], dtype=torch.float64)
    for name, least in (
        ("maskbit", [1e-10, 1.1e-10, 4e-10, 1e-4 + 1e-10]),  # 1e-10 added
        ("rae", [1e-10, 1e-10, 3e-10, 1e-4]),  # torch.clamp(min=1e-10)
    ):
        found = average("psnr", named(name), small)
        assert found.value == pytest.approx(np.mean(-10 * np.log10(least)), rel=1e-12)
    one_error = average("psnr", by("psnr", of="all"), errors)
    assert one_error.value == pytest.approx(-10 * math.log10(1.01e-2 / 3))
    all_equal = average("psnr", by("psnr", of="all"), torch.zeros(3))
    assert all_equal.value == math.inf and all_equal.stderr is None
    all_but_one = average("psnr", by("psnr", of="all"), torch.tensor([0.0, 0.0, 3e-2]))
    assert all_but_one.value == pytest.approx(20) and all_but_one.stderr is None


@pytest.mark.parametrize("of", ["image", "batch", "all"])
def test_a_single_image_has_no_error(of):
    found = average("psnr", by("psnr", of=of), torch.tensor([0.1], dtype=torch.float64))
    assert found.value == pytest.approx(10) and found.stderr is None


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 40),
        ({"batch": 16}, 40),
        ({"batch": 16}, 33),  # the last image weighs a third
        ({"of": "batch", "batch": 8}, 60),
        ({"of": "all"}, 40),
    ],
)
def test_errors_are_the_spread_over_draws(fields, count):
    """Of 1,500 draws of images: the spread is known to 2 %, their errors' mean square to less."""
    rng, protocol = np.random.default_rng(0), by("psnr", **fields)
    draws = torch.from_numpy(np.exp(rng.normal(-6, 1, (1500, count))))
    found = [average("psnr", protocol, errors) for errors in draws]
    spread = np.std([x.value for x in found])
    error = np.sqrt(np.mean([np.square(x.stderr) for x in found]))
    assert error / spread == pytest.approx(1, abs=0.08)
