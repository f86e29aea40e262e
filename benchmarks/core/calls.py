"""What a run would compute, counted without computing it: --dry-run.

The benchmarks yield the measurements that they yield in a run. Systems and metric networks count how
often they would be called, and return ones in the form of their results; the store computes one unit
of each computation and multiplies. Nothing is reduced: fits and distances are not run, and counts that
depend on results are upper bounds.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial, reduce
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.context import Context
from benchmarks.core.measurement import Measurement
from benchmarks.core.plan import Calls, Work, by_solver, decode_calls, encode_calls
from benchmarks.core.store import Arrays, Computation, MemoryStore, Once
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.base import SEMANTIC, STOCHASTIC, Code, System, parts_of
from benchmarks.systems.protocol.checked import rows
from benchmarks.systems.protocol.parts import Semantic
from diffae.data import Dataset


class Counts:
    """The calls of the unit that is being counted, of which there are `units`, and all work so far by key."""

    def __init__(self) -> None:
        self.calls, self.units = Calls(), 1
        self.work: dict[str, Work] = {}

    def add(self, **calls: int) -> None:
        self.calls = self.calls.plus(Calls(**calls))

    @contextmanager
    def one_of(self, units: int) -> Iterator[None]:
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

    def read(self, computation: Computation) -> Arrays:
        return _repeated(self._one(computation), computation.count)

    def stretch(self, computation: Computation, start: int) -> Arrays:
        whole = replace(computation, count=computation.count * self.counts.units)
        return _repeated(self._one(whole), computation.count)

    def chunks(self, computation: Computation) -> Iterator[Arrays]:
        yield self.read(computation)

    def once(self, key: dict[str, Any], compute: Once, unfitted: Once | None = None) -> Arrays:
        return self._one(Computation(key["work"], key, 1, lambda _: (unfitted or compute)()))

    def _one(self, computation: Computation) -> Arrays:
        """The arrays of one unit of a computation."""
        path, counts = self._path(computation, (0, 1)), self.counts
        work = counts.work.get(computation.folder)
        if work is None:
            with counts.one_of(computation.count):
                # the last unit: the first one brings a preview, which is no part of every unit
                self._kept[path] = computation.compute(np.array([max(computation.count - 1, 0)]))
                size = sum(array.nbytes for array in self._kept[path].values())
                title = computation.what + by_solver(computation.key.get("solver"))
                real = "system" not in computation.key
                shared = computation.shared or (computation.what if real else "")
                work = Work(title, 0, counts.calls, computation.steps, size, shared, real)
        counts.work[computation.folder] = replace(work, images=max(computation.count, work.images))
        return self._kept[path]


def _repeated(arrays: Arrays, count: int) -> Arrays:
    """Arrays of `count` rows that are all the first one; they take no memory."""

    def repeated(array: np.ndarray) -> np.ndarray:
        length = count if len(array) else 0
        shape, strides = (length, *array.shape[1:]), (0, *array.strides[1:])
        return np.lib.stride_tricks.as_strided(array, shape, strides)

    return {name: repeated(array) for name, array in arrays.items()}


# ----------------------------------------------------------------------------------------------
# Systems, networks and data that do nothing


class Uncalled:
    """A system whose networks are not called: its results are ones in the form of real ones."""

    computes_in_float64 = False  # no network is converted

    def __init__(self, system: System, counts: Counts, side: int):
        self._system, self._counts, self._side = system, counts, side

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def solving(self, solver: str) -> "Uncalled":
        return Uncalled(self._system.solving(solver), self._counts, self._side)

    def unclamped(self) -> "Uncalled":
        return self

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        if {SEMANTIC, STOCHASTIC} & self._system.capabilities:
            return System.encode(cast(System, self), images, steps)
        self._counts.add(encoder=len(images))
        return Code(torch.ones(len(images), self._system.latent_dim), None)

    def encode_semantic(self, images: Tensor, ranks: Tensor | None = None) -> Semantic:
        self._counts.add(encoder=len(images))
        return self._semantic(len(images))

    encode_ranked = encode_semantic

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        self._counts.add(decoder=len(images) * (encode_calls(self._system, steps) or 1))
        return torch.ones_like(images)

    def edit(self, code: Code, attribute: str, target: bool, strength: float) -> Code:
        return code

    def decode(self, code: Code, steps: int = 100, keep: int | None = None) -> Tensor:
        return self.sample(range(rows(code)), 0, steps)

    def sample_latents(self, indices: Any, seed: int, steps: int) -> Semantic:
        self._counts.add(latent=len(indices) * (decode_calls(self._system, steps) or 1))
        return self._semantic(len(indices))

    def sample(self, indices: Any, seed: int, steps: int) -> Tensor:
        self._counts.add(decoder=len(indices) * (decode_calls(self._system, steps) or 1))
        return self.random_x_T(indices, seed)

    def random_x_T(self, indices: Any, seed: int) -> Tensor:
        return torch.ones(len(indices), 3, self._side, self._side)

    def predict_x0(self, images: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        self._counts.add(decoder=len(images))
        return images

    def _semantic(self, count: int) -> Semantic:
        """A code in the shape of the system's."""
        shaped = partial(torch.ones, count)
        return parts.each(lambda part: shaped(*part.shape[1:], dtype=part.dtype), self._form)

    @cached_property
    def _form(self) -> Semantic:
        """A code of the system: by a call only where its shape depends on the image's size."""
        if any(None in part.shape for part in parts_of(self._system)):
            return self._system.encode_semantic(torch.ones(1, 3, self._side, self._side))
        return parts.of_no_image(parts_of(self._system))


