"""What a few images show of a foreign system before it is measured.

They are encoded and decoded together, the first one alone, twice, and the others in another order:
nine images with few steps, once in a run.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.runtime.errors import SystemFailed
from benchmarks.runtime.precision import full_precision
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, Code, System
from benchmarks.systems.protocol.parts import tensors
from benchmarks.systems.protocol.returned import remedy
from diffae.networks.nn import evaluating

IMAGES = 4
FEW_STEPS = 2  # for a check that only compares calls
SAME = 1e-4  # of the mean value: the tolerance for rounding on a GPU, of two calls that are alike
# Of the range of images, or of a code's largest number: kernels round differently for another batch
# size. With weights in half precision `UNITS` in the last place are more.
NEAR, UNITS = 1e-3, 16
# The share of numbers that may be further away: a token at a tie between two codes flips.
FLIPPED = 0.05

RANDOM = "not deterministic: gives different results for the same images"
BATCH = "depends on its batch: gives other results for an image alone or in another order"
TRAINING = "computes in training mode"
UNCUT = "ignores keep: decodes the same images from {} of its code as from {}"

# The thresholds of `mistaken_range`. By them none of 139,000 batches of two to eight images was suspected, of
# nine kinds of images and 200 honest decoders (sharp, blurred, PCA, noisy, untrained, in training), but
# for one that adds 0.3 to images of low contrast. Of the sharp ones in [0, 1] all were.
FOLLOWS = 0.2  # the least slope of decoded values on the originals'
TOGETHER = 0.6  # the least correlation of both
SPREAD = 0.05  # the least standard deviation of the originals: less says nothing of a slope
DARK = 0.05  # the least share of original values below 0
HALF = (0.3, 0.7)  # slope and offset of (x + 1) / 2 are 0.5 each; a blurred image's slope is less
NEARER = 0.5  # the largest share of the squared error that may be left if [0, 1] was meant

Places = list[int]  # of images in the batch


@dataclass(frozen=True)
class Trial:
    """A `note` for the system's rows, and why it must not be measured: its range is `mistaken`."""

    note: str = ""
    mistaken: str = ""


def tried(system: System, images: Tensor) -> Trial:
    """Try a system, checked, on images N x 3 x S x S in [-1, 1].

    A system that declares itself random is not compared with itself; one that says its range is not
    suspected of another. The trial of a system that fails here is empty: the benchmarks report it.
    """
    devices = [images.device] if images.is_cuda else []
    try:
        with evaluating(system.live), full_precision(), torch.random.fork_rng(devices):
            found, mistaken = _Results(system, images), ""
            if system.range is None and found.decodes:
                mistaken = mistaken_range(images, found.tensors[-1])
            notes = [] if mistaken or system.random else [_of_results(found), found.uncut()]
            networks = system.networks().values()
            if any(part.training for network in networks for part in network.modules()):
                notes.append(TRAINING)
            return Trial("; ".join(filter(None, notes)), mistaken)
    except SystemFailed:
        return Trial()


def _of_results(together: "_Results") -> str:
    first, *others = range(len(together.images))
    try:
        alone, again = together.of([first]), together.of([first])
        if not all(map(_alike, alone, again)):
            return RANDOM
        near = together.are_near([first], alone)
        if others:
            other_order = [*others[1:], *others[:1]]
            near = near and together.are_near(other_order, together.of(other_order))
    except SystemFailed:  # it can encode and decode all of them together
        near = False
    return "" if near else BATCH


class _Results:
    """The tensors of the codes of images, and last the images that these are decoded to."""

    def __init__(self, system: System, images: Tensor):
        self.system, self.images = system, images
        self.decodes = {ENCODE, DECODE} <= system.capabilities
        self.code = self._code(images)
        self.tensors = self._tensors(self.code, list(range(len(images))))

    def of(self, places: Places) -> list[Tensor]:
        """The same for some of the images in a batch of their own, in the order of `places`.

        Decoded are their codes of the large batch, in which no token has flipped.
        """
        return self._tensors(self._code(self.images[places]), places)

    def are_near(self, places: Places, others: list[Tensor]) -> bool:
        """Whether the results at these places are those of `of`."""
        weights = [w for part in self.system.networks().values() for w in part.parameters()]
        units = [UNITS * torch.finfo(w.dtype).eps for w in weights if w.is_floating_point()]
        tolerance = max([NEAR, *units])
        for number, (one, other) in enumerate(zip(self.tensors, others, strict=True), 1):
            images = self.decodes and number == len(others)
            size = 2.0 if images else float(one.double().abs().max())
            if not _near(one[places].double(), other.double(), tolerance * size):
                return False
        return True

    def uncut(self) -> str:
        """The note on a system that decodes the same whatever is kept of a code."""
        if not self.decodes or len(lengths := self.system.lengths or ()) < 2:
            return ""
        ends = lengths[0], lengths[-1]
        few, many = (self.system.decode(self.code, FEW_STEPS, **{"keep": k}) for k in ends)
        return UNCUT.format(*ends) if torch.equal(few, many) else ""

    def _code(self, images: Tensor) -> Code:
        if ENCODE in self.system.capabilities:
            return self.system.encode(images, FEW_STEPS)
        if SEMANTIC in self.system.capabilities:
            return Code(self.system.encode_semantic(images))
        return Code()

    def _tensors(self, code: Code, places: Places) -> list[Tensor]:
        found = [*tensors(code.semantic), *tensors(code.x_T)]
        if self.decodes:
            some = self.code.each(lambda part: part[places])
            found.append(self.system.decode(some, FEW_STEPS))
        return found


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(
        a.double(), b.double(), 0, SAME * float(a.double().abs().mean())
    )


def _near(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether all numbers but one, or but the share of FLIPPED, are as near as `tolerance`."""
    if a.shape != b.shape:
        return False
    further = int(((a - b).abs() > tolerance).sum())
    return further <= max(1, FLIPPED * a.numel())


def mistaken_range(originals: Tensor, decoded: Tensor) -> str:
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
