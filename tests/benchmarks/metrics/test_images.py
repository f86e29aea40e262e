"""Pixel errors and SSIM against closed forms, a direct convolution in float64 and piq."""

import math

import piq
import pytest
import reference_metrics
import torch
from skimage.metrics import structural_similarity

from benchmarks.metrics import ssim as ssim_module
from benchmarks.metrics.pixel import mse, psnr
from benchmarks.metrics.ssim import REFLECT, VALID, ZERO, similarity, ssim, ssim_valid


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 3, 6, 7, generator=generator) * 1.6 - 0.8
    images = torch.nn.functional.interpolate(coarse, size=(30, 37), mode="bicubic")
    noise = torch.randn(images.shape, generator=generator)
    scale = torch.tensor([0.0, 0.02, 0.2, 0.6]).view(4, 1, 1, 1)
    return images.clamp(-1, 1), (images + scale * noise).clamp(-1, 1)


def randn(side: int) -> torch.Tensor:
    return torch.randn(3, side, side, generator=torch.Generator().manual_seed(1))


def test_mse_and_psnr_of_constant_images():
    black, grey = torch.full((2, 3, 8, 8), -1.0), torch.zeros(2, 3, 8, 8)
    torch.testing.assert_close(mse(black, grey), torch.tensor([0.25, 0.25]))
    torch.testing.assert_close(psnr(black, grey), torch.full((2,), 10 * math.log10(4)))


def test_psnr_equals_piq(pair):
    a, b = (x[1:] / 2 + 0.5 for x in pair)
    torch.testing.assert_close(psnr(*pair)[1:], piq.psnr(a, b, reduction="none"), atol=1e-3, rtol=0)


def test_ssim_equals_a_direct_convolution(pair):
    flat = torch.full((1, 3, 24, 24), 0.9), torch.full((1, 3, 24, 24), 0.8)
    for images in (pair, flat):
        expected = reference_metrics.ssim(*((x.double() + 1) / 2 for x in images))
        torch.testing.assert_close(ssim(*images), expected, atol=1e-5, rtol=0)


def test_ssim_valid_equals_scikit_image(pair):
    """In float32 it was wrong by 1e-5 where an image is flat and bright."""
    pairs = [*zip(*pair, strict=True)]
    pairs.append((torch.full((3, 24, 24), 0.9), torch.full((3, 24, 24), 0.9) - 1e-3 * randn(24)))
    for a, b in pairs:
        expected = structural_similarity(
            *(((x.double() + 1) / 2).numpy() for x in (a, b)),
            data_range=1.0,
            channel_axis=0,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        assert ssim_valid(a[None], b[None]).item() == pytest.approx(expected, abs=1e-8)


def test_the_memory_of_ssim_grows_with_the_pixels_not_with_the_square_of_a_side():
    """A matrix over this side would take 320 GB. SSIM of constant images is its luminance term."""
    a, b, c1 = 0.75, 0.5, 0.01**2
    images = (torch.full((1, 1, 11, 200_000), 2 * x - 1) for x in (a, b))
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim_valid(*images).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("at_once", [37 * 7, 30 * 37 * 5], ids=["7 rows", "5 planes"])
@pytest.mark.parametrize("padding", [ZERO, VALID])
def test_ssim_of_some_rows_at_a_time_is_that_of_all(pair, monkeypatch, padding, at_once):
    """7 rows divide neither the 20 places of VALID windows nor 30; 5 planes do not divide 12."""
    expected = similarity(*pair, padding=padding)
    monkeypatch.setattr(ssim_module, "AT_ONCE", at_once)
    torch.testing.assert_close(similarity(*pair, padding=padding), expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("padding", [ZERO, REFLECT, VALID])
def test_gradients_of_ssim_are_those_of_finite_differences(padding, monkeypatch):
    monkeypatch.setattr(ssim_module, "AT_ONCE", 2 * 13)
    generator = torch.Generator().manual_seed(2)
    a, b = torch.rand(2, 1, 1, 12, 13, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: similarity(x, b, padding=padding), a.requires_grad_(), fast_mode=True
    )
