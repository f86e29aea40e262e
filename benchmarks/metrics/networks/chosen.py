"""The metric networks of a run.

They are those asked for, or else the published ones if their weights are present, else stand-ins
under their own names.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks import weights
from benchmarks.metrics.networks import faces, perceptual
from benchmarks.metrics.networks import vision_transformers as transformers
from benchmarks.metrics.networks.dlib_faces import LANDMARKS, dlib_faces
from benchmarks.metrics.networks.faces import PACKAGED, PORTRAITS, FaceEmbedding
from benchmarks.metrics.networks.features import FeatureNetwork, efficientnet_lite0
from benchmarks.metrics.networks.inception import inception
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.runtime.calling import Batches
from benchmarks.runtime.choices import NetworkChoice
from benchmarks.runtime.errors import NotAvailable
from diffae.system.errors import UserError
from diffae.system.files import Json
from reports.records.metrics import DLIB, EFFNET

N = TypeVar("N", PerceptualDistance, FeatureNetwork, FaceEmbedding)

# By the names of their weights.
FEATURES: dict[str, Callable[..., FeatureNetwork]] = {
    "inception": inception,
    EFFNET: efficientnet_lite0,
    "dinov2_vitl14": transformers.dinov2_vitl14,
    "dinov2_vitb14": transformers.dinov2_vitb14,
    "clip_vitl14_336": transformers.clip_vitl14_336,
}
DISTANCES: dict[str, Callable[[Path, torch.device], PerceptualDistance]] = {
    "alexnet": perceptual.lpips_alexnet,
    "vgg16": perceptual.lpips_vgg16,
    EFFNET: perceptual.effnet_distance,
}


@dataclass
class Networks:
    """Metric networks by the names of their weights, each loaded and verified at its first use.

    The methods raise UserError if the weights are missing, or left out by `choice`.
    """

    choice: NetworkChoice
    device: torch.device
    batches: Batches = field(default_factory=Batches)
    _loaded: dict[tuple[str, ...], Any] = field(default_factory=dict, init=False, repr=False)

    def feature_network(self, name: str, *how: str) -> FeatureNetwork:
        """`how` are the resize and the dtype of an Inception that is not FID's."""
        load = partial(FEATURES[name], self._path(name), self.device)
        return self._once((name, *how), lambda: load(*how))

    def perceptual_distance(self, name: str) -> PerceptualDistance:
        path = self._path(name)
        return self._once((name, "pairs"), lambda: DISTANCES[name](path, self.device))

    def face_embedding(self, name: str) -> FaceEmbedding:
        if name == PORTRAITS:
            return self._once((name,), lambda: faces.id_portraits(PACKAGED, self.device))
        if name == DLIB:
            paths = self._path(DLIB), self._path(LANDMARKS)
            return self._once((name,), lambda: dlib_faces(*paths))
        path = self._path(name)
        return self._once((name,), lambda: faces.arcface(path, self.device))

    def _path(self, name: str) -> Path:
        if self.choice.stand_ins and name != EFFNET:
            raise UserError(f"{name}: --stand-ins leaves its weights out")
        return weights.load_path(name, self.choice.weights_dir, self.choice.allow_unknown_weights)

    def _once(self, key: tuple[str, ...], load: Callable[[], N]) -> N:
        if key not in self._loaded:
            self._loaded[key] = load()
        return replace(self._loaded[key], batches=self.batches)

    def _has(self, name: str) -> bool:
        """Whether the weights of that name may be used and are present."""
        if self.choice.stand_ins and name != EFFNET:
            return False
        return weights.find(name, self.choice.weights_dir) is not None


@dataclass
class MetricNetworks(Networks):
    """The metric networks of a run.

    `dataset` is the name of the data: for the portraits there is a face embedding of our own.
    """

    dataset: str = ""

    @cached_property
    def perceptual(self) -> PerceptualDistance:
        """LPIPS if AlexNet's weights are found, else its stand-in; `metric_name` says which."""
        return self.perceptual_distance("alexnet" if self._has("alexnet") else EFFNET)

    @cached_property
    def path_distance(self) -> PerceptualDistance:
        """The distance for path lengths, in float64.

        `lpips_vgg` if VGG16's weights are found, else the same as `perceptual`.
        """
        if not self._has("vgg16"):
            return self.perceptual.in_float64()
        return self.perceptual_distance("vgg16").in_float64()

    @cached_property
    def features(self) -> tuple[FeatureNetwork, ...]:
        """The networks asked for; else Inception if its weights are found, else EfficientNet-lite0.

        `metric_name` of each says which it is. A row that says why a system could not be measured is
        under that of the first.
        """
        default = "inception" if self._has("inception") else EFFNET
        return tuple(map(self.feature_network, self.choice.features or (default,)))

    @cached_property
    def face(self) -> FaceEmbedding:
        """ArcFace if its weights are found; else on the portraits our own embedding, on other images
        dlib's if it is installed.

        Raises NotAvailable if there is none.
        """
        present = {
            "arcface": self._has("arcface"),
            PORTRAITS: self.dataset == PORTRAITS,
            DLIB: self._has(DLIB) and self._has(LANDMARKS),
        }
        for name, is_here in present.items():
            if is_here:
                return self.face_embedding(name)
        if self.choice.stand_ins:
            raise NotAvailable("no stand-in knows faces of photographs; run without --stand-ins")
        raise NotAvailable(
            f"no face recognition weights: {weights.how_to_get(DLIB)} for id_dlib, or for ArcFace "
            f"{weights.how_to_get('arcface')} (the packaged embedding knows only the data set {PORTRAITS!r})"
        )

    def lacking(self, name: str) -> str:
        """How to get the weights of that name; empty if they are here, or there are none."""
        if not name or self._has(name):
            return ""
        how = weights.how_to_get(name, self.choice.weights_dir)
        return f"the weights of {name} are missing: {how}"

    def describe(self) -> dict[str, Json]:
        """A description of every network, its weights by hash; it is part of a run folder's identity."""
        try:
            face = self.face.describe()
        except NotAvailable:
            face = None
        # VGG16 is not loaded if no path length is measured
        vgg16 = weights.find("vgg16", self.choice.weights_dir) if self._has("vgg16") else None
        return {
            "stand_ins": self.choice.stand_ins,
            "perceptual": self.perceptual.describe(),
            "features": {network.network: network.describe() for network in self.features},
            "face": face,
            "vgg16": weights.sha256(vgg16) if vgg16 else None,
        }
