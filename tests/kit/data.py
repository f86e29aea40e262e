"""Images for tests: noise and what was made of it, and folders of PNG files."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]


def write_images(folder: Path, images: Iterable[Images]) -> Path:
    """Write images H x W x 3 as PNG files that are called by their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def originals_and_made(count: int = 9) -> tuple[Images, Images]:
    """Images of 48 px, uint8 N x H x W x 3, and the same with noise of unlike strength; one pair is dark."""
    draw = np.random.default_rng(0)
    smooth = draw.integers(0, 256, (count, 6, 6, 3)).repeat(8, 1).repeat(8, 2)
    strengths = np.linspace(5, 30, count)[:, None, None, None]
    made = (smooth + draw.normal(size=smooth.shape) * strengths).clip(0, 255).round()
    for side in (smooth, made):
        side[4] //= 3
    return smooth.astype(np.uint8), made.astype(np.uint8)


def write_pair(folder: Path, images: tuple[Images, Images]) -> tuple[str, str]:
    """Write originals and what was made of them to folders `originals` and `made`."""
    originals, made = (
        write_images(folder / name, side)
        for name, side in zip(("originals", "made"), images, strict=True)
    )
    return str(originals), str(made)
