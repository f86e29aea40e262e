"""Small helpers on images that several benchmarks share."""

import re
from pathlib import Path

import numpy as np
from torch import Tensor

from benchmarks.metrics.features import resize
from benchmarks.metrics.pixel import seen
from diffae import distributed
from diffae.eight_bit import to_uint8
from diffae.files import writing
from diffae.sheet import Sheet, write

THUMBNAIL = 32


def thumbnails(images: Tensor) -> np.ndarray:
    """Images in [-1, 1] as small flat vectors, for distances between pixels: uint8 N x 3 * 32 * 32."""
    return to_uint8(resize(seen(images), THUMBNAIL)).flatten(1).cpu().numpy()


def file_name(text: str) -> str:
    """`text` from outside, such as the name of an attribute, as part of a file's name and no path."""
    return re.sub(r"[^\w .+-]", "_", text)[:100]


def save_sheet(path: Path | None, sheet: Sheet) -> None:
    """Draw a sheet of pictures into a PNG file; where `path` is None, nowhere."""
    if path is None or not distributed.is_main():
        return
    with writing(path.parent, "or choose another --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, sheet)
