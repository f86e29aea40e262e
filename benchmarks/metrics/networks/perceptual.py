"""Perceptual distances between pairs of images: distances between features of a network.

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, eq. 1:

    d(a, b) = sum_l 1 / (H_l W_l) sum_hw | w_l (y_a - y_b) |^2

over layers l, with y the features unit-normalised over channels.

- `lpips`: AlexNet and the weights w learned from human judgements, version 0.1, by the lpips
  package.
- `lpips_vgg`: the same with VGG16, which path lengths are measured with (`path_length.py`).
- five stages of EfficientNet-lite0, w = 1, averaged over the stages: the stand-in without AlexNet's weights. It ranks
  distortions sensibly, but has a different scale and name (`reports.records.metrics`) and must not be read
  as LPIPS.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import weights
from benchmarks.metrics.networks import features
from benchmarks.metrics.pixel import resize, seen
from benchmarks.runtime.calling import Batches
from diffae.networks.nn import without_weights
from diffae.system.errors import UserError
from reports.records.metrics import EFFNET, seen_through

EPS = 1e-10  # lpips adds it to the length of features
AT_ONCE = 1 << 22  # features that are compared at a time
LARGE = 512**2  # convolutions of images of more pixels copy their input, unless channels come last


@dataclass(frozen=True)
class PerceptualDistance:
    """d(a, b) for pairs of images, N x 3 x H x W in [-1, 1] -> [N] in `dtype` on `device`.

    Images are clamped first, as for every metric (`pixel.seen`), unless a protocol does not (not
    `clamped`). `network` is the name of its weights, `published` whether they are the published
    ones. The distance is only reported under `metric_name`. Raises UserError for images with a side
    of less than `smallest` px.
    """

    name: str
    metric_name: str
    network: str
    resize: str
    sha256: str
    device: torch.device
    module: nn.Module
    published: bool = True
    dtype: torch.dtype = torch.float32
    smallest: int = 1
    batches: Batches = field(default_factory=Batches, compare=False)

    def too_small(self, height: int, width: int) -> str:
        """Why images of this size have no distance; empty if they have one."""
        if min(height, width) >= self.smallest:
            return ""
        return f"images of {width} x {height} px: {self.name} needs {self.smallest} px or more"

    @torch.no_grad()
    def __call__(self, a: Tensor, b: Tensor, *, clamped: bool = True) -> Tensor:
        if reason := self.too_small(*a.shape[-2:]):
            raise UserError(reason)

        def distance(place: slice) -> Tensor:
            pair = (images[place].to(self.device, self.dtype) for images in (a, b))
            return self.module(*(map(seen, pair) if clamped else pair)).flatten()

        return torch.cat(self.batches.each(self.metric_name, len(a), distance))

    def in_float64(self) -> "PerceptualDistance":
        """The same distance in float64, for images that hardly differ."""
        return replace(self, module=copy.deepcopy(self.module).double(), dtype=torch.float64)

    def describe(self) -> dict[str, str]:
        """The protocol's description: two distances are comparable only if all of it is equal."""
        return {
            "perceptual_network": self.name,
            "perceptual_sha256": self.sha256,
            "perceptual_resize": self.resize,
            "perceptual_dtype": str(self.dtype).removeprefix("torch."),
            **weights.unpublished("perceptual", self.published),
        }


def _lpips(
    net: str, network: str, metric_name: str, smallest: int, path: Path, device: torch.device
) -> PerceptualDistance:
    import lpips

    with warnings.catch_warnings(), without_weights("cpu"):
        warnings.simplefilter("ignore", UserWarning)  # deprecated arguments of torchvision
        module = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    # torchvision's "features.0.weight" is "slice1.0.weight" in lpips's trunk, which has no classifier
    state, names = weights.read_state(path), module.net.state_dict()
    try:
        trunk = {name: state["features." + name.split(".", 1)[1]] for name in names}
        module.net.load_state_dict(trunk)
    except (KeyError, RuntimeError, TypeError) as error:
        raise UserError(f"{path}: not the weights of torchvision's {network}: {error}") from None
    return PerceptualDistance(
        name=f"lpips 0.1 ({network})",
        metric_name=metric_name,
        network=network,
        resize="none",
        smallest=smallest,
        sha256=weights.tensors_sha256(trunk),
        published=weights.is_published(path),
        device=device,
        module=LayerByLayer(module).eval().requires_grad_(False).to(device),
    )


