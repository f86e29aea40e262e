"""Distances between images, with gradients, which an inversion minimises.

    lpips     LPIPS with VGG16, as in StyleGAN2's projector, if VGG16's published weights are in torch.hub's cache
    effnet    the harness's stand-in for it, by EfficientNet-lite0 (benchmarks/metrics/networks/perceptual.py)
    mse       the mean squared error

Images of more than 256 px are averaged to 256 px before a network gets them, as in the projector's
code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import weights
from benchmarks.metrics.networks.perceptual import effnet_distance, lpips_vgg16, mean_distance
from reports.records.metrics import EFFNET

AUTO, LPIPS, EFFICIENTNET, MSE = "auto", "lpips", "effnet", "mse"
NAMES = (AUTO, LPIPS, EFFICIENTNET, MSE)
NETWORKS = {LPIPS: "vgg16", EFFICIENTNET: EFFNET}
LARGEST = 256  # px of a network's input

Features = list[Tensor]  # of each layer that is compared
Distance = Callable[[Tensor], Tensor]  # images N x 3 x S x S with gradients -> [N]


@dataclass(frozen=True)
class InversionLoss:
    """A distance by name, and the digest of its network's weights, if any.

    `to(target)` is the distance to images N x 3 x S x S; the first call reads the weights.
    """

    name: str
    sha256: str
    to: Callable[[Tensor], Distance]


def find(name: str, device: torch.device) -> InversionLoss:
    """Find the distance of that name; AUTO is the first of the others whose weights are present.

    Raises UserError if weights are missing or not the published ones.
    """
    if name == AUTO:
        name = next((n for n, network in NETWORKS.items() if weights.find(network, None)), MSE)
    if name == MSE:
        return InversionLoss(MSE, "", mean_square)
    path = weights.load_path(NETWORKS[name], None, allow_unknown=False)
    make = {LPIPS: _of_lpips, EFFICIENTNET: _of_effnet}[name]
    loaded = cache(lambda: make(path, device))
    return InversionLoss(name, weights.sha256(path), lambda target: loaded()(target))


def mean_square(target: Tensor) -> Distance:
    return lambda images: (images - target).square().mean((1, 2, 3))


def _of_effnet(path: Path, device: torch.device) -> Callable[[Tensor], Distance]:
    """The distance by the harness's EfficientNet-lite0."""
    distance: Any = effnet_distance(path, device).module
    return _seeing_once(distance.stages, mean_distance)


def _of_lpips(path: Path, device: torch.device) -> Callable[[Tensor], Distance]:
    """LPIPS with VGG16, by the lpips package."""
    from lpips import normalize_tensor

    module: Any = lpips_vgg16(path, device).module

    def look(images: Tensor) -> Features:
        return [normalize_tensor(layer) for layer in module.net(module.scaling_layer(images))]

    def compare(found: Features, sought: Features) -> Tensor:
        layers = zip(module.lins, found, sought, strict=True)
        return torch.stack([lin((a - b).square()).mean((1, 2, 3)) for lin, a, b in layers]).sum(0)

    return _seeing_once(look, compare)


def _seeing_once(
    look: Callable[[Tensor], Features], compare: Callable[[Features, Features], Tensor]
) -> Callable[[Tensor], Distance]:
    """A distance between features of a network, which is applied to the target images only once."""

    def to(target: Tensor) -> Distance:
        with torch.no_grad():
            sought = look(_averaged(target))
        return lambda images: compare(look(_averaged(images)), sought)

    return to


def _averaged(images: Tensor) -> Tensor:
    large = images.shape[2] > LARGEST
    return F.interpolate(images, size=(LARGEST, LARGEST), mode="area") if large else images
