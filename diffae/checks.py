"""Check the arguments of a model's methods.

Each fault is one line that names the argument and what it must be.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from diffae.system.errors import UserError
from diffae.system.validation import shown, whole

# Images are in [-1, 1]; a small overshoot does no harm, but 0 to 255 is another scale.
BRIGHTEST = 2.0


def timesteps_of(t: Any, x: Tensor, count: int) -> Tensor:
    """`t` as int64 N on the device of `x`: one integer from 0 to count - 1, or one per image."""
    if not isinstance(t, Tensor) or t.ndim == 0:
        return torch.full((len(x),), whole(t, "t", 0, count - 1), device=x.device)
    if t.is_floating_point() or t.dtype == torch.bool or t.shape != (len(x),):
        raise UserError(f"t must be one whole number, or {len(x)}, one per image, not {shown(t)}")
    if len(t) and not 0 <= int(t.min()) <= int(t.max()) < count:
        wrong = next(int(value) for value in t if not 0 <= int(value) < count)
        raise UserError(f"t must be from 0 to {count - 1}, not {wrong}")
    return t.to(x.device, torch.int64)


def batch(value: Any, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
    """Check a floating-point tensor N x *shape and return it on the device of `like`, in its dtype."""
    text = " x ".join(map(str, ("N", *shape)))
    if not isinstance(value, Tensor) or value.shape[1:] != tuple(shape) or value.ndim == 0:
        raise UserError(f"{name} must be a tensor {text}, not {shown(value)}")
    if not value.is_floating_point():
        raise UserError(f"{name} must be of floating point, not {value.dtype}")
    if value.device != like.device:
        raise UserError(f"{name}: on {value.device}, the model on {like.device}; move one of them")
    return value.to(like.dtype)


def images(value: Any, size: int, like: Tensor) -> Tensor:
    """Check images N x 3 x size x size in [-1, 1], as `batch` does."""
    checked = batch(value, "images", (3, size, size), like)
    if len(checked) and float(checked.detach().abs().max()) > BRIGHTEST:
        raise UserError(
            f"images must be in [-1, 1]; these go from {float(checked.min()):.4g} to "
            f"{float(checked.max()):.4g} (pixels of 8 bits: x / 127.5 - 1)"
        )
    return checked


def as_many(value: Tensor, name: str, of: Tensor, others: str) -> None:
    """Raise UserError unless two batches have the same length."""
    if len(value) != len(of):
        raise UserError(f"{name} and {others} must be as many, not {len(value)} and {len(of)}")
