"""Pixel-wise fidelity: MSE and PSNR, as in the paper's Tables 1 and 2.

Also how all metrics see images: clamped, and resized where sizes differ.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def seen(images: Tensor) -> Tensor:
    """Images as every metric sees them: clamped to [-1, 1].

    A decoder that overshoots is scored on the picture that would be shown or saved, by each metric
    alike. Nothing is rounded to 8 bits here; metrics that need it say so.
    """
    return images.clamp(-1, 1)


def to_unit(images: Tensor) -> Tensor:
    """Map images from [-1, 1] to [0, 1], clamped as `seen` says."""
    return seen(images).add(1).div(2)


def resize(images: Tensor, size: int) -> Tensor:
    """Square images resized to `size` px: bilinear, antialiased; unchanged if they have that size."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error per image, in [0, 1] units, over pixels and channels.

    Takes N x 3 x H x W in [-1, 1] and returns [N].
    """
    return squared_error(to_unit(a), to_unit(b))


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference [N] of numbers N x C x H x W."""
    return (a - b).square().flatten(1).mean(1)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio per image in dB: -10 log10(MSE) at peak 1. Equal images: infinity.

    Takes N x 3 x H x W in [-1, 1] and returns [N].
    """
    return -10 * torch.log10(mse(a, b))
