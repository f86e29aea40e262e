"""Codes and features of images. Each is computed once and kept in the store, whichever benchmark
asks for it first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.selection import Selection
from benchmarks.core.store import Arrays, Store
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.base import Code, System, parts_of, reading_of
from benchmarks.systems.protocol.parts import Semantic
from diffae.eight_bit import to_uint8

SEMANTIC = "semantic"  # the name of the arrays in chunks


@dataclass(frozen=True)
class Codes:
    """Access to the codes and features of a run; `precision` is that of the systems' networks
    (runtime/precision.py).
    """

    store: Store
    networks: MetricNetworks
    device: torch.device
    precision: str
    deciding: Mapping[str, Any] = field(
        default_factory=dict
    )  # the run's options that decide numbers

    def key(self, work: str, system: System | None, selection: Selection | None) -> dict[str, Any]:
        """The start of a store key: the kind of work, the weights and solver, the images, device
        and precision.
        """
        solver = {"solver": str(system.solver)} if system is not None and system.solver else {}
        return self._key(work, system, selection) | solver

    def _key(self, work: str, system: System | None, selection: Selection | None) -> dict[str, Any]:
        """The same without the solver, for work that takes no steps."""
        key = {"work": work, "device": self.device.type, "precision": self.precision}
        key |= self.deciding
        if system is not None:
            key |= {"system": system.name, "weights": system.fingerprint}
        return key | (selection.key if selection is not None else {})

    def semantic(self, system: System, selection: Selection) -> Semantic:
        """Semantic codes of a selection, each in its own shape, all in memory."""
        if not len(selection):
            return parts.of_no_image(parts_of(system))
        seen = selection.seen_by(system)
        chunks = self.store.chunks(
            self._key("semantic", system, seen),
            len(selection),
            lambda positions: _semantic(system, seen, positions),
        )
        codes = (parts.from_arrays(chunk, SEMANTIC) for chunk in chunks)
        return parts.join([code for code in codes if code is not None])

    def features(self, system: System, selection: Selection) -> Tensor:
        """Features that a probe reads from the semantic codes of a selection: float32 N x d.

        A vector is its own feature and is stored once. Other codes may be large, so that only what
        is read of them is stored.
        """
        if not len(selection):
            return torch.zeros(0, parts.read_width(parts_of(system)) or 0)
        described, seen = reading_of(system), selection.seen_by(system)
        key = self._key("read" if described else "semantic", system, seen) | described
        compute = _read if described else _semantic
        return torch.from_numpy(
            self.store.array(key, len(selection), lambda p: compute(system, seen, p), SEMANTIC)
        )

    def full(self, system: System, selection: Selection, positions: np.ndarray, steps: int) -> Code:
        """Full codes of whole chunks of a selection, for use inside the computation of a chunk."""
        start, stop = int(positions[0]), int(positions[-1]) + 1
        seen = selection.seen_by(system)
        key = self.key("code", system, seen) | ({"steps": steps} if system.iterative else {})
        arrays = self.store.stretch(key, start, stop, lambda p: _code(system, seen, p, steps))
        x_T = torch.from_numpy(arrays["x_T"]) if "x_T" in arrays else None
        return Code(parts.from_arrays(arrays, SEMANTIC), x_T)

    def real_features(self, selection: Selection, network: FeatureNetwork) -> np.ndarray:
        """Features of real images for Frechet distances: float32 N x d."""
        if not len(selection):
            return np.zeros((0, network.dim), np.float32)
        return self.store.array(
            self.key("features", None, selection) | network.describe(),
            len(selection),
            lambda positions: {"features": embedded(selection.batch(positions), network)},
            "features",
        )

    def embed(self, images: Tensor, as_decoded: bool = False) -> Arrays:
        """Features of images in [-1, 1] by all networks, each N x d under `FeatureNetwork.array`.

        `as_decoded` is that of `embedded`.
        """
        return {n.array: embedded(images, n, as_decoded) for n in self.networks.features}

    def described(self) -> dict[str, Any]:
        """The descriptions of all networks of `embed`, for keys of the store."""
        return {network.network: network.describe() for network in self.networks.features}


def embedded(images: Tensor, network: FeatureNetwork, as_decoded: bool = False) -> np.ndarray:
    """Features of images in [-1, 1], after rounding to 8 bits as if they had been saved.

    With `as_decoded` a network that takes floats is given them as they are, also beyond [-1, 1].
    """
    floats = as_decoded and network.takes_floats
    seen = images.float().add(1).mul(127.5) if floats else to_uint8(images)
    return network(seen).cpu().numpy()


def _semantic(system: System, selection: Selection, positions: np.ndarray) -> Arrays:
    return parts.to_arrays(system.encode_semantic(selection.batch(positions)), SEMANTIC)


def _read(system: System, selection: Selection, positions: np.ndarray) -> Arrays:
    read = system.read(system.encode_semantic(selection.batch(positions)))
    return {SEMANTIC: read.cpu().float().numpy()}


def _code(system: System, selection: Selection, positions: np.ndarray, steps: int) -> Arrays:
    code = system.encode(selection.batch(positions), steps)
    x_T = {} if code.x_T is None else {"x_T": code.x_T.cpu().numpy()}
    return parts.to_arrays(code.semantic, SEMANTIC) | x_T
