"""What a benchmark works with: images by position, codes from the store, and rows with their protocol."""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import to_uint8
from benchmarks.core.profiles import Profile
from benchmarks.core.store import Arrays, Store, digest
from benchmarks.metrics import METRICS, weights
from benchmarks.metrics.features import FeatureNetwork, feature_network
from benchmarks.metrics.identity import FaceEmbedding, face_embedding
from benchmarks.metrics.perceptual import PerceptualDistance, path_distance, perceptual_distance
from benchmarks.metrics.weights import NotAvailable
from benchmarks.systems.base import Code, System
from diffae.data import Dataset
from reports.published import attach
from reports.records import Record, record_key
from reports.uncertainty import (
    UNKNOWN,
    Error,
    Uncertainty,
    by_group,
    of_mean,
    units_of,
)
from reports.uncertainty import error as standard_error


@dataclass(frozen=True)
class Selection:
    """`count` images of a split in a seeded order: position p always means the same image."""

    dataset: Dataset
    split: str
    order: np.ndarray
    seed: int

    def __len__(self) -> int:
        return len(self.order)

    @property
    def key(self) -> dict[str, Any]:
        """What decides the images behind the positions, for the store."""
        return {
            "data": self.dataset.fingerprint,
            "transform": self.dataset.transform.describe(),
            "split": self.split,
            "selection_seed": _stream(self.split, self.seed),
        }

    def batch(self, positions: np.ndarray) -> Tensor:
        """Images N x 3 x S x S in [-1, 1]."""
        return self.dataset.batch(self.order[positions])

    @property
    def labels(self) -> np.ndarray:
        """Attributes, bool N x A. Raises NotAvailable if the data has none."""
        if self.dataset.attributes is None:
            raise NotAvailable(f"{self.dataset.name} has no attributes")
        return self.dataset.attributes[self.order]

    @property
    def groups(self) -> np.ndarray:
        """What is independent of each other, int N: persons where they are known, else images."""
        known = self.dataset.identities
        return self.order if known is None else known[self.order]

    def uncertainty(self, influence: np.ndarray) -> Uncertainty:
        """The uncertainty of a number that the images moved by `influence` [N]."""
        kind = "images" if self.dataset.identities is None else "persons"
        groups = self.groups
        return by_group(influence, groups, units_of(kind, self.dataset.fingerprint, digest(groups)))

    def mean(self, values: np.ndarray) -> tuple[float, Uncertainty]:
        """The mean of a score [N] over the images, and its uncertainty."""
        mean = float(np.mean(values, dtype=np.float64))
        parts = of_mean(values, "")
        return mean, self.uncertainty(parts[0].values) if parts else UNKNOWN

    def units(self, kind: str) -> str:
        """The name of what is made of these images in their order, e.g. pairs."""
        return units_of(kind, self.dataset.fingerprint, digest(self.order))

    def blocks(self, count: int) -> np.ndarray:
        """The jackknife block of each image, int N; no person is in two blocks."""
        _, member = np.unique(self.groups, return_inverse=True)
        return member % count


class Failure(NamedTuple):
    """A system that failed a benchmark, or the benchmark of a plug-in that did; there is a row that says so."""

    benchmark: str
    system: str
    reason: str


