"""Noise that belongs to an image, not to a batch.

The noise of image i comes from its own generator, keyed by (seed, purpose, i). Results therefore do not
depend on batch size, number of processes or the order of work, and an interrupted run goes on exactly.

The generator is Philox (Salmon et al., 2011) with a key of 128 bits. torch's own generator on the CPU takes
the low 32 bits of a seed, of which two among 50,000 images agree with a chance of 25 %.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def generator(seed: int, purpose: str, index: int) -> np.random.Generator:
    """A generator that depends on all three arguments and nothing else: on 128 bits of their SHA-256."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


class ExampleNoise:
    """The noise of the examples of a batch, each from a generator of its own: (seed, purpose, number of the example).

    It is drawn as from a `numpy.random.Generator`, of which it has what losses use; the first axis is the examples.
    However a batch is cut into parts, and whoever computes them, an example has the same noise.
    """

    def __init__(self, seed: int, purpose: str, numbers: Sequence[int]):
        self._sources = [generator(seed, purpose, int(number)) for number in numbers]

    def standard_normal(self, size: Sequence[int], dtype: Any = np.float64) -> np.ndarray:
        return np.stack([s.standard_normal(self._one(size), dtype) for s in self._sources])

    def random(self, size: Sequence[int], dtype: Any = np.float64) -> np.ndarray:
        return np.stack([s.random(self._one(size), dtype) for s in self._sources])

    def integers(self, high: int, size: int) -> np.ndarray:
        self._one((size,))
        return np.array([s.integers(high) for s in self._sources])

    def _one(self, size: Sequence[int]) -> tuple[int, ...]:
        """The shape of one example. Raises ValueError if another number of them is asked for."""
        if size[0] != len(self._sources):
            raise ValueError(f"noise of {size[0]} examples, and there are {len(self._sources)}")
        return tuple(size[1:])


Noise = np.random.Generator | ExampleNoise


def normal(seed: int, purpose: str, indices: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal noise for each of `indices`: len(indices) x *shape, float32, on the CPU."""
    return torch.stack([normals(generator(seed, purpose, int(i)), shape) for i in indices])


def normals(source: Noise, shape: Sequence[int]) -> Tensor:
    """The next standard normal numbers of a generator, float32, on the CPU."""
    return torch.from_numpy(source.standard_normal(tuple(shape), dtype=np.float32))


def uniforms(source: Noise, shape: Sequence[int]) -> Tensor:
    """The next numbers of a generator from [0, 1), float32, on the CPU."""
    return torch.from_numpy(source.random(tuple(shape), dtype=np.float32))
