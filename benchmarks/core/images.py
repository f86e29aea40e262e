"""Images by position, and what is made of them: codes and features.

The same position in a seeded order of a split always means the same image. Codes and features are
computed once and kept in the store, whichever benchmark asks for them first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.job import Arrays, Calls, Job
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.units import Units
from benchmarks.runtime.digest import digest
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol import base, parts
from benchmarks.systems.protocol.base import (
    Code,
    System,
    has_no_encoder,
    has_own,
    parts_of,
    reading_of,
)
from benchmarks.systems.protocol.parts import Semantic
from diffae.data import Dataset
from diffae.data.partition import HALVED, stream
from diffae.eight_bit import to_uint8
from diffae.system.files import Json

SEMANTIC = "semantic"  # the name of the arrays in chunks
EVERYTHING: Mapping[str, str] = {}  # the description of a reading that takes codes as they are


@dataclass(frozen=True)
class Selection:
    """Images of a split in the run's order."""

    dataset: Dataset
    split: str
    order: np.ndarray
    seed: int

    def __len__(self) -> int:
        return len(self.order)

    @cached_property
    def key(self) -> dict[str, Json]:
        """What identifies the images at these positions, for keys of jobs."""
        data = self.dataset
        key: dict[str, Json] = {"data": data.fingerprint, "transform": data.transform.describe()}
        key |= {"partition": HALVED} if data.partition_source == HALVED else {}
        return key | {"split": self.split, "selection_seed": stream(self.split, self.seed)}

    def batch(self, positions: np.ndarray) -> Tensor:
        """Images N x 3 x S x S in [-1, 1]."""
        return self.dataset.batch(self.order[positions])

    def seen_by(self, system: System) -> "Selection":
        """The same images at the size of a system."""
        dataset = self.dataset.at(system.image_size or self.dataset.image_size)
        return self if dataset is self.dataset else replace(self, dataset=dataset)

    @property
    def labels(self) -> np.ndarray:
        """Attributes, bool N x A. Raises NotAvailable if the data has none."""
        if not self.dataset.labelled:
            raise NotAvailable(f"{self.dataset.name} has no attributes")
        return self.dataset.labels(self.order)

    @property
    def groups(self) -> np.ndarray:
        """The independent unit of each image, int N: its person where that is known, else itself."""
        return self.units.groups

    @cached_property
    def units(self) -> Units:
        """The independent units of the images, by which numbers of them are paired."""
        persons = self.dataset.identities
        who = None if persons is None else persons[self.order]
        return Units(self.dataset.fingerprint, self.order, who)


@dataclass(frozen=True)
class Chosen(Selection):
    """Images that were chosen one by one."""

    @property
    def key(self) -> dict[str, Json]:
        return super().key | {"chosen": digest(self.order)}


def select(dataset: Dataset, split: str, count: int, seed: int) -> Selection:
    """The first `count` images of a split in the order of `seed`, or all if there are fewer."""
    return Selection(dataset, split, dataset.ordered(split, seed)[:count], seed)


# ----------------------------------------------------------------------------------------------
# Codes and features


