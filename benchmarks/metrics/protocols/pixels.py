"""The pixels that a protocol's metrics are computed of: scaled, scaled back, clamped, rounded.

Evaluation codes scale images for a network and scale them back in float32. What is truncated after
that has lost a level wherever the product came out below a whole number: of the 256 grey levels of
an untouched image 95 fall by one under "x / 127.5 - 1", 63 under "(x / 255 - 0.5) / 0.5", none under
"x / 255".
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.metrics.protocols.schema import ImageProtocol, Pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as torchvision has them
SIGNED = ("x / 127.5 - 1", "(x / 255 - 0.5) / 0.5")


def of_side(images: Tensor, protocol: ImageProtocol, metric: str, *, originals: bool) -> Tensor:
    """Pixels in [0, 1] of one side, as `from_zero_to_one` gives them, rounded and clamped as the
    protocol says for this metric.

    A code that rounds reconstructions alone does so where it saves them: uint8 reconstructions are
    such files, and are not rounded again.
    """
    section = protocol.section(metric)
    from_file = originals or not images.is_floating_point()
    untouched = from_file and section.rounded == "reconstruction"
    rounding = "none" if untouched else section.rounding
    return from_zero_to_one(images, protocol.pixels, rounding, protocol.is_clamped(metric))


def from_zero_to_one(images: Tensor, pixels: Pixels, rounding: str, clamped: bool = True) -> Tensor:
    """Pixels in [0, 1], float32 N x 3 x H x W, as the evaluation code sees them.

    `images` are uint8, of files, or floats in [-1, 1], what a decoder gives, possibly beyond. Files
    are scaled by `pixels.scaling` and back; floats are only scaled back, so that originals must be
    files to lose the levels that they lose there. With a `rounding` other than "none" the pixels are
    multiples of 1/255. Without `clamped` and rounding they may lie beyond [0, 1].
    """
    of_decoder = images.is_floating_point()
    scaled = images.float() if of_decoder else _scaled(images, pixels.scaling)
    signed = of_decoder or pixels.scaling in SIGNED
    unit = (scaled + 1) / 2 if signed else _scaled_back(scaled, pixels.scaling)
    if rounding == "none":
        return unit.clamp(0, 1) if clamped else unit
    if rounding == "half up":
        levels = (127.5 * scaled + 128 if signed else 255 * unit + 0.5).floor()
    else:
        levels = {"truncated": torch.floor, "half to even": torch.round}[rounding](255 * unit)
    return levels.clamp(0, 255) / 255


def _scaled(images: Tensor, scaling: str) -> Tensor:
    """What an evaluation code makes of uint8 images for its network, float32."""
    if scaling == "x / 127.5 - 1":  # NumPy divides integers in float64
        return images.double().div(127.5).sub(1).float()
    unit = images.float().div(255)
    if scaling == "x / 255":
        return unit
    if scaling == "(x / 255 - 0.5) / 0.5":
        return unit.sub(0.5).div(0.5)
    return unit.sub(_channels(MEAN, unit)).div(_channels(STD, unit))


def _scaled_back(scaled: Tensor, scaling: str) -> Tensor:
    """The pixels in [0, 1] again; ImageNet's scaling is undone by torchvision's Normalize, as in VTP."""
    if scaling == "x / 255":
        return scaled
    mean = _channels([-m / s for m, s in zip(MEAN, STD, strict=True)], scaled)
    return scaled.sub(mean).div(_channels([1 / s for s in STD], scaled))


def _channels(numbers: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=like.dtype, device=like.device)[:, None, None]
