"""Pixel errors and SSIM against closed forms, a direct convolution in float64 and piq."""

import math

import numpy as np
import piq
import pytest
import torch
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

from benchmarks.metrics.pixel import mse, psnr, to_unit
from benchmarks.metrics.ssim import ssim, ssim_valid


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


def ssim_by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """One channel in [0, 1], the full two-dimensional window, zeros outside the image."""
    x = np.arange(11) - 5
    window = np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def local(image):
        return convolve2d(image, window, mode="same", boundary="fill", fillvalue=0)

    ma, mb = local(a), local(b)
    va, vb, vab = local(a * a) - ma**2, local(b * b) - mb**2, local(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * ma * mb + c1) * (2 * vab + c2)
    return float((top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def test_mse_and_psnr_of_constant_images():
    black, grey = torch.full((2, 3, 8, 8), -1.0), torch.zeros(2, 3, 8, 8)
    torch.testing.assert_close(mse(black, grey), torch.tensor([0.25, 0.25]))
    torch.testing.assert_close(psnr(black, grey), torch.full((2,), 10 * math.log10(4)))


def test_psnr_of_equal_images_is_infinite(pair):
    assert psnr(pair[0], pair[0]).isinf().all()


def test_psnr_equals_piq(pair):
    a, b = (x[1:] / 2 + 0.5 for x in pair)
    torch.testing.assert_close(psnr(*pair)[1:], piq.psnr(a, b, reduction="none"), atol=1e-3, rtol=0)


def test_an_overshooting_decoder_is_scored_as_it_would_be_seen():
    white = torch.ones(1, 3, 4, 4)
    assert mse(white, white * 1.5).item() == 0


def test_ssim_equals_a_direct_convolution(pair):
    a, b = ((x.double().numpy() + 1) / 2 for x in pair)
    expected = [
        np.mean([ssim_by_definition(a[i, c], b[i, c]) for c in range(3)]) for i in range(len(a))
    ]
    np.testing.assert_allclose(ssim(*pair).numpy(), expected, atol=1e-5)


def test_ssim_of_flat_images_equals_a_direct_convolution():
    a, b = torch.full((1, 3, 24, 24), 0.9), torch.full((1, 3, 24, 24), 0.8)
    expected = ssim_by_definition(np.full((24, 24), 0.95), np.full((24, 24), 0.9))
    assert ssim(a, b).item() == pytest.approx(expected, abs=1e-5)


def test_ssim_with_itself_is_one(pair):
    for metric in (ssim, ssim_valid):
        torch.testing.assert_close(metric(pair[0], pair[0]), torch.ones(4).double())


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


def test_ssim_valid_is_piq_and_not_the_paper_s(pair):
    a, b = (to_unit(x.double()) for x in pair)
    expected = piq.ssim(a, b, data_range=1.0, downsample=False, reduction="none")
    torch.testing.assert_close(ssim_valid(*pair), expected)
    assert (ssim_valid(*pair) - ssim(*pair))[2].abs() > 0.01
