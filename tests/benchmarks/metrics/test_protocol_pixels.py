"""The pixels that protocols compute with, against the libraries that scale and the casts that round."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import normalize, to_tensor

from benchmarks.metrics.protocols.pixels import MEAN, STD, from_zero_to_one, of_side
from benchmarks.metrics.protocols.schema import Pixels, named
from diffae.eight_bit import to_uint8

NUMPYS, NORMALISED, PLAIN, IMAGENET = (
    Pixels(scaling=scaling)
    for scaling in (
        "x / 127.5 - 1",
        "(x / 255 - 0.5) / 0.5",
        "x / 255",
        "ImageNet's mean and std",
    )
)
ALL = (NUMPYS, NORMALISED, PLAIN, IMAGENET)


@pytest.fixture(scope="module")
def levels() -> torch.Tensor:
    """An image of every grey level, uint8 1 x 3 x 16 x 16."""
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)


@pytest.fixture(scope="module")
def decoded() -> torch.Tensor:
    """What a decoder gives, float32 2 x 3 x 64 x 64, some of it beyond [-1, 1]."""
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.7


@pytest.mark.parametrize(("pixels", "fallen"), [*zip(ALL, (95, 63, 0, (104, 26, 94)), strict=True)])
def test_levels_of_an_untouched_image_that_truncation_lowers(levels, pixels, fallen):
    found = from_zero_to_one(levels, pixels, "truncated").mul(255).round().byte()
    lost = levels.int() - found.int()
    assert set(lost.unique().tolist()) <= {0, 1}
    assert lost.sum((0, 2, 3)).tolist() == torch.tensor(fallen).expand(3).tolist()


@pytest.mark.parametrize("pixels", ALL)
@pytest.mark.parametrize("rounding", ["half up", "half to even"])
def test_rounding_restores_an_untouched_image(levels, pixels, rounding):
    assert torch.equal(from_zero_to_one(levels, pixels, rounding), levels.float() / 255)


def test_pixels_are_those_of_the_codes(levels):
    """Of NumPy, and of torchvision's ToTensor and Normalize, bit for bit."""
    picture = levels[0].permute(1, 2, 0).numpy()
    theirs = torch.from_numpy((picture / 127.5 - 1).astype(np.float32)).permute(2, 0, 1)
    halves, scaled = [0.5] * 3, normalize(to_tensor(picture), MEAN, STD)
    back = normalize(scaled, [-m / s for m, s in zip(MEAN, STD, strict=True)], [1 / s for s in STD])
    expected = {
        NUMPYS: (theirs + 1) / 2,
        NORMALISED: (normalize(to_tensor(picture), halves, halves) + 1) / 2,
        PLAIN: to_tensor(picture),
        IMAGENET: back.clamp(0, 1),
    }
    for pixels, image in expected.items():
        assert torch.equal(from_zero_to_one(levels, pixels, "none")[0], image), pixels
    assert (from_zero_to_one(levels, IMAGENET, "none", clamped=False)[0] == back).all()


@pytest.mark.parametrize("pixels", ALL)
def test_what_a_decoder_gives_is_cast_as_by_the_codes(decoded, pixels):
    cast = {
        "half up": (127.5 * decoded + 128).clamp(0, 255).to(torch.uint8),
        "truncated": ((decoded.clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8),
        "half to even": to_uint8(decoded),
    }
    for rounding, expected in cast.items():
        assert torch.equal(from_zero_to_one(decoded, pixels, rounding), expected.float() / 255)


def test_clamping(decoded):
    unit = (decoded + 1) / 2
    assert torch.equal(from_zero_to_one(decoded, NUMPYS, "none"), unit.clamp(0, 1))
    beyond = from_zero_to_one(decoded, NUMPYS, "none", clamped=False)
    assert torch.equal(beyond, unit) and beyond.min() < 0 and beyond.max() > 1


def test_originals_are_untouched_where_only_reconstructions_are_rounded(levels):
    """LlamaGen compares 8-bit reconstructions with floats; files of them are rounded already."""
    plain, decoded = named("plain"), (levels.double() / 127.5 - 1).float()
    for rounded, same in (("reconstruction", False), ("both", True)):
        psnr = replace(plain.psnr, rounding="truncated", rounded=rounded)
        protocol = replace(plain, psnr=psnr)
        original = of_side(levels, protocol, "psnr", originals=True)
        made = of_side(decoded, protocol, "psnr", originals=False)
        assert torch.equal(made, from_zero_to_one(decoded, NUMPYS, "truncated"))
        assert torch.equal(made, original) == same
        assert torch.equal(of_side(levels, protocol, "psnr", originals=False), original)


def test_a_metric_that_does_not_clamp_sees_what_the_decoder_gave(decoded):
    plain = named("plain")
    protocol = replace(plain, lpips=replace(plain.lpips, clamped=False))
    assert of_side(decoded, protocol, "lpips", originals=False).max() > 1
    assert of_side(decoded, protocol, "ssim", originals=False).max() == 1
