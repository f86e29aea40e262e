"""The metric networks of a run.

They are the published ones if their weights are present, else stand-ins under their own names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.metrics import weights
from benchmarks.metrics.features import FeatureNetwork, efficientnet_lite0, inception
from benchmarks.metrics.identity import PACKAGED, PORTRAITS, FaceEmbedding, arcface, id_portraits
from benchmarks.metrics.perceptual import (
    PerceptualDistance,
    effnet_distance,
    lpips_alexnet,
    lpips_vgg16,
)
from benchmarks.runtime.batches import Batches
from benchmarks.runtime.errors import NotAvailable
from reports.records.metrics import EFFNET

N = TypeVar("N", PerceptualDistance, FeatureNetwork, FaceEmbedding)

# By the names of their weights, the published network first; the weights of the last ship with the package.
FEATURES: dict[str, Callable[[Path, torch.device], FeatureNetwork]] = {
    "inception": inception,
    EFFNET: efficientnet_lite0,
}
DISTANCES: dict[str, Callable[[Path, torch.device], PerceptualDistance]] = {
    "alexnet": lpips_alexnet,
    EFFNET: effnet_distance,
}


@dataclass
class MetricNetworks:
    """The metric networks, each loaded at its first use.

    `dataset` is the name of the data: for the portraits there is a face embedding of our own.
    """

    weights_dir: Path | None
    allow_unknown: bool
    device: torch.device
    dataset: str
    batches: Batches = field(default_factory=Batches)

    def _first(self, choices: Mapping[str, Callable[[Path, torch.device], N]]) -> N:
        """Make the network of the first of `choices` whose weights are present, else of the last."""
        there = (name for name in choices if weights.find(name, self.weights_dir) is not None)
        name = next(there, list(choices)[-1])
        path = weights.load_path(name, self.weights_dir, self.allow_unknown)
        return replace(choices[name](path, self.device), batches=self.batches)

    @cached_property
    def perceptual(self) -> PerceptualDistance:
        """LPIPS if AlexNet's weights are found, else its stand-in; `metric_name` says which."""
        return self._first(DISTANCES)

    @cached_property
    def path_distance(self) -> PerceptualDistance:
        """The distance for path lengths, in float64.

        `lpips_vgg` if VGG16's weights are found, else the same as `perceptual`.
        """
        if weights.find("vgg16", self.weights_dir) is None:
            return self.perceptual.in_float64()
        return self._first({"vgg16": lpips_vgg16}).in_float64()

    @cached_property
    def features(self) -> FeatureNetwork:
        """Inception if its weights are found, else EfficientNet-lite0; `metric_name` says which."""
        return self._first(FEATURES)

    @cached_property
    def face(self) -> FaceEmbedding:
        """ArcFace if its weights are found, else on the portraits our own embedding.

        Raises NotAvailable if there is neither.
        """
        if weights.find("arcface", self.weights_dir) is not None:
            return self._first({"arcface": arcface})
        if self.dataset != PORTRAITS:
            raise NotAvailable(
                f"no face recognition weights: put {weights.KNOWN['arcface'].filename} into "
                f"--weights-dir (the packaged embedding knows only the data set {PORTRAITS!r})"
            )
        return replace(id_portraits(PACKAGED, self.device), batches=self.batches)

    def describe(self) -> dict[str, Any]:
        """A description of every network, its weights by hash; it is part of a run folder's identity."""
        try:
            face = self.face.describe()
        except NotAvailable:
            face = None
        # not loaded if no path length is measured
        vgg16 = weights.find("vgg16", self.weights_dir)
        return {
            "perceptual": self.perceptual.describe(),
            "features": self.features.describe(),
            "face": face,
            "vgg16": vgg16 and weights.sha256(vgg16),
        }
