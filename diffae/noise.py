"""Noise that belongs to an image, not to a batch.

The noise of image i comes from its own generator, seeded by (seed, purpose, i). Results therefore do not
depend on batch size, number of processes or the order of work, and an interrupted run goes on exactly.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator(seed: int, purpose: str, index: int) -> torch.Generator:
    """A CPU generator that depends on all three arguments and nothing else."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def normal(seed: int, purpose: str, indices: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal noise for each of `indices`: len(indices) x *shape, float32, on the CPU."""
    return torch.stack(
        [torch.randn(*shape, generator=generator(seed, purpose, int(i))) for i in indices]
    )
