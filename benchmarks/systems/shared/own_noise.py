"""Noise of a system's own that belongs to an image.

A system is given images without their indices, and its results must not depend on batches: so the noise is
that of the image's content, a digest of its grey levels. The same image has the same noise in every selection.
"""

import hashlib

import torch
from torch import Tensor

from diffae.diffusion import noise
from diffae.eight_bit import to_uint8

HALF = 1 << 16


def digests(images: Tensor) -> list[bytes]:
    """SHA-256 of each image N x 3 x h x w in [-1, 1], rounded to 8 bits."""
    return [hashlib.sha256(one.tobytes()).digest() for one in to_uint8(images).cpu().numpy()]


def normals(images: Tensor, purpose: str, shape: tuple[int, ...], number: int = 0) -> Tensor:
    """Standard normal noise for each image, of several the one of that number: N x *shape, float32, on the CPU."""
    keys = [f"{purpose} {digest.hex()}" for digest in digests(images)]
    drawn = [noise.normals(noise.generator(0, key, number), shape) for key in keys]
    return torch.stack(drawn) if drawn else torch.zeros(0, *shape)


def marks(images: Tensor) -> Tensor:
    """What a code can carry so that `generators` knows its image: N x 2 whole numbers of 16 bits, as float32."""
    found = [(d[0] * 256 + d[1], d[2] * 256 + d[3]) for d in digests(images)]
    return torch.tensor(found, dtype=torch.float32, device=images.device).reshape(-1, 2)


def generators(marks: Tensor) -> list[torch.Generator]:
    """A generator on the CPU for each image."""
    seeds = [high * HALF + low for high, low in marks.cpu().long().tolist()]
    return [torch.Generator().manual_seed(seed) for seed in seeds]
