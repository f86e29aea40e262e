"""Check integers from a caller.

This module does not need PyTorch, so that a command line is read quickly.
"""

import operator
from typing import Any

from diffae.system.errors import UserError


def whole(value: Any, name: str, low: int, high: int) -> int:
    """An integer from `low` to `high`: a Python or numpy integer, or a tensor of one."""
    try:
        number = operator.index(value)
    except (TypeError, ValueError):
        number = None
    if number is None or isinstance(value, bool) or not low <= number <= high:
        raise UserError(f"{name} must be a whole number from {low} to {high}, not {shown(value)}")
    return number


def shown(value: Any) -> str:
    """A value in an error message: the shape of a tensor, anything else shortened."""
    is_tensor = hasattr(value, "is_floating_point")  # but not a numpy array
    if is_tensor and value.ndim:
        return f"a tensor {' x '.join(map(str, value.shape))} of {value.dtype}"
    number = value.item() if is_tensor else value
    return f"{number!r:.40}"
