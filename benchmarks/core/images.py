"""Small helpers on images that several benchmarks share."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics.features import resize
from benchmarks.metrics.pixel import seen
from diffae import distributed
from diffae.files import writing

THUMBNAIL = 32


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as a PNG would keep them: rounded to 0..255."""
    return ((seen(images) + 1) * 127.5).round().to(torch.uint8)


def thumbnails(images: Tensor) -> np.ndarray:
    """Images in [-1, 1] as small flat vectors, for distances between pixels: uint8 N x 3 * 32 * 32."""
    return to_uint8(resize(seen(images), THUMBNAIL)).flatten(1).cpu().numpy()


def file_name(text: str) -> str:
    """`text` from outside, such as the name of an attribute, as part of a file's name and no path."""
    return re.sub(r"[^\w .+-]", "_", text)[:100]


def save_sheet(path: Path | None, rows: Sequence[Tensor], scale: int = 1) -> None:
    """Write rows of images (each n x 3 x S x S in [-1, 1], all of the same n) as one PNG; where `path` is None, nowhere."""
    if path is None or not distributed.is_main():
        return
    from torchvision.utils import make_grid, save_image  # not needed by `doctor` or `--dry-run`

    images = torch.cat([row.cpu().float() for row in rows]).repeat_interleave(scale, -1)
    images = images.repeat_interleave(scale, -2)
    grid = make_grid((images.clamp(-1, 1) + 1) / 2, nrow=len(rows[0]), padding=2, pad_value=1.0)
    with writing(path.parent, "or choose another --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(grid, path)
