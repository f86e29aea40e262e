"""Structural similarity, in the two conventions that published numbers follow.

Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004:

    SSIM = (2 mu_a mu_b + C1) (2 sigma_ab + C2) / ((mu_a^2 + mu_b^2 + C1) (sigma_a^2 + sigma_b^2 + C2))

with local moments under an 11 x 11 Gaussian window. `ssim` pads the images with zeros, as the code behind the
paper's Tables 1 and 2 does; `ssim_valid` keeps to windows that lie inside the image, as MATLAB, scikit-image
and piq do. They differ by a few hundredths on noisy images: never compare one with the other.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.metrics.pixel import to_unit

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def _gaussian(device: torch.device) -> Tensor:
    x = torch.arange(WINDOW, dtype=torch.float64, device=device) - WINDOW // 2
    weights = torch.exp(-x.square() / (2 * SIGMA**2))
    return weights / weights.sum()


def _local_mean(images: Tensor, window: Tensor) -> Tensor:
    """Gaussian average around every pixel, zeros outside the image; the window is separable."""
    channels, half = images.shape[1], WINDOW // 2
    rows = window.view(1, 1, WINDOW, 1).expand(channels, 1, WINDOW, 1)
    columns = rows.transpose(2, 3)
    images = F.conv2d(images, rows, padding=(half, 0), groups=channels)
    return F.conv2d(images, columns, padding=(0, half), groups=channels)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM per image in the paper's convention: zero padding, mean over map and channels.

    Takes N x 3 x H x W in [-1, 1], compared in [0, 1], and returns [N] in [-1, 1]. The variances are small
    differences of large numbers: in float32 a bright flat background alone is wrong by 1e-4, so this is float64.
    """
    a, b = to_unit(a).double(), to_unit(b).double()
    window = _gaussian(a.device)
    mean_a, mean_b = _local_mean(a, window), _local_mean(b, window)
    variance_a = _local_mean(a * a, window) - mean_a * mean_a
    variance_b = _local_mean(b * b, window) - mean_b * mean_b
    covariance = _local_mean(a * b, window) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1)
    structure = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return (luminance * structure).flatten(1).mean(1).float()


def ssim_valid(a: Tensor, b: Tensor) -> Tensor:
    """SSIM per image over the windows inside the image: piq's, without its downsampling.

    Takes float32 N x 3 x H x W in [-1, 1] with H, W >= 11 and returns [N] in [-1, 1].
    """
    from piq import ssim as piq_ssim

    return piq_ssim(to_unit(a), to_unit(b), data_range=1.0, downsample=False, reduction="none")
