"""The arithmetic of semantic codes: reading, moving, joining and counting them.

A semantic code is a tensor N x ... in the model's own shape, or a tuple of such (the levels of a
hierarchy, the coarsest first or in the model's order). A `Part` describes each tensor, for one
image:

    Part((64,))                                     a vector
    Part((4, 8, 8), reading=POOLED)                 a map of 4 features, read by its mean over positions
    Part((14, 512), reading=POOLED, axis=1)         W+: 14 layers of 512 numbers, read by the mean layer
    Part.of_tokens((16, 16), 1024, width=256)       16 x 16 of 1024 tokens, each of which stands for 256 numbers
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.runtime.errors import NotAvailable
from diffae.diffusion import interpolation
from diffae.system.errors import UserError, whole

Semantic = Tensor | tuple[Tensor, ...]
Count = TypeVar("Count", int, float)

# How a probe reads a part: flattened; by the mean over all axes but that of its features; by the share
# of each token.
FLAT, POOLED, HISTOGRAM = "flat", "pooled", "histogram"
LARGEST = 2**31  # numbers in a code, pixels of a side: larger values are mistakes

NO_DIRECTION = "the code consists of tokens: tokens cannot be edited along a direction"
NOTHING_BETWEEN = "the code consists of tokens: tokens cannot be interpolated"


@dataclass(frozen=True)
class Part:
    """One tensor of a semantic code.

    `shape` is the shape for one image; None stands for an axis whose length depends on the image's
    size (see `at`). With `codebook` the part consists of tokens, int64 from 0 to `codebook` - 1, and papers
    count each of them as `width` numbers. `reading` is how a probe reads the part: FLAT, POOLED or
    HISTOGRAM. If it is POOLED, `axis` is the axis of `shape` that holds the features.
    """

    shape: tuple[int | None, ...]
    codebook: int | None = None
    width: int = 1
    reading: str = FLAT
    axis: int = 0

    def __post_init__(self) -> None:
        for side in self.shape:
            if side is not None:
                whole(side, "Part: a side of shape", 1, LARGEST)
        whole(self.width, "Part: width", 1, LARGEST)
        if self.codebook is not None:
            whole(self.codebook, "Part: codebook", 1, LARGEST)
        if fault := self._fault():
            raise UserError(f"Part: {fault}")

    @classmethod
    def of_tokens(cls, shape: tuple[int | None, ...], codebook: int, width: int = 1) -> Self:
        """Tokens, which a probe reads as how often each occurs."""
        return cls(shape, codebook, width, HISTOGRAM)

    def at(self, height: int, width: int, stride: int) -> Self:
        """The part for an image of this size, of a system of this stride.

        Of two axes of None the first is height / stride long and the second width / stride. A single
        one is as long as there are such places in the image.
        """
        rows, columns = height // stride, width // stride
        is_map = self.shape.count(None) == 2
        lengths = iter([rows, columns] if is_map else [rows * columns])
        shape = tuple([next(lengths) if side is None else side for side in self.shape])
        return replace(self, shape=shape)

    @property
    def dtype(self) -> torch.dtype:
        """float32, or int64 of tokens."""
        return torch.float32 if self.codebook is None else torch.int64

    @property
    def places(self) -> int | None:
        """Numbers or tokens of one image; None if that depends on its size."""
        return None if None in self.shape else math.prod(self.shape)  # type: ignore[arg-type]

    @property
    def numbers(self) -> int | None:
        """Numbers of one image, as papers count: a token counts as `width` numbers."""
        return None if self.places is None else self.places * self.width

    @property
    def bits(self) -> float | None:
        """Bits of one image: log2 of the codebook for each token. None if it is not tokens."""
        if self.codebook is None or self.places is None:
            return None
        return self.places * math.log2(self.codebook)

    def describe(self) -> str:
        """A description of the reading, for a protocol."""
        sides = " x ".join("any" if side is None else str(side) for side in self.shape) or "one"
        if self.codebook is not None:
            return f"{self.reading} of {sides} tokens of {self.codebook}"
        over = f" over all but axis {self.axis} of" if self.reading == POOLED else ""
        return f"{self.reading}{over} {sides}"

    def _fault(self) -> str:
        """Why the fields do not fit together; "" if they do."""
        if self.shape.count(None) > 2:
            return f"at most two axes may be None, not those of {self.shape!r}"
        if self.reading not in (FLAT, POOLED, HISTOGRAM):
            return f"reading must be {FLAT}, {POOLED} or {HISTOGRAM}, not {self.reading!r}"
        if (self.codebook is None) == (self.reading == HISTOGRAM):
            return f"tokens are read by their {HISTOGRAM}, other parts {FLAT} or {POOLED}"
        if self.reading == POOLED and len(self.shape) < 2:
            return f"{self.shape!r} has no axes to take the mean over; read it {FLAT}"
        if self.reading == POOLED and self.axis not in range(-len(self.shape), len(self.shape)):
            return f"there is no axis {self.axis!r} in {self.shape!r}"
        if self.width != 1 and self.codebook is None:
            return "width is the numbers that a token counts as, but this part has no codebook"
        return ""


Parts = Sequence[Part]


# ----------------------------------------------------------------------------------------------
# Counting


def _total(counts: Iterable[Count | None]) -> Count | None:
    """The sum of counts, such as the `numbers` of parts; None if one of them is None."""
    values = list(counts)
    return None if None in values else sum(values)  # type: ignore[arg-type]


def numbers(parts: Parts) -> int | None:
    """Numbers in the code of an image, as papers count."""
    return _total(part.numbers for part in parts)


def numbers_in(parts: Parts, semantic: Semantic | None) -> int:
    """Numbers in a code that is there, for each image, as papers count; without parts, each number is one."""
    widths = [part.width for part in parts] or [1] * len(tensors(semantic))
    pairs = zip(widths, tensors(semantic), strict=False)
    return sum(width * code[:1].numel() for width, code in pairs)


def bits(parts: Parts) -> float | None:
    """Bits in the code of an image; None if a part is not tokens."""
    return _total(part.bits for part in parts)


def length(parts: Parts) -> int | None:
    """How many pieces a code has that can be decoded from its beginning alone: its tokens, or its
    numbers along the first axis.

    None if the code is several tensors, or if the length depends on the image's size.
    """
    if len(parts) != 1 or not parts[0].shape:
        return None
    return parts[0].shape[0] if parts[0].codebook is None else parts[0].places


def has_tokens(parts: Parts) -> bool:
    return any(part.codebook is not None for part in parts)


# ----------------------------------------------------------------------------------------------
# One operation on every tensor of a code


def tensors(semantic: Semantic | None) -> tuple[Tensor, ...]:
    return (semantic,) if isinstance(semantic, Tensor) else semantic or ()


def each(change: Callable[..., Tensor], *codes: Semantic) -> Semantic:
    """A code whose every tensor is `change` of the corresponding tensors of `codes`."""
    if isinstance(codes[0], Tensor):
        return change(*codes)
    return tuple(change(*parts) for parts in zip(*map(tensors, codes), strict=True))


def flat(semantic: Semantic) -> Tensor:
    """All numbers of a code, N x d float32. Raises NotAvailable for tokens."""
    if not all(part.is_floating_point() for part in tensors(semantic)):
        raise NotAvailable(NOTHING_BETWEEN)
    return torch.cat([part.flatten(1).float() for part in tensors(semantic)], dim=1)


def shaped(numbers: Tensor, like: Semantic) -> Semantic:
    """A code in the shape of `like` from all of its numbers, the reverse of `flat`."""
    pieces = iter(numbers.split([part[0].numel() for part in tensors(like)], dim=1))
    return each(lambda part: next(pieces).reshape(-1, *part.shape[1:]), like)


def lerp(a: Semantic, b: Semantic, t: Tensor) -> Semantic:
    """Interpolate linearly between two codes, each part in its own shape; t [N].

    Raises NotAvailable for tokens.
    """
    if not all(part.is_floating_point() for part in tensors(a)):
        raise NotAvailable(NOTHING_BETWEEN)
    return each(lambda x, y: interpolation.lerp(x, y, t), a, b)


def to_arrays(semantic: Semantic | None, name: str) -> dict[str, np.ndarray]:
    """Arrays for the store, with tokens as int32.

    One tensor is called `name`, several `name.0`, `name.1` and so on.
    """
    if semantic is None:
        return {}
    if isinstance(semantic, Tensor):
        return {name: _as_kept(semantic)}
    return {f"{name}.{level}": _as_kept(part) for level, part in enumerate(semantic)}


def from_arrays(arrays: dict[str, np.ndarray], name: str) -> Semantic | None:
    """The code from arrays of `to_arrays`."""
    if name in arrays:
        return _as_used(arrays[name])
    levels = sum(key.startswith(f"{name}.") for key in arrays)
    return tuple(_as_used(arrays[f"{name}.{level}"]) for level in range(levels)) or None


def of_no_image(parts: Parts) -> Semantic:
    """A code of zero images."""
    empty = [torch.zeros(0, *(n or 0 for n in part.shape), dtype=part.dtype) for part in parts]
    return empty[0] if len(empty) == 1 else tuple(empty)


def _as_kept(part: Tensor) -> np.ndarray:
    return (part.float() if part.is_floating_point() else part.int()).cpu().numpy()


def _as_used(array: np.ndarray) -> Tensor:
    part = torch.from_numpy(array)
    return part if part.is_floating_point() else part.long()


# ----------------------------------------------------------------------------------------------
# Reading and moving, part by part


def read(parts: Parts, semantic: Semantic) -> Tensor:
    """Features for a probe: float32 N x d, the parts' readings side by side."""
    features = [_read(part, code) for part, code in zip(parts, tensors(semantic), strict=True)]
    return features[0] if len(features) == 1 else torch.cat(features, dim=1)


