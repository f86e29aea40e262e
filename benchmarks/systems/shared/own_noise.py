"""Noise that a system draws itself, seeded by each image.

A system gets images without their indices, and its results must not depend on batches. So the seed
is a digest of the image's grey levels, and an image has the same noise in every selection.
"""

import hashlib

import torch
from torch import Tensor

from diffae.diffusion import noise
from diffae.eight_bit import to_uint8


def digests(images: Tensor) -> list[bytes]:
    """SHA-256 of each image N x 3 x h x w in [-1, 1], rounded to 8 bits."""
    return [hashlib.sha256(image.tobytes()).digest() for image in to_uint8(images).cpu().numpy()]


def normals(images: Tensor, purpose: str, shape: tuple[int, ...], number: int = 0) -> Tensor:
    """Standard normal noise for each image: N x *shape, float32, on the CPU.

    `number` selects one of several.
    """
    keys = [f"{purpose} {digest.hex()}" for digest in digests(images)]
    drawn = [noise.normals(noise.generator(0, key, number), shape) for key in keys]
    return torch.stack(drawn) if drawn else torch.zeros(0, *shape)
