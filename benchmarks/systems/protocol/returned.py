"""Checks of what the methods of a system return.

Each check gives back tensors that a benchmark can rely on, or raises `Wrong` with the reason.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from benchmarks.runtime.errors import Wrong
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

Shape = Sequence[int | None]  # None: any side


def tensor(value: object, shape: Shape) -> Tensor:
    """A tensor of that shape."""
    if not isinstance(value, Tensor):
        raise Wrong(f"returned {kind(value)}, not a tensor")
    sides = zip(value.shape, shape, strict=False)
    if value.ndim != len(shape) or any(wanted not in (side, None) for side, wanted in sides):
        raise Wrong(f"returned {in_words(value.shape)}, not {in_words(shape)}")
    return value


def finite(value: Tensor, dtype: torch.dtype) -> tuple[Tensor, float, float]:
    """A finite tensor as `dtype`, with its least and its largest value (0 if it is empty).

    Both are read at once, so that the host waits for a GPU once.
    """
    if not value.is_floating_point():
        raise Wrong(f"returned {dtype_name(value)}, not floating point")
    value = value.detach().to(dtype)
    low, high = torch.stack(value.aminmax()).tolist() if value.numel() else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):  # nan is a bound wherever it is
        count = int((~torch.isfinite(value)).sum())
        raise Wrong(f"returned {count:,} of {value.numel():,} values not finite")
    return value, low, high


def numbers(value: object, shape: Shape) -> Tensor:
    """A part of a code: float32 of that shape, finite, small enough to compute with."""
    code, low, high = finite(tensor(value, shape), torch.float32)
    if max(-low, high) > LARGEST_CODE:
        raise Wrong(f"returned numbers beyond {LARGEST_CODE:g}")
    return code


def free(value: object, count: int) -> Tensor | None:
    """A part of a code that is not promised: if it is there, of any shape, one row per image."""
    if value is None:
        return None
    shape = value.shape[1:] if isinstance(value, Tensor) else ()
    return numbers(value, (count, *shape))


def tokens(value: Tensor, codebook: int) -> Tensor:
    """Integers from 0 to below `codebook`, as int64."""
    if value.dtype not in WHOLE:
        raise Wrong(f"returned {dtype_name(value)} for tokens, not whole numbers")
    indices = value.detach().to(torch.int64)
    if indices.numel() and not 0 <= indices.min() <= indices.max() < codebook:
        given = f"returned tokens from {indices.min()} to {indices.max()}"
        raise Wrong(f"{given}; the codebook goes from 0 to {codebook - 1}")
    return indices


def semantic(value: object, parts: Sequence[Part], count: int) -> Semantic:
    """A semantic code of `count` images: each tensor has the shape, type and range of its part."""
    values = value if isinstance(value, tuple | list) else (value,)
    if len(values) != len(parts):
        given = kind(value) if len(values) == 1 else f"{len(values)} tensors"
        raise Wrong(f"returned {given}, not {len(parts)} tensors")
    checked = [_as(part, tensor, count) for part, tensor in zip(parts, values, strict=True)]
    return checked[0] if len(checked) == 1 else tuple(checked)


def _as(part: Part, value: object, count: int) -> Tensor:
    shape = (count, *part.shape)
    if part.codebook is None:
        return numbers(value, shape)
    return tokens(tensor(value, shape), part.codebook)


def code(value: object) -> Code:
    """A code, whose parts are not checked."""
    if not isinstance(value, Code):
        raise Wrong(f"returned {kind(value)}, not a Code")
    return value


def images(
    value: object,
    count: int,
    side: int | None,
    dtype: torch.dtype,
    own: Range | None,
    clamped: bool,
) -> tuple[Tensor, int]:
    """Images N x 3 x side x side (None: any side) within [-1, 1], from those in the range `own`.

    The second value is how many of their values lay outside. A small overshoot is clamped; a
    different range is an error. Of images that are not `clamped`, single values may be large.
    """
    given, least, largest = finite(tensor(value, (count, 3, side, side)), dtype)
    if not given.numel():
        return given, 0
    converted = out_of(given, own)
    low, high = out_of(least, own), out_of(largest, own)
    is_far = low < -FARTHEST or high > FARTHEST
    if is_far and (clamped or (converted.abs() > FARTHEST).double().mean() > MANY):
        raise Wrong(beyond(least, largest, own))
    if -1 <= low and high <= 1:
        return converted, 0
    outside = int((converted.abs() > 1 + ROUNDING).sum())
    return converted.clamp(-1, 1) if clamped else converted, outside


def own_memory(part: Tensor) -> Tensor:
    """A copy that the system cannot write into, as it does if it reuses its output buffer.

    Strides and alignment are kept, since kernels, and so the last bits of results, depend on them.
    """
    if part.is_inference() or not part.numel():
        return part.clone()
    start = part.storage_offset() // 64 * 64  # a multiple keeps the alignment
    end = part[(-1,) * part.ndim].storage_offset() + 1  # after its last number
    memory = part.as_strided((end - start,), (1,), start).clone()
    return memory.as_strided(part.shape, part.stride(), part.storage_offset() - start)


def in_words(shape: Shape) -> str:
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
    words = ", ".join(f"{bound:g}" for bound in own or HERE)
    given = f"returned values from {low:.4g} to {high:.4g}; images are in [{words}]"
    cause = f"values beyond {into(FARTHEST, own):g} mean a different range"
    bytes_meant = f"If they are bytes, {remedy('(0, 255)')}."
    return f"{given}, and {cause}. {bytes_meant} If they are intended, clamp them yourself."


def refuse_other_numbers(numbers: int, promised: int) -> None:
    """Raise Wrong for a code that has other numbers than the system says, at its `image_size`."""
    if numbers != promised:
        reason = "set latent_dim, or a stride from which it follows"
        raise Wrong(f"returned {numbers} numbers per image, not {promised}: {reason}")


def width(part: Tensor | None) -> int:
    """The numbers of an image in a tensor."""
    return 0 if part is None else part[:1].numel()


def of_shape(shape: Sequence[int | None]) -> Callable[[object, int], Tensor]:
    """The check of a tensor of that shape for each image."""
    return lambda value, count: numbers(value, (count, *shape))