def _read(part: Part, code: Tensor) -> Tensor:
    if part.codebook is not None:
        return _shares(code.flatten(1), part.codebook)
    if part.reading == POOLED:
        return code.float().movedim(1 + _axis(part), 1).flatten(2).mean(2)
    return code.float().flatten(1)


def _shares(tokens: Tensor, codebook: int) -> Tensor:
    """The share of each token among those of an image: N x P -> N x codebook."""
    counts = torch.zeros(len(tokens), codebook, device=tokens.device)
    single = torch.ones(1, 1, device=tokens.device).expand(tokens.shape)
    return counts.scatter_add_(1, tokens, single) / tokens.shape[1]


def move(parts: Parts, semantic: Semantic, delta: Tensor) -> Semantic:
    """The code with `delta` [N, d] added to its reading.

    It is added to a flat part, and at every position of a pooled one. Raises NotAvailable for
    tokens.
    """
    if has_tokens(parts):
        raise NotAvailable(NO_DIRECTION)
    moved, start = [], 0
    for part, code in zip(parts, tensors(semantic), strict=True):
        width = code.shape[1 + _axis(part)] if part.reading == POOLED else code[:1].numel()
        moved.append(code + _in_shape(part, code, delta[:, start : start + width]).to(code))
        start += width
    return moved[0] if isinstance(semantic, Tensor) else tuple(moved)


def _in_shape(part: Part, code: Tensor, delta: Tensor) -> Tensor:
    """`delta` in a shape that can be added to the code."""
    if part.reading == FLAT:
        return delta.reshape(code.shape)
    shape = [1] * code.ndim
    shape[0], shape[1 + _axis(part)] = delta.shape
    return delta.reshape(shape)


def _axis(part: Part) -> int:
    return part.axis % len(part.shape)
