"""The range of a system's images: [-1, 1], as everywhere here, unless the system says another one.

A decoder that returns [0, 1], or an encoder that wants it, fails nowhere: its PSNR is ten decibels
lower. `mistaken` sees it in the first images that a system decodes.
"""

from typing import TypeVar

from torch import Tensor

Values = TypeVar("Values", Tensor, float)
Range = tuple[float, float]
HERE: Range = (-1.0, 1.0)

# The thresholds of `mistaken`. By them none of 139,000 batches of two to eight images was suspected, of
# nine kinds of images and 200 honest decoders (sharp, blurred, PCA, noisy, untrained, in training), but
# for one that adds 0.3 to images of low contrast. Of the sharp ones in [0, 1] all were.
FOLLOWS = 0.2  # the least slope of decoded values on the originals'
TOGETHER = 0.6  # the least correlation of both
SPREAD = 0.05  # the least standard deviation of the originals: less says nothing of a slope
DARK = 0.05  # the least share of original values below 0
HALF = (0.3, 0.7)  # slope and offset of (x + 1) / 2 are 0.5 each; a blurred image's slope is less
NEARER = 0.5  # the largest share of the squared error that may be left if [0, 1] was meant

# Larger values mean a different range (0..255, logits), and clamping would give meaningless numbers. An overshoot of a few
# standard deviations of the data stays below.
FARTHEST = 5.0
BYTES = (32, 300)  # between these is the largest value of images that are meant in 0 to 255


def into(values: Values, own: Range | None) -> Values:
    """Values of images in [-1, 1] as values in the range `own`; None is [-1, 1]."""
    if own is None or own == HERE:
        return values
    low, high = own
    return (values + 1) * ((high - low) / 2) + low


def out_of(values: Values, own: Range | None) -> Values:
    """The inverse of `into`."""
    if own is None or own == HERE:
        return values
    low, high = own
    return (values - low) * (2 / (high - low)) - 1


def suffix(own: Range | None) -> str:
    """The suffix of a fingerprint: outputs depend on the range, unless it is [-1, 1]."""
    return "" if own is None or own == HERE else f"-range-{own[0]:g}-{own[1]:g}"


def remedy(own: str) -> str:
    return f"say range={own}, to wrap or as an attribute of the class, and images are converted both ways"


def beyond(low: float, high: float, own: Range | None) -> str:
    """The message for images from `low` to `high`, too far out of the range `own`."""
    bytes_meant = own is None and low >= -FARTHEST and BYTES[0] < high < BYTES[1]
    words = ", ".join(f"{bound:g}" for bound in own or HERE)
    return (
        f"returned values from {low:.4g} to {high:.4g}; images are in [{words}], and values beyond "
        f"{into(FARTHEST, own):g} mean a different range"
        + (f": {remedy('(0, 255)')}" if bytes_meant else "")
        + " (if they are intended, clamp them yourself)"
    )


def mistaken(originals: Tensor, decoded: Tensor) -> str:
    """Why decoded images seem to be in [0, 1] while their originals are in [-1, 1]; "" if they do not.

    Both are N x 3 x S x S. The decoded values must follow the original ones, of two images at least.
    Then they seem so if none is below 0 although originals are; or if they are about (x + 1) / 2, by
    their regression on the originals, and come nearer to the originals if [0, 1] was meant.
    """
    if len(originals) < 2 or originals.shape != decoded.shape:
        return ""
    x, y = (images.double().flatten() for images in (originals, decoded))
    spread, spread_decoded = (float(one.std(correction=0)) for one in (x, y))
    if spread < SPREAD or not spread_decoded:
        return ""
    slope = float(((x - x.mean()) * y).mean()) / spread**2
    if slope < FOLLOWS or slope * spread / spread_decoded < TOGETHER:
        return ""
    offset = float(y.mean()) - slope * float(x.mean())
    none_below = float(y.min()) >= 0 and float((x < 0).double().mean()) >= DARK
    left = float((2 * y - 1 - x).square().mean())
    halved = all(HALF[0] <= value <= HALF[1] for value in (slope, offset))
    if not none_below and not (halved and left < NEARER * float((y - x).square().mean())):
        return ""
    return (
        f"returned values from {float(y.min()):.2g} to {float(y.max()):.2g} for images from {float(x.min()):.2g} "
        f"to {float(x.max()):.2g}: they seem to be in [0, 1], not in [-1, 1]; {remedy('(0, 1)')} "
        "(range=(-1, 1) if they are as intended)"
    )
