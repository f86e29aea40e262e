"""What a few images show of a foreign system before it is measured.

They are encoded and decoded together, the first one alone, twice, and the others in another order:
nine images with few steps, once in a run.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.runtime.errors import SystemFailed
from benchmarks.runtime.precision import full_precision
from benchmarks.systems.protocol import parts, ranges
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, Code, System
from benchmarks.systems.protocol.calling import calling
from benchmarks.systems.protocol.parts import tensors
from diffae.networks.nn import evaluating

IMAGES = 4
FEW_STEPS = 2  # for a check that only compares calls
SAME = 1e-4  # of the mean value: the tolerance for rounding on a GPU, of two calls that are alike
# Of the range of images, or of a code's largest number: kernels round differently for another batch
# size. In half precision `UNITS` in the last place are more.
NEAR, UNITS = 1e-3, 16
FLIPPED = (
    0.05  # the share of numbers that may be further away: a token at a tie between two codes flips
)

RANDOM = "not deterministic: gives different results for the same images"
BATCH = "depends on its batch: gives other results for an image alone or in another order"
TRAINING = "computes in training mode"

Places = list[int]  # of images in the batch


@dataclass(frozen=True)
class Trial:
    """A `note` for the system's rows, and why it must not be measured: its range is `mistaken`."""

    note: str = ""
    mistaken: str = ""


def tried(name: str, system: System, images: Tensor) -> Trial:
    """Try a system on images N x 3 x S x S in [-1, 1], on its device.

    A system that declares itself random is not compared with itself; one that says its range is not
    suspected of another. The trial of a system that fails here is empty: the benchmarks report it.
    """
    devices = [images.device] if images.is_cuda else []

    def ask() -> Trial:
        found, mistaken = _Results(system, images), ""
        if system.range is None and found.decoded is not None:
            mistaken = ranges.mistaken(images, found.decoded)
        notes = [] if mistaken or system.random else [_of_results(name, found)]
        networks = system.networks().values()
        if any(part.training for network in networks for part in network.modules()):
            notes.append(TRAINING)
        return Trial("; ".join(filter(None, notes)), mistaken)

    try:
        with evaluating(system.live), full_precision(), torch.random.fork_rng(devices):
            return calling(name, "encode", ask)
    except SystemFailed:
        return Trial()


def _of_results(name: str, together: "_Results") -> str:
    first, *others = range(len(together.images))
    try:
        alone, again = (calling(name, "encode", lambda: together.of([first])) for _ in range(2))
        if not all(map(_alike, alone, again)):
            return RANDOM
        other_order = [*others[1:], *others[:1]]
        turned = calling(name, "encode", lambda: together.of(other_order))
    except SystemFailed:  # it can encode and decode all of them together
        return BATCH
    near = together.are_near([first], alone) and together.are_near(other_order, turned)
    return "" if near else BATCH


class _Results:
    """The codes of images, and what these are decoded to, unchecked."""

    def __init__(self, system: System, images: Tensor):
        self.system, self.images = system, images
        self.decodes = {ENCODE, DECODE} <= set(system.capabilities)
        self.code = self._code(images)
        everywhere = list(range(len(images)))
        self.tensors = self._tensors(self.code, everywhere)

    @property
    def decoded(self) -> Tensor | None:
        """The decoded images, if they are some."""
        found = self.tensors[-1] if self.decodes else None
        fits = found is not None and found.shape == self.images.shape
        return found if fits and found.is_floating_point() else None  # type: ignore[union-attr]

    def of(self, places: Places) -> list[Tensor]:
        """The same for some of the images in a batch of their own, in the order of `places`.

        Decoded are their codes of the large batch, in which no token has flipped.
        """
        return self._tensors(self._code(self.images[places]), places)

    def are_near(self, places: Places, others: list[Tensor]) -> bool:
        """Whether the results at these places are those of `of`."""
        kinds = {one.dtype for one in self.tensors if one.is_floating_point()}
        for network in self.system.networks().values():
            kinds |= {weight.dtype for weight in network.parameters() if weight.is_floating_point()}
        tolerance = max([NEAR, *(UNITS * torch.finfo(kind).eps for kind in kinds)])
        low, high = self.system.range or ranges.HERE
        for number, (one, other) in enumerate(zip(self.tensors, others, strict=True), 1):
            images = self.decodes and number == len(others)
            size = high - low if images else float(one.double().abs().max())
            if not _near(one[places].double(), other.double(), tolerance * size):
                return False
        return True

    def _code(self, images: Tensor) -> Code:
        given = ranges.into(images, self.system.range).clone()
        if ENCODE in self.system.capabilities:
            return self.system.encode(given, FEW_STEPS)
        if SEMANTIC in self.system.capabilities:
            return Code(self.system.encode_semantic(given))
        return Code()

    def _tensors(self, code: Code, places: Places) -> list[Tensor]:
        found = [one.clone() for one in (*tensors(code.semantic), *tensors(code.x_T))]
        if self.decodes:
            semantic, x_T = (
                None if part is None else parts.index(part, places)
                for part in (self.code.semantic, self.code.x_T)
            )
            found.append(self.system.decode(Code(semantic, x_T), FEW_STEPS))
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
