"""Images in 8 bits, as a PNG file stores them."""

import torch
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as 8-bit numbers, rounded to 0..255.

    Values outside the range are clamped.
    """
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
