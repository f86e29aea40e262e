"""Structural similarity, in the conventions that published numbers follow.

Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004:

           (2 mu_a mu_b + C1) (2 sigma_ab + C2)
    SSIM = ---------------------------------------------------
           (mu_a^2 + mu_b^2 + C1) (sigma_a^2 + sigma_b^2 + C2)

with local moments under a window, C1 = (0.01 L)^2 and C2 = (0.03 L)^2 for numbers of a range L.

`ssim` and `ssim_valid` have the paper's window, an 11 x 11 Gaussian of sigma 1.5. `ssim` pads the
images with zeros, as the code behind the paper's Tables 1 and 2 does; `ssim_valid` keeps to windows
that lie inside the image, as MATLAB, scikit-image and piq do. They differ by a few hundredths on
noisy images: never compare one with the other. `similarity` has the other conventions too, `ms_ssim`
is of several scales.

The variances are small differences of large numbers: in float32 a bright flat background alone is
wrong by 1e-4, so all of this is float64.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from benchmarks.metrics.pixel import to_unit
from diffae.system.errors import UserError

RADIUS, SIGMA = 5, 1.5
# The powers of MS-SSIM's five scales, the finest first; its window still fits a side of 161 px at the last.
POWERS, SMALLEST = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), 161
K1, K2 = 0.01, 0.03
AT_ONCE = 1 << 16  # pixels of a channel that are compared at a time on a CPU
GAUSSIAN, UNIFORM = "gaussian 11", "uniform 7"
ZERO, REFLECT, VALID = "zero", "reflect", "valid"


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM per image in the paper's convention: zero padding, mean over map and channels.

    Takes N x 3 x H x W in [-1, 1], compared in [0, 1], and returns float64 [N] in [-1, 1].
    """
    return similarity(to_unit(a.double()), to_unit(b.double()))


def ssim_valid(a: Tensor, b: Tensor) -> Tensor:
    """SSIM per image over the windows inside the image, equal to scikit-image's to 1e-9.

    Takes N x 3 x H x W in [-1, 1] and returns float64 [N] in [-1, 1]. Raises UserError for images
    of less than 11 px.
    """
    return similarity(to_unit(a.double()), to_unit(b.double()), padding=VALID)


def similarity(
    a: Tensor,
    b: Tensor,
    window: str = GAUSSIAN,
    padding: str = ZERO,
    span: float = 1.0,
    sample: bool = False,
) -> Tensor:
    """SSIM per image of numbers N x C x H x W with a range of `span`, float64 [N].

    `window` is GAUSSIAN or UNIFORM (7 x 7), `padding` ZERO, REFLECT or VALID (none). With `sample`,
    variances and covariance are divided by the number of a window's pixels less one, as by
    scikit-image unless told otherwise. Raises UserError for images that are too small for the
    window.
    """
    return _means(a.double(), b.double(), window, padding, span, sample)[0].mean(1)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """MS-SSIM per image, with five scales and windows inside the image, equal to piq's.

    Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality assessment",
    2003, eq. 7: the mean structure of the four finer scales and the mean SSIM of the last, each to
    its power, multiplied; the mean over channels. A negative mean counts as 0. Takes N x 3 x H x W
    in [-1, 1] and returns float64 [N] in [0, 1]. Raises UserError if H or W is below 161.
    """
    if reason := too_small(*a.shape[-2:]):
        raise UserError(reason)
    a, b = to_unit(a.double()), to_unit(b.double())
    product = torch.ones(a.shape[:2], dtype=torch.float64, device=a.device)
    for scale, power in enumerate(POWERS):
        if scale:
            a, b = _halved(a), _halved(b)
        whole, structure = _means(a, b, GAUSSIAN, VALID, span=1.0, sample=False)
        mean = structure if scale < len(POWERS) - 1 else whole
        product *= mean.clamp(min=0) ** power
    return product.mean(1)


