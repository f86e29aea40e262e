"""Small helpers on images that several benchmarks share."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks.metrics.networks.features import resize
from benchmarks.metrics.pixel import seen
from diffae.eight_bit import to_uint8
from diffae.system import distributed
from diffae.system.files import writing
from diffae.system.whole import write_whole

THUMBNAIL = 32


def thumbnails(images: Tensor) -> np.ndarray:
    """Images in [-1, 1] as small flat vectors, for distances between pixels: uint8 N x 3 * 32 * 32."""
    return to_uint8(resize(seen(images), THUMBNAIL)).flatten(1).cpu().numpy()


def preview(positions: np.ndarray, images: Tensor, most: int) -> np.ndarray:
    """The first few images of all, from the chunk at these positions: empty but for the first chunk."""
    return images[: most if positions[0] == 0 else 0].cpu().numpy()


def file_name(text: str) -> str:
    """`text` from outside, such as the name of an attribute, made safe as part of a file name."""
    return re.sub(r"[^\w .+-]", "_", text)[:100]


def save_images(folder: Path, images: np.ndarray, indices: Sequence[int]) -> None:
    """Write images (uint8 N x 3 x S x S) as PNG files named by their indices: 000012.png."""
    if not distributed.is_main():
        return
    with writing(folder, "or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        for pixels, index in zip(images, indices, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
            write_whole(folder / f"{index:06d}.png", buffer.getvalue())