@dataclass(frozen=True)
class CodeStore:
    """The jobs that compute codes and features of images; `precision` is that of the systems' networks
    (runtime/precision.py).
    """

    networks: MetricNetworks
    device: torch.device
    precision: str
    deciding: Mapping[str, Json]  # the run's options that decide numbers

    def decides(
        self, system: System | None, selection: Selection | None, steps: bool = True
    ) -> dict[str, Json]:
        """What decides the arrays of a job: the weights, the images, device and precision; and the solver,
        of work that takes `steps`.
        """
        decides: dict[str, Json] = {"device": self.device.type, "precision": self.precision}
        decides |= self.deciding
        if system is not None:
            decides |= {"system": system.name, "weights": system.fingerprint}
            decides |= {"solver": str(system.solver)} if system.solver and steps else {}
        return decides | (selection.key if selection is not None else {})

    def features(self, system: System, selection: Selection) -> Job:
        """What a probe reads from the semantic codes of images, as `features_of` gives it: float32 N x d.

        A vector is its own feature and is stored once. Other codes may be large, so that only what
        is read of them is stored.
        """
        return self.semantic(system, selection, reading_of(system))

    def semantic(
        self, system: System, selection: Selection, reading: Mapping[str, str] = EVERYTHING
    ) -> Job:
        """Semantic codes of images, each in its own shape, or what a probe reads of them if `reading`
        describes it; `semantic_of` makes a code of the arrays.

        What is read of test images is read of their stored codes: these images are reconstructed, too,
        and are encoded once. Of training images, which are many, only what is read is stored.
        """
        seen = selection.seen_by(system)
        stored = [self.semantic(system, selection)] if reading and seen.split == "test" else []

        def compute(positions: np.ndarray, *arrays: Arrays) -> Arrays:
            if arrays:
                codes = semantic_of(arrays[0])
            elif has_no_encoder(system):
                codes = system.codes_of(seen.order[positions].tolist(), seen.dataset)
            else:
                codes = system.encode_semantic(seen.batch(positions))
            if reading:
                return {SEMANTIC: system.read(codes).cpu().float().numpy()}
            return parts.to_arrays(codes, SEMANTIC)

        return Job(
            "read" if reading else "semantic",
            f"z_sem of {seen.split}" + (", as probes read it" if reading else ""),
            self.decides(system, seen, False) | dict(reading),
            len(seen),
            compute,
            rows_of=stored,
            system=system,
            calls=Calls(encoder=0 if stored or has_no_encoder(system) else 1),
            empty={} if len(seen) else no_codes(system, bool(reading)),
        )

    def full(self, system: System, selection: Selection, steps: int) -> Job:
        """Full codes of images, in T = `steps`; `code_of` makes a code of the arrays. They are the semantic
        codes of a system that has no other.
        """
        parts_encoded = {base.SEMANTIC, base.STOCHASTIC} & system.capabilities
        if parts_encoded == {base.SEMANTIC} and not has_own(system, "encode"):
            return self.semantic(system, selection)
        seen, T = selection.seen_by(system), steps if system.iterative else None

        def compute(positions: np.ndarray) -> Arrays:
            code = system.encode(seen.batch(positions), steps)
            x_T = {} if code.x_T is None else {"x_T": code.x_T.cpu().numpy()}
            return parts.to_arrays(code.semantic, SEMANTIC) | x_T

        return Job(
            "code",
            encoding(system),
            self.decides(system, seen) | ({"steps": T} if T else {}),
            len(seen),
            compute,
            system=system,
            steps=T,
            calls=encoding_calls(system, T),
        )

    def real_features(self, selection: Selection, network: FeatureNetwork) -> Job:
        """Features of real images for Frechet distances, float32 N x d, as "features"."""

        def compute(positions: np.ndarray) -> Arrays:
            return {"features": embedded(selection.batch(positions), network)}

        return Job(
            "features",
            f"features of {selection.split}",
            self.decides(None, selection) | network.describe(),
            len(selection),
            compute,
            calls=Calls(features=1),
            empty={"features": np.zeros((0, network.dim), np.float32)},
        )

    def embed(self, images: Tensor, as_decoded: bool = False) -> Arrays:
        """Features of images in [-1, 1] by all networks, each N x d under `FeatureNetwork.array`.

        `as_decoded` is that of `embedded`.
        """
        return {n.array: embedded(images, n, as_decoded) for n in self.networks.features}

    def described(self) -> dict[str, Json]:
        """The descriptions of all networks of `embed`, for keys of the store."""
        return {network.network: network.describe() for network in self.networks.features}


def embedded(images: Tensor, network: FeatureNetwork, as_decoded: bool = False) -> np.ndarray:
    """Features of images in [-1, 1], after rounding to 8 bits as if they had been saved.

    With `as_decoded` a network that takes floats is given them as they are, also beyond [-1, 1].
    """
    floats = as_decoded and network.takes_floats
    seen = images.float().add(1).mul(127.5) if floats else to_uint8(images)
    return network(seen).cpu().numpy()


def no_codes(system: System, read: bool = True) -> Arrays:
    """The arrays of the semantic codes of no images, or of what probes `read` of them."""
    codes = parts.of_no_image(parts_of(system))
    if read:
        codes = parts.read(parts_of(system), codes)
    return parts.to_arrays(codes, SEMANTIC)


def semantic_of(arrays: Arrays) -> Semantic:
    """The semantic codes among the arrays of `CodeStore.semantic` or `CodeStore.full`."""
    return cast(Semantic, parts.from_arrays(arrays, SEMANTIC))


def features_of(arrays: Arrays) -> Tensor:
    """What a probe reads of codes, from the arrays of `CodeStore.features`: float32 N x d."""
    return torch.from_numpy(arrays[SEMANTIC])


def code_of(arrays: Arrays) -> Code:
    """The codes among the arrays of `CodeStore.full`."""
    x_T = torch.from_numpy(arrays["x_T"]) if "x_T" in arrays else None
    return Code(parts.from_arrays(arrays, SEMANTIC), x_T)


def encoding(system: System) -> str:
    """What encoding an image is called in a dry run, with its parts if it inverts."""
    if base.STOCHASTIC not in system.capabilities:
        return "encode"
    return "encode: z_sem and x_T" if base.SEMANTIC in system.capabilities else "encode: x_T"


# ----------------------------------------------------------------------------------------------
# Calls of a system's networks


def decode_calls(system: System, steps: int | None) -> int | None:
    """Network calls of one decoding; None where decoding takes no steps."""
    if steps is None or not system.iterative:
        return None
    return steps if system.solver is None else system.solver.decode_calls(steps)


def encode_calls(system: System, steps: int | None) -> int | None:
    """Network calls of one inversion; None where it takes no steps."""
    if steps is None or not system.iterative:
        return None
    return steps if system.solver is None else system.solver.encode_calls(steps)


def encoding_calls(system: System, steps: int | None) -> Calls:
    """Calls of encoding an image: of the encoder, and of the decoder for the inversion of x_T."""
    inverts = base.STOCHASTIC in system.capabilities
    encodes = base.SEMANTIC in system.capabilities or not inverts
    inversion = (encode_calls(system, steps) or 1) if inverts else 0
    return Calls(encoder=int(encodes), decoder=inversion)


# ----------------------------------------------------------------------------------------------
# Pictures


def preview(positions: np.ndarray, images: Tensor, most: int) -> np.ndarray:
    """The first few images of all, from the chunk at these positions: empty but for the first chunk."""
    return images[: most if positions[0] == 0 else 0].cpu().numpy()