def too_small(height: int, width: int) -> str:
    """Why images of this size have no MS-SSIM; empty if they have one."""
    if min(height, width) >= SMALLEST:
        return ""
    return f"MS-SSIM needs images of {SMALLEST} px or more, not {width} x {height}"


def too_small_for(window: str, padding: str, height: int, width: int) -> str:
    """Why images of this size have no SSIM with a window; empty if they have one."""
    length = len(_weights(window))
    smallest = {ZERO: 1, REFLECT: length // 2 + 1, VALID: length}[padding]
    if min(height, width) >= smallest:
        return ""
    return (
        f"images of {width} x {height} px: SSIM with a window of {length} px ({padding}) needs "
        f"{smallest} px or more"
    )


def _halved(images: Tensor) -> Tensor:
    """Images at half the size, by means of 2 x 2 pixels; an odd size is padded as by piq."""
    odd = max(size % 2 for size in images.shape[-2:])
    return avg_pool2d(pad(images, (odd, 0, odd, 0), "replicate"), 2)


def _means(
    a: Tensor, b: Tensor, window: str, padding: str, span: float, sample: bool
) -> tuple[Tensor, Tensor]:
    """SSIM, and its structure (with the contrast) alone: means [N, C] over the places of a channel.

    On a CPU a few rows at a time are compared, whose moments the cache holds.
    """
    if reason := too_small_for(window, padding, *a.shape[-2:]):
        raise UserError(reason)
    weights = _weights(window).tolist()
    radius, pixels = len(weights) // 2, len(weights) ** 2
    if padding != VALID:
        mode = "constant" if padding == ZERO else "reflect"
        a, b = (pad(images, (radius,) * 4, mode) for images in (a, b))
    scale = pixels / (pixels - 1) if sample else 1.0
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2

    def sums(a: Tensor, b: Tensor) -> Tensor:
        """The sums [2, k] over the places of some planes k x H x W."""
        products = (a, b, a * a + b * b, a * b)  # of the variances only the sum is needed
        mean_a, mean_b, both, ab = (_local_mean(x, weights) for x in products)
        product, squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
        structure = (2 * scale * (ab - product) + c2) / (scale * (both - squares) + c2)
        luminance = (2 * product + c1) / (squares + c1)
        return torch.stack([(luminance * structure).sum((1, 2)), structure.sum((1, 2))])

    height, width = a.shape[-2:]
    most = AT_ONCE if a.device.type == "cpu" else a.numel()
    rows, planes = max(most // width, 1), max(most // (height * width), 1)
    places = height - 2 * radius
    totals = []
    for x, y in zip(*(side.flatten(0, 1).split(planes) for side in (a, b)), strict=True):
        total = x.new_zeros(2, len(x))
        for top in range(0, places, rows):
            part = slice(top, min(top + rows, places) + 2 * radius)
            total = total + sums(x[:, part], y[:, part])
        totals.append(total)
    means = torch.cat(totals, 1) / (places * (width - 2 * radius))
    whole, structure = means.unflatten(1, a.shape[:2])
    return whole, structure


def _weights(window: str) -> Tensor:
    """The window along one side of an image; they sum to 1."""
    if window == UNIFORM:
        return torch.full((7,), 1 / 7, dtype=torch.float64)
    offset = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    normaliser = sum(math.exp(-(k**2) / (2 * SIGMA**2)) for k in range(-RADIUS, RADIUS + 1))
    return torch.exp(-offset.square() / (2 * SIGMA**2)) / normaliser


def _local_mean(planes: Tensor, weights: Sequence[float]) -> Tensor:
    """The mean of the window at each place: a sum of shifted planes along each side."""
    for side in (-2, -1):
        places = planes.shape[side] - len(weights) + 1
        total = planes.narrow(side, 0, places) * weights[0]
        for k, weight in enumerate(weights[1:], 1):
            total.add_(planes.narrow(side, k, places), alpha=weight)
        planes = total
    return planes
