"""Checks of what the methods of a system return.

Each check gives back tensors that a benchmark can rely on, or raises `Wrong` with the reason.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from benchmarks.runtime.errors import Wrong
from benchmarks.systems.protocol.base import HERE, Range
from benchmarks.systems.protocol.contract import kind
from benchmarks.systems.protocol.parts import Part, Semantic

ROUNDING = 1e-5  # beyond -1 and 1: not yet an overshoot
MANY = 0.5  # of all values, beyond FARTHEST: a different range even of images that are not clamped
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
LARGEST_CODE = 1e18  # squares of larger numbers are infinite in float32

T = TypeVar("T")
Values = TypeVar("Values", Tensor, float)
# Larger values mean a different range (0..255, logits), and clamping would give meaningless numbers. An overshoot of a few
# standard deviations of the data stays below.
FARTHEST = 5.0

Shape = Sequence[int | str | None]  # None: any side


def of_class(value: object, wanted: type[T]) -> T:
    if not isinstance(value, wanted):
        raise Wrong(f"returned {kind(value)}, not a {wanted.__name__}")
    return value


def tensor(value: object, shape: Shape) -> Tensor:
    """A tensor of that shape."""
    given = of_class(value, Tensor)
    if not fits(given.shape, shape):
        raise Wrong(f"returned {in_words(given.shape)}, not {in_words(shape)}")
    return given


def fits(given: Sequence[int], shape: Shape) -> bool:
    """Whether a shape is the other one, in which None is any side."""
    pairs = zip(given, shape, strict=False)
    return len(given) == len(shape) and all(wanted in (side, None) for side, wanted in pairs)


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


def free(value: object, images: Tensor) -> Tensor | None:
    """A part of a code that is not promised: if it is there, of any shape, one row per image."""
    if value is None:
        return None
    return numbers(value, (len(images), *of_class(value, Tensor).shape[1:]))


def tokens(value: object, codebook: int) -> Tensor:
    """Integers from 0 to below `codebook`, as int64."""
    given = of_class(value, Tensor)
    if given.dtype not in WHOLE:
        raise Wrong(f"returned {dtype_name(given)} for tokens, not whole numbers")
    indices = given.detach().to(torch.int64)
    if indices.numel() and not 0 <= indices.min() <= indices.max() < codebook:
        bounds = f"from {indices.min()} to {indices.max()}"
        raise Wrong(f"returned tokens {bounds}; the codebook goes from 0 to {codebook - 1}")
    return indices


def semantic(value: object, parts: Sequence[Part], count: int) -> Semantic:
    """A semantic code of `count` images: each tensor has the shape, type and range of its part."""
    values = value if isinstance(value, tuple | list) else (value,)
    if len(values) != len(parts):
        given = kind(value) if len(values) == 1 else f"{len(values)} tensors"
        raise Wrong(f"returned {given}, not {len(parts)} tensors")
    checked: list[Tensor] = []
    for part, level in zip(parts, values, strict=True):
        shape = (count, *part.shape)
        if part.codebook is None:
            checked.append(numbers(level, shape))
        else:
            checked.append(tokens(tensor(level, shape), part.codebook))
    return checked[0] if len(checked) == 1 else tuple(checked)


def images(
    value: object, shape: Shape, dtype: torch.dtype, own: Range, clamped: bool
) -> tuple[Tensor, int]:
    """Images of that shape within [-1, 1], from those in the range `own`.

    The second value is how many of their values lay outside. A small overshoot is clamped; a
    different range is an error. Of images that are not `clamped`, single values may be large.
    """
    given, least, largest = finite(tensor(value, shape), dtype)
    if not given.numel():
        return given, 0
    converted = rescaled(given, own, HERE)
    low, high = rescaled(least, own, HERE), rescaled(largest, own, HERE)
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


def rescaled(values: Values, of: Range, to: Range) -> Values:
    """Values in the range `of` as values in the range `to`."""
    if of == to:
        return values
    (low, high), (to_low, to_high) = of, to
    return (values - low) * ((to_high - to_low) / (high - low)) + to_low


def remedy(own: str) -> str:
    return f"say range={own}, to wrap or as an attribute of the class, and images are converted both ways"


def beyond(low: float, high: float, own: Range) -> str:
    """The message for images from `low` to `high`, too far out of the range `own`."""
    given = f"returned values from {low:.4g} to {high:.4g}; images are in [{own[0]:g}, {own[1]:g}]"
    cause = f"values beyond {rescaled(FARTHEST, HERE, own):g} mean a different range"
    bytes_meant = f"If they are bytes, {remedy('(0, 255)')}."
    return f"{given}, and {cause}. {bytes_meant} If they are intended, clamp them yourself."


def values_of(value: object, wanted: type[T]) -> dict[str, T]:
    """Values of one class by name."""
    named: dict[str, T] = of_class(value, dict)
    for part in named.values():
        of_class(part, wanted)
    return named