class _UncalledNetwork:
    """A metric network that is not called: it counts its images, and returns ones."""

    def __init__(self, network: Any, counts: Counts, name: str):
        self._network, self._counts, self._name = network, counts, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def __call__(self, images: Tensor, *_: Tensor, **__: bool) -> Tensor:
        self._counts.add(**{self._name: len(images)} if self._name else {})
        shape = {"perceptual": (), "face": (1,)}.get(self._name, (getattr(self, "dim", 1),))
        return torch.ones(len(images), *shape)


class _Networks:
    """The metric networks of a run, none of which is called."""

    def __init__(self, networks: MetricNetworks, counts: Counts):
        self._networks, self._counts = networks, counts

    def __getattr__(self, name: str) -> Any:
        network = getattr(self._networks, name)
        counted = {"path_distance": "perceptual"}.get(name, name)
        return self._uncalled(network, counted) if counted in ("perceptual", "face") else network

    @cached_property
    def features(self) -> tuple[Any, ...]:
        """Those of a run are one call together."""
        numbered = enumerate(self._networks.features)
        return tuple(self._uncalled(network, "" if i else "features") for i, network in numbered)

    def feature_network(self, *how: str) -> Any:
        return self._uncalled(self._networks.feature_network(*how), "features")

    def perceptual_distance(self, name: str) -> Any:
        return self._uncalled(self._networks.perceptual_distance(name), "perceptual")

    def _uncalled(self, network: Any, name: str) -> Any:
        return _UncalledNetwork(network, self._counts, name)


@dataclass(frozen=True, eq=False)
class _Undecoded(Dataset):
    """A data set of white images, of which nothing is read."""

    fingerprint = ""  # type: ignore[assignment]

    def images(self, indices: Any) -> np.ndarray:
        return np.full((len(indices), self.image_size, self.image_size, 3), 255, np.uint8)


# ----------------------------------------------------------------------------------------------
# Counting


class Counter:
    """Counts the work of benchmarks; `context` is that of the run."""

    def __init__(self, context: Context):
        self.counts, data = Counts(), context.dataset
        values = {field.name: getattr(data, field.name) for field in fields(data) if field.init}
        networks: Any = _Networks(context.networks, self.counts)
        data, store = _Undecoded(**values), CountingStore(self.counts)
        self.context = replace(context, dataset=data, store=store, networks=networks, pictures=None)

    def work(
        self, system: System, run: Callable[[Context, Any], Iterable[object]], **changes: Any
    ) -> Iterator[Work]:
        """The work of `run` on a system, and of the measurements and computations that it yields.

        `changes` are other values of the context.
        """
        context = replace(self.context, **changes)
        side = system.image_size or context.dataset.image_size
        self.counts.work.clear()
        fits: list[Work] = []
        for step in run(context.for_system(system), Uncalled(system, self.counts, side)):
            if isinstance(step, Computation):
                _ = self.context.store.read(step)
            elif isinstance(step, Measurement):
                _ = step.arrays(self.context.store)
                fits += step.fits
        called = [work for work in self.counts.work.values() if work.calls != Calls()]
        yield from [*_together(called), *fits]


def _together(work: Iterable[Work]) -> Iterator[Work]:
    """Work of one description on as many images as one, with all calls of an image."""
    alike: dict[object, list[Work]] = {}
    for number, part in enumerate(work):
        key = number if part.shared else (part.what, part.images, part.steps)
        alike.setdefault(key, []).append(part)
    for first, *others in alike.values():
        title = f"{len(others) + 1} x {first.what}" if others else first.what
        calls = reduce(Calls.plus, (part.calls for part in others), first.calls)
        yield replace(first, what=title, calls=calls, bytes=sum(o.bytes for o in (first, *others)))
