"""A trial of a foreign system on a few images before it is measured.

The images are encoded and decoded together; then the first one alone; then all in another order:
nine images with few steps, once in a run. If results differ, all are computed again as at first.
"""

import torch
from torch import Tensor

from benchmarks.runtime.errors import SystemFailed
from benchmarks.runtime.precision import full_precision
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, Code, System
from benchmarks.systems.protocol.returned import remedy

IMAGES = 4
FEW_STEPS = 2  # for a check that only compares calls
# Of the range of images, or of a code's largest number: kernels round differently for another batch
# size. With weights in half precision `UNITS` in the last place are more.
NEAR, UNITS = 1e-3, 16
# The share of numbers that may be further away: a token at a tie between two codes flips.
FLIPPED = 0.05

RANDOM = "not deterministic: gives different results for the same images"
BATCH = "depends on its batch: gives other results for an image alone or in another order"

# The thresholds of `mistaken_range`. They were tried on 139,000 batches of two to eight images, from nine kinds of
# images and 200 decoders to [-1, 1] (sharp, blurred, PCA, noisy, untrained, in training): they suspected only a
# decoder that adds 0.3 to images of low contrast. They suspected all sharp decoders to [0, 1].
FOLLOWS = 0.2  # the least slope of decoded values on the originals'
TOGETHER = 0.6  # the least correlation of both
SPREAD = 0.05  # the least standard deviation of the originals: less says nothing of a slope
DARK = 0.05  # the least share of original values below 0
HALF = (0.3, 0.7)  # slope and offset of (x + 1) / 2 are 0.5 each; a blurred image's slope is less
NEARER = 0.5  # the largest share of the squared error that may be left if [0, 1] was meant


def tried(system: System, images: Tensor) -> str:
    """Try a checked system on images N x 3 x S x S in [-1, 1], and return the note for its rows.

    Raises SystemFailed if it seems to decode to [0, 1], unless the system states its range. A system
    that states that it is random is not compared with itself. If a method fails, the note is empty:
    the benchmarks report the failure.
    """
    if not len(images):  # a test split without images
        return ""
    devices = [images.device] if images.is_cuda else []
    with full_precision(), torch.random.fork_rng(devices):
        try:
            code = _encoded(system, images)
            together = _results(system, code, code)
        except SystemFailed:
            return ""
        if system.range is None and _decodes(system):
            if reason := mistaken_range(images, together[-1]):
                raise SystemFailed.at(system.name, DECODE, reason)
        return "" if system.random else _note(system, images, code, together)


def _note(system: System, images: Tensor, code: Code, together: list[Tensor]) -> str:
    """Whether the results of an image are the same alone, in another order, and twice."""
    tolerance = _tolerance(system)
    limits = [tolerance * float(part.double().abs().max()) for part in together]
    if _decodes(system):
        limits[-1] = tolerance * 2.0

    def differ(places: list[int]) -> bool:
        """Whether these images have other results in a batch of their own.

        Decoded are their codes of the first batch, so that no token flips.
        """
        encoded = _encoded(system, images[places])
        results = _results(system, encoded, code.each(lambda part: part[places]))
        return not all(map(_near, [part[places] for part in together], results, limits))

    first, *others = range(len(images))
    try:
        if not differ([first]) and not differ([*others, first]):
            return ""
        return RANDOM if differ([first, *others]) else BATCH
    except SystemFailed:  # it can encode and decode all of them together
        return BATCH


def _encoded(system: System, images: Tensor) -> Code:
    if ENCODE in system.capabilities:
        return system.encode(images, FEW_STEPS)
    if SEMANTIC in system.capabilities:
        return Code(system.encode_semantic(images))
    return Code()


def _decodes(system: System) -> bool:
    return {ENCODE, DECODE} <= system.capabilities


def _results(system: System, encoded: Code, code: Code) -> list[Tensor]:
    """The tensors of `encoded`, and last the images that `code` is decoded to."""
    results = list(encoded.tensors)
    if _decodes(system):
        results.append(system.decode(code, FEW_STEPS))
    return results


def _tolerance(system: System) -> float:
    networks = system.networks().values()
    dtypes = {weight.dtype for network in networks for weight in network.parameters()}
    return max([NEAR, *(UNITS * torch.finfo(t).eps for t in dtypes if t.is_floating_point)])


def _near(a: Tensor, b: Tensor, limit: float) -> bool:
    """Whether all numbers but one, or but the share of FLIPPED, are as near as `limit`."""
    if a.shape != b.shape:
        return False
    further = int(((a.double() - b.double()).abs() > limit).sum())
    return further <= max(1, FLIPPED * a.numel())


def mistaken_range(originals: Tensor, decoded: Tensor) -> str:
    """Why decoded images seem to be in [0, 1] while their originals are in [-1, 1]; "" if they do not.

    Both are N x 3 x S x S, with at least two images, and the decoded values must follow the original
    ones. They seem to be in [0, 1] if none is below 0 although originals are; or if their regression
    on the originals is about (x + 1) / 2, and reading them as [0, 1] brings them nearer to the originals.
    """
    if len(originals) < 2 or originals.shape != decoded.shape:
        return ""
    x, y = (images.double().flatten() for images in (originals, decoded))
    spread, spread_decoded = (float(values.std(correction=0)) for values in (x, y))
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
