"""What systems are given and return, cut by image and put together again: tensors, tuples of them, codes, indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.systems import parts
from benchmarks.systems.base import Code


def rows(value: Any) -> int:
    """How many images tensors, codes or indices are of."""
    if isinstance(value, Code):
        return rows(value.x_T if value.semantic is None else value.semantic)
    return rows(value[0]) if _is_several(value) else len(value)


def cut(value: Any, place: slice) -> Any:
    """The rows of tensors, codes or indices; what is none of these (steps, a seed) is the same for all."""
    if isinstance(value, Code):
        return Code(cut(value.semantic, place), cut(value.x_T, place))
    if _is_several(value):
        return parts.index(value, place)
    return value[place] if isinstance(value, Tensor | Sequence | np.ndarray) else value


def join(values: Sequence[Any]) -> Any:
    """Tensors, tuples of them or codes, one after the other."""
    first = values[0]
    if len(values) == 1 or first is None:
        return first
    if isinstance(first, Code):
        return Code(join([code.semantic for code in values]), join([code.x_T for code in values]))
    return parts.join(values)


def _is_several(value: Any) -> bool:
    """Whether it is a semantic code of several tensors."""
    return isinstance(value, tuple | list) and bool(value) and isinstance(value[0], Tensor)
