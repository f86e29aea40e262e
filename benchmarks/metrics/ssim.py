"""Structural similarity, in the two conventions that published numbers follow.

Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004:

           (2 mu_a mu_b + C1) (2 sigma_ab + C2)
    SSIM = ---------------------------------------------------
           (mu_a^2 + mu_b^2 + C1) (sigma_a^2 + sigma_b^2 + C2)

with local moments under an 11 x 11 Gaussian window. `ssim` pads the images with zeros, as the code
behind the paper's Tables 1 and 2 does; `ssim_valid` keeps to windows that lie inside the image, as
MATLAB, scikit-image and piq do. They differ by a few hundredths on noisy images: never compare one
with the other.
"""

import math

import torch
from torch import Tensor

from benchmarks.metrics.pixel import to_unit

RADIUS, SIGMA = 5, 1.5
C1, C2 = 0.01**2, 0.03**2


def _window(size: int, device: torch.device) -> Tensor:
    """The Gaussian along one side of an image, as a matrix [size, size]; zeros lie outside."""
    x = torch.arange(size, dtype=torch.float64, device=device)
    offset = x[:, None] - x
    normaliser = sum(math.exp(-(k**2) / (2 * SIGMA**2)) for k in range(-RADIUS, RADIUS + 1))
    weights = torch.exp(-offset.square() / (2 * SIGMA**2)) / normaliser
    return weights.where(offset.abs() <= RADIUS, 0.0)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM per image in the paper's convention: zero padding, mean over map and channels.

    Takes N x 3 x H x W in [-1, 1], compared in [0, 1], and returns float64 [N] in [-1, 1]. The
    variances are small differences of large numbers: in float32 a bright flat background alone is
    wrong by 1e-4, so this is float64.
    """
    a, b = to_unit(a.double()), to_unit(b.double())
    rows, columns = (_window(size, a.device) for size in a.shape[-2:])

    def local_mean(images: Tensor) -> Tensor:
        return rows @ images @ columns

    mean_a, mean_b = local_mean(a), local_mean(b)
    variance_a = local_mean(a * a) - mean_a * mean_a
    variance_b = local_mean(b * b) - mean_b * mean_b
    covariance = local_mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1)
    structure = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return (luminance * structure).flatten(1).mean(1)


def ssim_valid(a: Tensor, b: Tensor) -> Tensor:
    """SSIM per image over the windows inside the image: piq's, without its downsampling.

    Takes N x 3 x H x W in [-1, 1] with H, W >= 11 and returns float64 [N] in [-1, 1]: float64 for
    the reason that `ssim` gives, and equal to scikit-image's to 1e-9.
    """
    from piq import ssim as piq_ssim

    a, b = to_unit(a.double()), to_unit(b.double())
    return piq_ssim(a, b, data_range=1.0, downsample=False, reduction="none")
