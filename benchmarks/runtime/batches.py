"""How many images a network is given at once. Memory and speed depend on it, results do not.

A chunk of the store (store.py) is what is stored, a batch is what is computed. By default they are the same. With
--batch-size N a system or a metric network is given N images at a time: a chunk is computed in parts, or several
chunks are computed together and stored apart. `auto` is large on a GPU, and halves what does not fit into memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from benchmarks.runtime.choices import AUTO, BatchSize
from diffae.memory import is_refusal
from diffae.system.errors import UserError

LARGEST = 512  # images that `auto` begins with on a GPU: more fill it no better, and the host holds them too

T = TypeVar("T")


@dataclass
class Batches:
    """Splits calls into batches of at most `size` images (None: all at once).

    If it `shrinks`, a method that runs out of memory is given half as many images from then on;
    `found` keeps that number.
    """

    size: int | None = None
    shrinks: bool = False
    found: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, batch_size: BatchSize) -> "Batches":
        """Batches for a value of --batch-size."""
        return cls(shrinks=True) if batch_size == AUTO else cls(_number(batch_size))

    def each(self, method: str, count: int, call: Callable[[slice], T]) -> list[T]:
        """The results of `call` for positions 0..count-1, batch by batch; one empty batch if `count` is 0."""
        results: list[T] = []
        start = 0
        while start < count or not results:
            stop = min(start + (self.found.get(method) or self.size or count), count)
            try:
                results.append(call(slice(start, stop)))
                start = stop
            except Exception as error:
                if not (self.shrinks and stop - start > 1 and is_refusal(error)):
                    raise
                self.found[method] = (stop - start) // 2
            if start < stop:  # here nothing holds what the failed call had in memory
                torch.cuda.empty_cache()
        return results


def images_together(batch_size: BatchSize, device: torch.device) -> int:
    """How many images to compute together; a number below the size of a chunk means one chunk."""
    if batch_size == AUTO:
        return LARGEST if device.type == "cuda" else 1
    return _number(batch_size) or 1


def _number(batch_size: BatchSize) -> int | None:
    """A number of images, or None. Raises UserError for anything else."""
    if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
        raise UserError(f"batch size {batch_size!r}: must be a number of images from 1, or {AUTO}")
    return batch_size
