"""Checks of a method's result.

It becomes tensors that a benchmark can rely on, or SystemFailed with the reason.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from benchmarks.runtime.calling import Overshoot
from benchmarks.runtime.errors import SystemFailed
from benchmarks.systems.protocol.base import Code, Range
from benchmarks.systems.protocol.contract import kind
from benchmarks.systems.protocol.parts import Part, Semantic

ROUNDING = 1e-5  # beyond -1 and 1: not yet an overshoot
MANY = 0.5  # of all values, beyond FARTHEST: a different range even of images that are not clamped
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
LARGEST_CODE = 1e18  # squares of larger numbers are infinite in float32

Values = TypeVar("Values", Tensor, float)
HERE: Range = (-1.0, 1.0)
# Larger values mean a different range (0..255, logits), and clamping would give meaningless numbers. An overshoot of a few
# standard deviations of the data stays below.
FARTHEST = 5.0
BYTES = (32, 300)  # between these is the largest value of images that are meant in 0 to 255

Shape = tuple[int | None, ...]  # None: any side


@dataclass(frozen=True)
class Returned:
    """The result of `method` of a system, which belongs on `device`. A wrong one raises SystemFailed.

    Images that are not `clamped` may lie outside [-1, 1].
    """

    system: str
    method: str
    value: object
    device: torch.device
    clamped: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result; () if it is not a tensor."""
        return tuple(self.value.shape) if isinstance(self.value, Tensor) else ()

    def part(self, value: object) -> "Returned":
        """A part of the result."""
        return replace(self, value=value)

    def code(self) -> Code:
        """The result, if it is a code; its parts are not checked."""
        if not isinstance(self.value, Code):
            raise self.wrong(f"returned {kind(self.value)}, not a Code")
        return self.value

    def semantic(self, parts: Sequence[Part], count: int) -> Semantic:
        """A semantic code of `count` images: each tensor has the shape, type and range of its part."""
        values = self.value if isinstance(self.value, tuple | list) else (self.value,)
        if len(values) != len(parts):
            given = kind(self.value) if len(values) == 1 else f"{len(values)} tensors"
            raise self.wrong(f"returned {given}, not {len(parts)} tensors")
        pairs = zip(values, parts, strict=True)
        checked = tuple(self.part(value)._as(part, count) for value, part in pairs)
        return checked[0] if len(checked) == 1 else checked

    def _as(self, part: Part, count: int) -> Tensor:
        shape = (count, *part.shape)
        return self.numbers(shape) if part.codebook is None else self.tokens(shape, part.codebook)

    def numbers(self, shape: Shape) -> Tensor:
        """A part of a code: float32 of that shape, finite, small enough to compute with."""
        code, low, high = self._finite(shape, torch.float32)
        if max(-low, high) > LARGEST_CODE:
            raise self.wrong(f"returned numbers beyond {LARGEST_CODE:g}")
        return code

    def free(self, count: int) -> Tensor | None:
        """A part of a code that is not promised: if it is there, of any shape, one row per image."""
        return None if self.value is None else self.numbers((count, *self.shape[1:]))

    def tokens(self, shape: Shape, codebook: int) -> Tensor:
        """Integers from 0 to below `codebook`, as int64."""
        tokens = self._of_shape(shape)
        if tokens.dtype not in WHOLE:
            raise self.wrong(f"returned {dtype_name(tokens)} for tokens, not whole numbers")
        tokens = self._ordinary(tokens, torch.int64)
        if tokens.numel() and not 0 <= tokens.min() <= tokens.max() < codebook:
            given = f"returned tokens from {tokens.min()} to {tokens.max()}"
            raise self.wrong(f"{given}; the codebook goes from 0 to {codebook - 1}")
        return tokens

    def images(
        self,
        count: int,
        side: int | None,
        dtype: torch.dtype,
        overshoot: Overshoot,
        own: Range | None,
    ) -> Tensor:
        """Images N x 3 x side x side (None: any square) within [-1, 1], from those in the range `own`.

        Small overshoots are clamped and counted; a different range is an error. Those of images that
        are not `clamped` are counted only, and single values may be large.
        """
        if side is None and len(self.shape) == 4:
            side = self.shape[-1]
        given, least, largest = self._finite((count, 3, side, side), dtype)
        if not given.numel():
            return given
        images = out_of(given, own)
        low, high = out_of(least, own), out_of(largest, own)
        is_far = low < -FARTHEST or high > FARTHEST
        if is_far and (self.clamped or (images.abs() > FARTHEST).double().mean() > MANY):
            raise self.wrong(beyond(least, largest, own))
        outside = 0
        if low < -1 or high > 1:
            outside = int((images.abs() > 1 + ROUNDING).sum())
            images = images.clamp(-1, 1) if self.clamped else images
        overshoot.add(self.method, outside, images.numel(), self.clamped)
        return images

    def _finite(self, shape: Shape, dtype: torch.dtype) -> tuple[Tensor, float, float]:
        """A finite tensor of that shape and `dtype`, its least and its largest value (0 if it is empty).

        Both are read at once, so that the host waits for a GPU once.
        """
        value = self._of_shape(shape)
        if not value.is_floating_point():
            raise self.wrong(f"returned {dtype_name(value)}, not floating point")
        value = self._ordinary(value, dtype)
        low, high = torch.stack(value.aminmax()).tolist() if value.numel() else (0.0, 0.0)
        if not (math.isfinite(low) and math.isfinite(high)):  # nan is a bound wherever it is
            count = int((~torch.isfinite(value)).sum())
            raise self.wrong(f"returned {count:,} of {value.numel():,} values not finite")
        return value, low, high

    def _of_shape(self, shape: Shape) -> Tensor:
        """A tensor with ordinary values, of that shape."""
        value = self.value
        if not isinstance(value, Tensor):
            raise self.wrong(f"returned {kind(value)}, not a tensor")
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise self.wrong("returned a tensor without ordinary values (sparse, meta, ...)")
        sides = zip(value.shape, shape, strict=False)
        if value.ndim != len(shape) or any(side not in (own, None) for own, side in sides):
            raise self.wrong(f"returned {in_words(value.shape)}, not {in_words(shape)}")
        return value

    def _ordinary(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        """A tensor of `dtype` on the device that allows writing and autograd."""
        value = value.detach().to(self.device, dtype)
        return value.clone() if value.is_inference() else value

    def wrong(self, reason: str) -> SystemFailed:
        return SystemFailed.at(self.system, self.method, reason)


def in_words(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape) or "a single number"


def dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


# ----------------------------------------------------------------------------------------------
# The range of images: [-1, 1], as everywhere here, unless the system says another one


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
    given = f"returned values from {low:.4g} to {high:.4g}; images are in [{words}]"
    cause = f"values beyond {into(FARTHEST, own):g} mean a different range"
    hint = f": {remedy('(0, 255)')}" if bytes_meant else ""
    return f"{given}, and {cause}{hint} (if they are intended, clamp them yourself)"
