"""The metric networks of a run: the real ones where their weights are, else the honestly named stand-ins."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.metrics import weights
from benchmarks.metrics.features import FeatureNetwork, feature_network
from benchmarks.metrics.identity import FaceEmbedding, face_embedding
from benchmarks.metrics.perceptual import PerceptualDistance, path_distance, perceptual_distance
from benchmarks.runtime.batches import Batches
from benchmarks.runtime.errors import NotAvailable


@dataclass
class MetricNetworks:
    """Each is loaded when it is asked for. `dataset` is the name of the data: portraits have an embedding of ours."""

    weights_dir: Path | None
    allow_unknown: bool
    device: torch.device
    dataset: str
    batches: Batches = field(default_factory=Batches)

    @cached_property
    def perceptual(self) -> PerceptualDistance:
        found = perceptual_distance(self.weights_dir, self.allow_unknown, self.device)
        return replace(found, batches=self.batches)

    @cached_property
    def path_distance(self) -> PerceptualDistance:
        """The distance of path lengths, in float64."""
        distance = path_distance(self.weights_dir, self.allow_unknown, self.perceptual)
        return replace(distance.in_float64(), batches=self.batches)

    @cached_property
    def features(self) -> FeatureNetwork:
        found = feature_network(self.weights_dir, self.allow_unknown, self.device)
        return replace(found, batches=self.batches)

    @cached_property
    def face(self) -> FaceEmbedding:
        """Raises NotAvailable where there is no embedding for this data set."""
        found = face_embedding(self.weights_dir, self.allow_unknown, self.device, self.dataset)
        return replace(found, batches=self.batches)

    def describe(self) -> dict[str, Any]:
        """What every one of them is, its weights by hash: what a run folder belongs to."""
        try:
            face = self.face.describe()
        except NotAvailable:
            face = None
        # not loaded where no path length is asked for
        vgg16 = weights.find("vgg16", self.weights_dir)
        return {
            "perceptual": self.perceptual.describe(),
            "features": self.features.describe(),
            "face": face,
            "vgg16": vgg16 and weights.sha256(vgg16),
        }
