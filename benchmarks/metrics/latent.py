"""Numbers of a space of codes that are said to predict how well a generator of codes will do.

iFID (Xu et al., 2026, arXiv 2603.05630; tongdaxu/Making-rFID-Predictive-of-Diffusion-gFID@0842fdf
evalvae.py, main, lines 225-336): a code is moved halfway to a code of a training image, which is drawn
from its nearest ones. `nearest`, `drawn` and `halfway` are these three steps.

Spectrum matching (Ning et al., 2026, arXiv 2603.14645; forever208/SpectrumMatching@2dc7340
utils_DCT.py, latent_spectral_reg_dct): the power of a map of codes by frequency, compared with that of the image.

Codes are flattened here: N x d, float32.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from benchmarks.metrics.group import Group
from benchmarks.metrics.units import Units
from diffae.diffusion.interpolation import lerp, slerp
from reports.records.estimate import Estimate

CANDIDATES = 10  # training codes, of which one is drawn
RANGE = 3.0  # standard deviations on either side of the mean that a quantised number can have
BINS = 16  # of frequencies
BLUR, RADIUS = 1.2, 3  # of an image before it gets the size of a map, in pixels
SHARP = 32  # px: the height of the maps for which images are not blurred
TINY = 1e-8

Floats = NDArray[np.floating]


def nearest(codes: Tensor, training: Tensor, spherical: bool, count: int = CANDIDATES) -> Tensor:
    """Indices N x count of the nearest of the codes M x d of training images, the nearest first.

    The nearest have the largest cosine or, if not `spherical`, the least squared distance. Both are
    computed in float64 and rounded to float32, so that codes at equal distances are taken in the order
    of `training` on every processor and in every batch. Codes of tokens often have equal distances.
    """
    codes, training = codes.double(), training.double()
    if spherical:
        closeness = F.normalize(codes, dim=1) @ F.normalize(training, dim=1).T
    else:
        closeness = 2 * codes @ training.T - training.square().sum(1)
    return closeness.float().argsort(dim=1, descending=True, stable=True)[:, :count]


def drawn(codes: Tensor, candidates: Tensor, uniform: Tensor) -> Tensor:
    """The candidate of each code, N x d of N x k x d: drawn by `uniform` numbers [N] from [0, 1).

    Its probability is a softmax over minus the mean squared difference from the code.
    """
    shares = torch.softmax(-(codes[:, None] - candidates).square().mean(2), dim=1)
    chosen = (shares.cumsum(1) <= uniform[:, None]).sum(1).clamp(max=candidates.shape[1] - 1)
    return candidates[torch.arange(len(codes)), chosen]


def halfway(codes: Tensor, others: Tensor, spherical: bool) -> Tensor:
    """The middle between each two codes, on the great circle over all of their numbers or on a line."""
    half = torch.full((len(codes),), 0.5)
    return slerp(codes, others, half) if spherical else lerp(codes, others, half)


def quantised(codes: Tensor, mean: Tensor, deviation: Tensor, bits: int) -> Tensor:
    """Codes whose numbers take 2^bits values each, evenly spaced over `mean` +- 3 `deviation` [d]."""
    steps = 2**bits - 1
    scaled = (codes - mean) / deviation.clamp(min=TINY)
    level = ((scaled.clamp(-RANGE, RANGE) + RANGE) / (2 * RANGE) * steps).round()
    return mean + (level / steps * 2 * RANGE - RANGE) * deviation


def bands(height: int, width: int) -> NDArray[np.int64]:
    """The band, from 0, of each frequency [height, width].

    Computed by PyTorch in float32, as the published code does (radial_bin_map, lines 196-202): where
    a radius lies on the edge of a band, rounding decides, as it does at a side of 5, 9, 17, 33 or 65.
    """
    rows, columns = torch.arange(height)[:, None].float(), torch.arange(width)[None, :].float()
    radius = torch.sqrt(rows**2 + columns**2)
    band = torch.floor(radius / radius.max().clamp_min(1.0) * BINS).long()
    return band.clamp(0, BINS - 1).numpy()


def spectrum(maps: Floats) -> Floats:
    """The shares N x 16 of bands of frequency in the power of maps N x C x h x w.

    DCT-II of the maps without their means, squared, averaged over channels and over the frequencies
    of a band (bands are of equal width in sqrt(u^2 + v^2)), log(1 + power), divided by the sum.
    """
    centred = maps - maps.mean((2, 3), keepdims=True, dtype=np.float64)
    power = np.square(dctn(centred, type=2, norm="ortho", axes=(2, 3))).mean(1)
    power[:, 0, 0] = 0
    band = bands(*power.shape[1:]).ravel()
    counts = np.bincount(band, minlength=BINS).clip(min=1)
    sums = np.stack([np.bincount(band, row, BINS) for row in power.reshape(len(power), -1)])
    logs = np.log1p(sums / counts)
    return np.asarray(logs / (logs.sum(1, keepdims=True) + TINY))


def blurs(maps: Tensor) -> bool:
    """Whether images are blurred before they are resized to the side of maps N x C x h x w."""
    return maps.shape[2] != SHARP


def spectrum_divergence(images: Tensor, maps: Tensor) -> Floats:
    """KL(image || map) of the spectra of images N x 3 x S x S in [-1, 1] and of their maps: [N].

    Images are blurred (sigma 1.2 over 7 pixels, zeros beyond the edge) unless the maps are 32 px
    high, whatever the size of the images, and resized to the maps' side bicubically, as published
    (lines 243-247).
    """
    if blurs(maps):
        seen = gaussian_filter(images.numpy(), BLUR, radius=RADIUS, mode="constant", axes=(2, 3))
        images = torch.from_numpy(seen)
    small = F.interpolate(images, tuple(maps.shape[2:]), mode="bicubic")
    of_images, of_maps = (spectrum(x.double().numpy()) for x in (small, maps))
    return np.asarray((of_images * np.log((of_images + TINY) / (of_maps + TINY))).sum(1))


def estimate_equivariance(moved: Floats, expected: Floats, units: Units) -> dict[str, Estimate]:
    """How far f(T x) is from T f(x), both N x d: 0 exact, 1 as unrelated ones.

    (2 N - 1) / 2 N times sum |a - b|^2 / (sum |a - m|^2 + sum |b - m|^2), m the mean of all 2 N. The factor
    makes the expectation of unrelated ones 1, since m is computed from them. Scale, offset and rotation of
    f change nothing. There is no value if all are the same.
    """
    a, b = moved.astype(np.float64), expected.astype(np.float64)
    n, apart = len(a), np.square(a - b).sum(1)
    squares, both = np.square(a).sum(1) + np.square(b).sum(1), a + b

    def share(apart: Floats, squares: Floats, mean: Floats, n: int) -> Floats:
        spread = squares - 2 * n * np.square(mean).sum(-1)
        spread = np.where(spread > TINY * squares, spread, np.nan)  # of equal ones rounding is left
        return apart / spread * (2 * n - 1) / (2 * n)

    value = float(share(apart.sum(), squares.sum(), both.sum(0) / (2 * n), n))
    if not np.isfinite(value):
        return {"equivariance": Estimate(None, why="all of them are the same")}
    left = (both.sum(0) - both) / (2 * max(n - 1, 1))
    without = share(apart.sum() - apart, squares.sum() - squares, left, max(n - 1, 1))
    influence = np.sqrt((n - 1) / n) * (value - without)
    return {"equivariance": Estimate(value, units.influences(influence))}


GROUPS = (
    Group(("equivariance",), "images decoded from moved codes", estimate_equivariance),
    Group(("spectrum_kl",), "codes", Units.means),
)
