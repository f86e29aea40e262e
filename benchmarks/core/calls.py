"""What a run would compute, counted without computing it: --dry-run.

The benchmarks yield the measurements that they yield in a run. Systems and metric networks count how
often they would be called, and return zeros in the form of their results; the store computes one unit
of each computation and multiplies. Nothing is reduced: fits and distances are not run, and counts that
depend on results are upper bounds.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work
from benchmarks.core.solving import decode_calls, encode_calls
from benchmarks.core.store import Arrays, Compute, MemoryStore
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.systems.protocol.base import (
    ENCODE,
    SEMANTIC,
    STOCHASTIC,
    Code,
    System,
    parts_of,
)
from benchmarks.systems.protocol.checked import rows
from benchmarks.systems.protocol.parts import Semantic, each
from diffae.data import Dataset


@dataclass
class Counts:
    """The calls of the unit that is being counted, and the work that was counted so far by key.

    `units` is how many units there are of it.
    """

    calls: Calls = Calls()
    units: int = 1
    work: dict[str, Work] = field(default_factory=dict)

    def add(self, **calls: int) -> None:
        self.calls = self.calls.plus(Calls(**calls))

    @contextmanager
    def of(self, units: int) -> Iterator[None]:
        """Within the block, calls are those of one of so many units."""
        before = self.calls, self.units
        self.calls, self.units = Calls(), units
        try:
            yield
        finally:
            self.calls, self.units = before


class CountingStore(MemoryStore):
    """A store that computes one unit of each computation, adds its calls to `counts` and repeats its arrays."""

    def __init__(self, counts: Counts):
        super().__init__()
        self.counts = counts

    def arrays(
        self, key: dict[str, Any], count: int, compute: Compute, *names: Any, **named: Any
    ) -> Arrays:
        return _repeated(self._one(key, count, compute), count)

    def stretch(self, key: dict[str, Any], start: int, stop: int, compute: Compute) -> Arrays:
        count = stop - start
        return _repeated(self._one(key, count * self.counts.units, compute), count)

    def chunks(
        self, key: dict[str, Any], count: int, compute: Compute, chunk: int | None = None
    ) -> Iterator[Arrays]:
        yield self.arrays(key, count, compute)

    def once(
        self,
        key: dict[str, Any],
        compute: Callable[[], Arrays],
        unfitted: Callable[[], Arrays] | None = None,
    ) -> Arrays:
        return self._one(key, 1, lambda _: (unfitted or compute)())

    def _one(self, key: dict[str, Any], count: int, compute: Compute) -> Arrays:
        """The arrays of one unit of `count`."""
        name, counts = self._file(key, (0, 1)).parent.name, self.counts
        known = counts.work.get(name)
        if known is not None and known.images >= count:
            return self._kept[self._file(key, (0, 1))]
        with counts.of(count):
            # the last unit: the first one brings a preview, which is no part of every unit
            arrays = compute(np.array([max(count - 1, 0)]))
            size = sum(array.nbytes for array in arrays.values())
            real = "system" not in key
            counts.work[name] = Work(
                str(key["work"]), count, counts.calls, key.get("steps"), size, name, real
            )
        self._kept[self._file(key, (0, 1))] = arrays
        return arrays


def _repeated(arrays: Arrays, count: int) -> Arrays:
    return {
        name: np.broadcast_to(array[:1], (count if len(array) else 0, *array.shape[1:]))
        for name, array in arrays.items()
    }


# ----------------------------------------------------------------------------------------------
# Systems and networks that are not called


class Uncalled:
    """A system whose networks are not called: its results are zeros in the form of real ones."""

    def __init__(self, system: System, counts: Counts, like: Code):
        self._system, self._counts, self._like = system, counts, like

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def solving(self, solver: str) -> "Uncalled":
        return Uncalled(self._system.solving(solver), self._counts, self._like)

    def unclamped(self) -> "Uncalled":
        return self

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        count, can = len(images), self._system.capabilities
        if SEMANTIC in can or STOCHASTIC not in can:
            self._counts.add(encoder=count)
        if STOCHASTIC in can:
            self._invert(count, steps)
        return _of(self._like, count)

    def encode_semantic(self, images: Tensor) -> Semantic | None:
        self._counts.add(encoder=len(images))
        return _of(self._like, len(images)).semantic

    def encode_ranked(self, images: Tensor, ranks: Tensor) -> Semantic | None:
        return self.encode_semantic(images)

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        self._invert(len(images), steps)
        return torch.zeros_like(images)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        self._counts.add(decoder=rows(code) * (decode_calls(self._system, steps) or 1))
        return self._images(rows(code))

    def sample_latents(self, indices: Any, seed: int, steps: int) -> Semantic | None:
        self._counts.add(latent=len(indices) * (decode_calls(self._system, steps) or 1))
        return _of(self._like, len(indices)).semantic

    def sample(self, indices: Any, seed: int, steps: int) -> Tensor:
        self._counts.add(decoder=len(indices) * (decode_calls(self._system, steps) or 1))
        return self._images(len(indices))

    def random_x_T(self, indices: Any, seed: int) -> Tensor:
        return self._images(len(indices))

    def add_noise(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        return images

    def predict_x0(self, images: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        self._counts.add(decoder=len(images))
        return images

    def _invert(self, count: int, steps: int) -> None:
        self._counts.add(decoder=count * (encode_calls(self._system, steps) or 1))

    def _images(self, count: int) -> Tensor:
        side = self._system.image_size or self._like_side
        return torch.zeros(count, 3, side, side)

    _like_side = 32


def _of(like: Code, count: int) -> Code:
    """A code of so many images in the form of that of one."""

    def grown(part: Tensor) -> Tensor:
        return part.expand(count, *part.shape[1:])

    return Code(
        None if like.semantic is None else each(grown, like.semantic),
        None if like.x_T is None else grown(like.x_T),
    )
