"""Noise that belongs to an image, not to a batch.

The noise of image i comes from its own generator, keyed by (seed, purpose, i). Results therefore do not
depend on batch size, number of processes or the order of work, and an interrupted run goes on exactly.

The generator is Philox (Salmon et al., 2011) with a key of 128 bits. torch's own generator on the CPU takes
the low 32 bits of a seed, of which two among 50,000 images agree with a chance of 25 %.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def generator(seed: int, purpose: str, index: int) -> np.random.Generator:
    """A generator that depends on all three arguments and nothing else: on 128 bits of their SHA-256."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def normal(seed: int, purpose: str, indices: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal noise for each of `indices`: len(indices) x *shape, float32, on the CPU."""
    return torch.stack([normals(generator(seed, purpose, int(i)), shape) for i in indices])


def normals(source: np.random.Generator, shape: Sequence[int]) -> Tensor:
    """The next standard normal numbers of a generator, float32, on the CPU."""
    return torch.from_numpy(source.standard_normal(tuple(shape), dtype=np.float32))


def uniforms(source: np.random.Generator, shape: Sequence[int]) -> Tensor:
    """The next numbers of a generator from [0, 1), float32, on the CPU."""
    return torch.from_numpy(source.random(tuple(shape), dtype=np.float32))
