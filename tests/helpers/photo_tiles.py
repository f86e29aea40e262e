"""Tiles of a photograph, a different one for each number, as images and as PNG files."""

from functools import cache

from data_files import encode
from PIL import Image
from sklearn.datasets import load_sample_images


@cache
def photo() -> Image.Image:
    return Image.fromarray(load_sample_images().images[1])


def tile(index: int, width: int = 48, height: int = 48) -> Image.Image:
    return photo().crop((9 * index, 5 * index, 9 * index + width, 5 * index + height))


def encoded(index: int, width: int = 48, height: int = 48) -> bytes:
    return encode(tile(index, width, height))