@dataclass
class Context:
    """One run: data, sizes, seed, store and metric networks, shared by all of its benchmarks."""

    dataset: Dataset
    profile: Profile
    seed: int
    device: torch.device
    store: Store
    pictures: Path
    weights_dir: Path | None = None
    allow_unknown_weights: bool = False
    attributes: tuple[str, ...] = ()
    precision: str = "float32"  # of the systems' networks, see benchmarks/core/precision.py
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)
    uncertainties: dict[str, Uncertainty] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    model: dict[str, Any] = field(
        default_factory=dict
    )  # of the system that is measured now, see `measuring`

    # ------------------------------------------------------------------------------------------
    # Metric networks: the real ones where their weights are, else the honestly named stand-ins

    @cached_property
    def perceptual(self) -> PerceptualDistance:
        return perceptual_distance(self.weights_dir, self.allow_unknown_weights, self.device)

    @cached_property
    def path_distance(self) -> PerceptualDistance:
        """The distance of path lengths, in float64."""
        distance = path_distance(self.weights_dir, self.allow_unknown_weights, self.perceptual)
        return distance.in_float64()

    @cached_property
    def features(self) -> FeatureNetwork:
        return feature_network(self.weights_dir, self.allow_unknown_weights, self.device)

    @cached_property
    def face(self) -> FaceEmbedding:
        """Raises NotAvailable where there is no embedding for this data set."""
        return face_embedding(
            self.weights_dir, self.allow_unknown_weights, self.device, self.dataset.name
        )

    def metric_networks(self) -> dict[str, Any]:
        """What every metric network of this run is, its weights by hash: what a run folder belongs to."""
        try:
            face = self.face.describe()
        except NotAvailable:
            face = None
        vgg16 = weights.find(
            "vgg16", self.weights_dir
        )  # not loaded where no path length is asked for
        return {
            "perceptual": self.perceptual.describe(),
            "features": self.features.describe(),
            "face": face,
            "vgg16": vgg16 and weights.sha256(vgg16),
        }

    @contextmanager
    def measuring(self, system: System) -> Iterator[None]:
        """Within the block, protocols are of this system: they say what `System.describe` says."""
        before, self.model = self.model, dict(system.describe())
        try:
            yield
        finally:
            self.model = before

    # ------------------------------------------------------------------------------------------
    # Images and codes

    def select(self, split: str, count: int) -> Selection:
        """The first `count` images of a split in the run's order, or all if there are fewer."""
        indices = self.dataset.indices(split)
        order = np.random.default_rng(_stream(split, self.seed)).permutation(indices)
        return Selection(self.dataset, split, order[:count], self.seed)

    def key(self, work: str, system: System | None, selection: Selection | None) -> dict[str, Any]:
        """The start of a store key: what kind of work, by which weights, on which images, how exactly."""
        parts: dict[str, Any] = {"work": work, "device": self.device.type}
        parts["precision"] = self.precision
        if system is not None:
            parts |= {"system": system.name, "weights": system.fingerprint}
        return parts | (selection.key if selection is not None else {})

    def semantic(self, system: System, selection: Selection) -> Tensor:
        """Semantic codes of a selection, from the store: N x d."""
        if not len(selection):
            return torch.zeros(0, system.semantic_dim)
        codes = self.store.array(
            self.key("semantic", system, selection),
            len(selection),
            lambda positions: _semantic(system, selection, positions),
            "semantic",
        )
        return torch.from_numpy(codes)

    def code(self, system: System, selection: Selection, positions: np.ndarray, steps: int) -> Code:
        """The full code of one chunk of a selection, from the store: used inside a chunk's computation."""
        piece = (int(positions[0]), int(positions[-1]) + 1)
        key = self.key("code", system, selection) | ({"steps": steps} if system.iterative else {})
        arrays = self.store.chunk(key, piece, lambda p: _code(system, selection, p, steps))
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Code(tensors.get("semantic"), tensors.get("x_T"))

    def real_features(self, selection: Selection) -> np.ndarray:
        """Features of real images for Frechet distances, from the store: float32 N x d."""
        if not len(selection):
            return np.zeros((0, self.features.dim), np.float32)
        return self.store.array(
            self.key("features", None, selection) | self.features.describe(),
            len(selection),
            lambda positions: {"features": self.embed(selection.batch(positions))},
            "features",
        )

    def embed(self, images: Tensor) -> np.ndarray:
        """Features of images in [-1, 1], rounded to 8 bits first as if they had been saved."""
        return self.features(to_uint8(images)).cpu().numpy()

    # ------------------------------------------------------------------------------------------
    # Records

    def protocol(self, benchmark: str, **fields: Any) -> str:
        """Register what makes a number comparable and return its id."""
        full = {
            "benchmark": benchmark,
            "dataset": self.dataset.name,
            "dataset_images": len(self.dataset),
            "data_sha256": self.dataset.fingerprint,
            "transform": self.dataset.transform.describe(),
            "partition": self.dataset.partition_source,
            "seed": self.seed,
            "precision": self.precision,
            "device": self.device.type,
            **({"model": self.model} if self.model else {}),
            **fields,
        }
        text = json.dumps(full, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.protocols[name] = json.loads(text)
        return name

    def record(
        self,
        benchmark: str,
        table: str,
        system: str,
        metric: str,
        value: float | None,
        *,
        split: str = "test",
        setting: str = "",
        steps: int | None = None,
        uncertainty: Uncertainty = UNKNOWN,
        stderr: float | None = None,
        n: int | None = None,
        protocol: str = "",
        note: str = "",
        reference: bool = False,
    ) -> Record:
        """A row, with the metric's direction and unit and the paper's number for the same cell.

        The standard error is that of `uncertainty`, which is kept for comparisons, or `stderr` where the
        influences of single units are not known. The interval has 95 %, by Student's t. A value that is not a
        finite number becomes no value, and the note says what it was. So does it say of files that other software
        reads otherwise, such as images with an alpha channel.
        """
        info = METRICS[metric]
        if value is not None and not math.isfinite(value):
            note = "; ".join(filter(None, [f"the value is {_in_words(value)}", note]))
            value, uncertainty, stderr = None, UNKNOWN, None
        if value is not None:
            note = "; ".join(filter(None, [note, self.dataset.survey.note]))
        uncertainty = _finite(uncertainty)
        error = standard_error(uncertainty)
        if error is None and stderr is not None and np.isfinite(stderr):
            error = Error(stderr, math.inf)
        half = error.quantile(0.975) if value is not None and error else None
        row = Record(
            benchmark,
            table,
            system,
            self.dataset.name,
            split,
            setting,
            steps,
            metric,
            value,
            stderr=error.stderr if error else None,
            ci_low=None if half is None or value is None else value - half,
            ci_high=None if half is None or value is None else value + half,
            n=n,
            direction=info.direction,
            unit=info.unit,
            protocol=protocol,
            note=note,
            reference=reference,
        )
        if uncertainty:
            self.uncertainties[record_key(row)] = uncertainty
        return attach(row, self.protocols.get(protocol, {}))


def _semantic(system: System, selection: Selection, positions: np.ndarray) -> Arrays:
    return {"semantic": system.encode_semantic(selection.batch(positions)).cpu().float().numpy()}


def _code(system: System, selection: Selection, positions: np.ndarray, steps: int) -> Arrays:
    code = system.encode(selection.batch(positions), steps)
    parts = {"semantic": code.semantic, "x_T": code.x_T}
    return {name: part.cpu().numpy() for name, part in parts.items() if part is not None}


def _in_words(value: float) -> str:
    return "not a number" if math.isnan(value) else "infinite"


def _finite(uncertainty: Uncertainty) -> Uncertainty:
    """The uncertainty, or UNKNOWN if a part of it is not finite."""
    return uncertainty if all(np.isfinite(part.values).all() for part in uncertainty) else UNKNOWN


def mean_and_stderr(values: np.ndarray) -> tuple[float, float | None]:
    """Mean over images and its standard error (None for a single image)."""
    mean = float(np.mean(values, dtype=np.float64))
    if len(values) < 2 or not np.isfinite(values).all():
        return mean, None
    return mean, float(np.std(values, ddof=1, dtype=np.float64) / np.sqrt(len(values)))


def _stream(split: str, seed: int) -> int | list[int]:
    """What seeds the order of a split.

    A data set without a split of its own is divided by the permutation of default_rng(0): all of its images in
    that order would be those to train on, then those to validate on, then those to test on.
    """
    return [seed, 1] if split == "all" else seed


Rows = Iterator[Record]
