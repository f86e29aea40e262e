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
from benchmarks.metrics.networks.chosen import MetricNetworks, N
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.runtime.calling import Batches
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

    def read(self, of: Computation) -> Arrays:
        return _repeated(self._one(of), of.count)

    def stretch(self, of: Computation, start: int) -> Arrays:
        every = replace(of, count=of.count * self.counts.units)
        return _repeated(self._one(every), of.count)

    def chunks(self, of: Computation) -> Iterator[Arrays]:
        yield self.read(of)

    def once(self, key: dict[str, Any], compute: Once, unfitted: Once | None = None) -> Arrays:
        return self._one(Computation(key["work"], key, 1, lambda _: (unfitted or compute)()))

    def _one(self, of: Computation) -> Arrays:
        """The arrays of one unit of a computation."""
        path, counts = self._path(of, (0, 1)), self.counts
        known = counts.work.get(of.folder)
        if known is None:
            with counts.one_of(of.count):
                # the last unit: the first one brings a preview, which is no part of every unit
                self._kept[path] = of.compute(np.array([max(of.count - 1, 0)]))
                size = sum(array.nbytes for array in self._kept[path].values())
                what = of.what + by_solver(of.key.get("solver"))
                real = "system" not in of.key
                shared = of.shared or (of.what if real else "")
                known = Work(what, 0, counts.calls, of.steps, size, shared, real)
        counts.work[of.folder] = replace(known, images=max(of.count, known.images))
        return self._kept[path]


def _repeated(arrays: Arrays, count: int) -> Arrays:
    """Arrays of `count` rows that are all the first one; they take no memory."""

    def repeated(one: np.ndarray) -> np.ndarray:
        shape, strides = (count * bool(len(one)), *one.shape[1:]), (0, *one.strides[1:])
        return np.lib.stride_tricks.as_strided(one, shape, strides)

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

    def decode(self, code: Code, steps: int = 100) -> Tensor:
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


class _Uncalled(Batches):
    """Batches of a metric network that is not called: images are counted, and get ones of a shape."""

    def __init__(self, counts: Counts, name: str, *shape: int):
        super().__init__()
        self._counts, self._name, self._shape = counts, name, shape

    def each(self, method: str, count: int, call: object) -> list[Any]:
        self._counts.add(**{self._name: count} if self._name else {})
        return [torch.ones(count, *self._shape)]


class _Networks(MetricNetworks):
    """The metric networks of a run, none of which is called."""

    counts: Counts

    @cached_property
    def features(self) -> tuple[FeatureNetwork, ...]:
        """Those of a run are one call together."""
        first, *others = super().features
        uncounted = (replace(o, batches=_Uncalled(self.counts, "", o.dim)) for o in others)
        return first, *uncounted

    def _once(self, key: tuple[str, ...], load: Callable[[], N]) -> N:
        network = super()._once(key, load)
        if isinstance(network, FeatureNetwork):
            return replace(network, batches=_Uncalled(self.counts, "features", network.dim))
        is_face = isinstance(network, FaceEmbedding)
        how = ("face", 1) if is_face else ("perceptual",)
        return replace(network, batches=_Uncalled(self.counts, *how))


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
        self.counts = Counts()
        networks = _Networks(**_fields(context.networks))
        networks.counts, networks._loaded = self.counts, context.networks._loaded
        data, store = _Undecoded(**_fields(context.dataset)), CountingStore(self.counts)
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
        for one in run(context.for_system(system), Uncalled(system, self.counts, side)):
            if isinstance(one, Computation):
                _ = self.context.store.read(one)
            elif isinstance(one, Measurement):
                _ = one.arrays(self.context.store)
                fits += one.fits
        called = [work for work in self.counts.work.values() if work.calls != Calls()]
        yield from [*_together(called), *fits]


def _fields(one: Any) -> dict[str, Any]:
    """What a dataclass was made of."""
    return {field.name: getattr(one, field.name) for field in fields(one) if field.init}


def _together(work: Iterable[Work]) -> Iterator[Work]:
    """Work of one description on as many images as one, with all calls of an image."""
    alike: dict[object, list[Work]] = {}
    for number, one in enumerate(work):
        key = number if one.shared else (one.what, one.images, one.steps)
        alike.setdefault(key, []).append(one)
    for first, *others in alike.values():
        what = f"{len(others) + 1} x {first.what}" if others else first.what
        calls = reduce(Calls.plus, (one.calls for one in others), first.calls)
        yield replace(first, what=what, calls=calls, bytes=sum(o.bytes for o in (first, *others)))
