"""Codes and features of images from the store: each is computed once, whichever benchmark asks for it first."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import to_uint8
from benchmarks.core.selection import Selection
from benchmarks.core.store import Arrays, Store
from benchmarks.metrics.networks import MetricNetworks
from benchmarks.systems.base import Code, System


@dataclass(frozen=True)
class Codes:
    """What a run keeps of images: `precision` is that of the systems' networks, see precision.py."""

    store: Store
    networks: MetricNetworks
    device: torch.device
    precision: str

    def key(self, work: str, system: System | None, selection: Selection | None) -> dict[str, Any]:
        """The start of a store key: what kind of work, by which weights, on which images, how exactly."""
        parts: dict[str, Any] = {"work": work, "device": self.device.type}
        parts["precision"] = self.precision
        if system is not None:
            parts |= {"system": system.name, "weights": system.fingerprint}
        return parts | (selection.key if selection is not None else {})

    def semantic(self, system: System, selection: Selection) -> Tensor:
        """Semantic codes of a selection: N x d."""
        if not len(selection):
            return torch.zeros(0, system.semantic_dim)
        codes = self.store.array(
            self.key("semantic", system, selection),
            len(selection),
            lambda positions: _semantic(system, selection, positions),
            "semantic",
        )
        return torch.from_numpy(codes)

    def full(self, system: System, selection: Selection, positions: np.ndarray, steps: int) -> Code:
        """The full code of one chunk of a selection: used inside a chunk's computation."""
        piece = (int(positions[0]), int(positions[-1]) + 1)
        key = self.key("code", system, selection) | ({"steps": steps} if system.iterative else {})
        arrays = self.store.chunk(key, piece, lambda p: _code(system, selection, p, steps))
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Code(tensors.get("semantic"), tensors.get("x_T"))

    def real_features(self, selection: Selection) -> np.ndarray:
        """Features of real images for Frechet distances: float32 N x d."""
        if not len(selection):
            return np.zeros((0, self.networks.features.dim), np.float32)
        return self.store.array(
            self.key("features", None, selection) | self.networks.features.describe(),
            len(selection),
            lambda positions: {"features": self.embed(selection.batch(positions))},
            "features",
        )

    def embed(self, images: Tensor) -> np.ndarray:
        """Features of images in [-1, 1], rounded to 8 bits first as if they had been saved."""
        return self.networks.features(to_uint8(images)).cpu().numpy()


def _semantic(system: System, selection: Selection, positions: np.ndarray) -> Arrays:
    return {"semantic": system.encode_semantic(selection.batch(positions)).cpu().float().numpy()}


def _code(system: System, selection: Selection, positions: np.ndarray, steps: int) -> Arrays:
    code = system.encode(selection.batch(positions), steps)
    parts = {"semantic": code.semantic, "x_T": code.x_T}
    return {name: part.cpu().numpy() for name, part in parts.items() if part is not None}
