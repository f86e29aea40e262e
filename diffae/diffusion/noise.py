"""Noise that belongs to an image, not to a batch.

The noise of image i comes from its own generator, keyed by (seed, purpose, i). Results therefore do
not depend on batch size, number of processes or the order of work, and an interrupted run resumes
with the same noise.

The generator is Philox (Salmon et al., 2011) with a key of 128 bits. torch's own generator on the
CPU takes the low 32 bits of a seed; among 50,000 images two share those with a probability of 25 %.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np
import torch
from torch import Tensor

Float = type[np.float32] | type[np.float64]
Draw = Callable[[np.random.Generator], np.ndarray | float | np.int64]


def generator(seed: int, purpose: str, index: int) -> np.random.Generator:
    """A generator that depends on all three arguments and nothing else: on 128 bits of their SHA-256."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


class ExampleNoise:
    """The noise of a batch's examples, each from its own generator: (seed, purpose, its number).

    It has those methods of `numpy.random.Generator` that losses use; the first axis is the
    examples. An example has the same noise however a batch is split, and whichever process computes
    it. The threads of `pool` draw at once: 128 x 128 pixels take 0.6 ms.
    """

    def __init__(
        self, seed: int, purpose: str, numbers: Sequence[int], pool: Executor | None = None
    ):
        self._sources = [generator(seed, purpose, int(number)) for number in numbers]
        self._map = map if pool is None else pool.map

    def standard_normal(self, size: Sequence[int], dtype: Float = np.float64) -> np.ndarray:
        return self._draw(size, lambda source: source.standard_normal(size[1:], dtype))

    def random(self, size: Sequence[int], dtype: Float = np.float64) -> np.ndarray:
        return self._draw(size, lambda source: source.random(size[1:], dtype))

    def integers(self, high: int, size: int) -> np.ndarray:
        return self._draw((size,), lambda source: source.integers(high))

    def _draw(self, size: Sequence[int], draw: Draw) -> np.ndarray:
        """Draw for each example. Raises ValueError unless `size` is of this number of examples."""
        if size[0] != len(self._sources):
            raise ValueError(f"noise for {size[0]} examples, but there are {len(self._sources)}")
        return np.array(list(self._map(draw, self._sources)))


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
