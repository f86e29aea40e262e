"""Metrics of pairs of images that need no network: a function and an entry here for each.

Functions take images N x 3 x H x W in [-1, 1] twice and return float64 [N].
"""

from collections.abc import Callable

from torch import Tensor

from benchmarks.metrics import pixel, ssim

PLAIN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ssim": ssim.ssim,
    "ssim_valid": ssim.ssim_valid,
    "mse": pixel.mse,
    "psnr": pixel.psnr,
    "ms_ssim": ssim.ms_ssim,
}
# How they are described in a protocol, where a name is not enough.
DESCRIBED = {
    "ssim": "11 x 11 Gaussian, sigma 1.5, zero padding, range [0, 1]",
    "ssim_valid": "11 x 11 Gaussian, sigma 1.5, valid windows, range [0, 1] (piq, no downsampling)",
    "ms_ssim": "5 scales, 11 x 11 Gaussian, sigma 1.5, valid windows",
}