class LayerByLayer(nn.Module):
    """The distance of a module of lpips, which holds the features of one layer at a time."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.scaling_layer, self.net, self.lins = whole.scaling_layer, whole.net, whole.lins

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances [N, 1, 1, 1] of images N x 3 x H x W in [-1, 1]."""
        total = torch.zeros((), dtype=a.dtype, device=a.device)
        a, b = self.scaling_layer(a), self.scaling_layer(b)
        if a[0, 0].numel() > LARGE:
            a, b = (x.contiguous(memory_format=torch.channels_last) for x in (a, b))
        for layer, lin in zip(self.net.children(), self.lins, strict=True):
            a = layer(a)
            b = layer(b)
            rows = max(AT_ONCE // a[:, :, 0].numel(), 1)
            parts = zip(a.split(rows, 2), b.split(rows, 2), strict=True)
            total = total + torch.cat([lin(_difference(*part)) for part in parts], 2).mean(
                (2, 3), keepdim=True
            )
        return total


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """The squared difference of features that are normalised over channels, as lpips computes it."""
    a, b = (x / (x.square().sum(1, keepdim=True).sqrt() + EPS) for x in (a, b))
    return (a - b).square()


Load = Callable[[Path, torch.device], PerceptualDistance]

# LPIPS v0.1 over the trunk in a file; images are not resized, and smaller ones leave a pooling nothing.
lpips_alexnet: Load = partial(_lpips, "alex", "alexnet", "lpips", 31)
lpips_vgg16: Load = partial(_lpips, "vgg", "vgg16", "lpips_vgg", 16)


class EffNetDistance(nn.Module):
    """The distance by the stages of EfficientNet-lite0."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._last: tuple[Tensor, list[Tensor]] | None = None

    def stages(self, images: Tensor, side: int = features.EFFNET_SIZE) -> list[Tensor]:
        images = resize(images, side).contiguous(memory_format=torch.channels_last)
        return self.network.forward_intermediates(images, intermediates_only=True)  # type: ignore[operator]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances of `a` to `b`, whose stages are kept for other images that are compared with it."""
        if self._last is None or not _same(self._last[0], b):
            self._last = b, self.stages(b)
        return mean_distance(self.stages(a), self._last[1])


def mean_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """The mean over stages of the normalised distances: [N]."""
    pairs = zip(a, b, strict=True)
    return torch.stack([normalised_distance(*pair) for pair in pairs]).mean(0)


def _same(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device) and torch.equal(a, b)


def normalised_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 / (H W) sum_hw |a / |a| - b / |b||^2, features N x C x H x W -> [N] in [0, 4]."""
    a, b = (nn.functional.normalize(x, dim=1, eps=1e-10) for x in (a, b))
    return (a - b).square().sum(1).mean((1, 2))


def effnet_distance(path: Path, device: torch.device) -> PerceptualDistance:
    """The stand-in of LPIPS, with the EfficientNet-lite0 of the file `path`.

    Images are compared at 128 px.
    """
    return _effnet_distance(path, weights.sha256(path), device)


@cache  # `evaluate` may be called many times in a process
def _effnet_distance(path: Path, sha256: str, device: torch.device) -> PerceptualDistance:
    network = features.without_batch_norms(features.effnet_lite0(path))
    return PerceptualDistance(
        name="efficientnet-lite0 (ImageNet-1k), 5 stages, equal weights",
        metric_name=seen_through("lpips", EFFNET),
        network=EFFNET,
        resize=f"bilinear, antialiased, {features.EFFNET_SIZE} px",
        sha256=sha256,
        published=weights.is_published(path),
        device=device,
        module=features.frozen(EffNetDistance(network), device),
    )
