"""Codes by optimisation: `encode` for a generator that has no encoder.

The projector of StyleGAN2 (Karras et al., 2020, appendix D) with the settings of NVIDIA's code:
Adam on w and on the noise of the layers for 1,000 steps, so that the generated image resembles the
given one. In W one vector is optimised for all layers, in W+ one for each, from the same start and
by the same schedule, as with rosinality's switch.

Images are optimised side by side but independently: each has noise of its own, from a generator
that its own pixels seed, and every operation, Adam's too, is one image's alone. They always go in
groups of GROUP, the last filled up with copies: kernels round differently for other numbers of
images, and a thousand steps of Adam make 10^-7 visible. So a code does not depend on what is
encoded beside it.

The optimised noise maps are not part of the code: it is decoded with the network's own, as in
stylegan2-ada-pytorch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from benchmarks import weights
from benchmarks.metrics.networks.perceptual import effnet_distance, lpips_vgg16, mean_distance
from benchmarks.runtime.precision import full_precision
from benchmarks.systems.shared import own_noise
from benchmarks.systems.stylegan2.network import Generator, Mapping
from diffae.diffusion import noise
from reports.records.metrics import EFFNET

# ----------------------------------------------------------------------------------------------
# The distance that an inversion minimises:
#
#     lpips     LPIPS with VGG16, as in StyleGAN2's projector, if VGG16's published weights are in torch.hub's cache
#     effnet    the harness's stand-in for it, by EfficientNet-lite0 (benchmarks/metrics/networks/perceptual.py)
#     mse       the mean squared error
#
# Images of more than 256 px are averaged to 256 px before a network gets them, as in the projector's code.

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


def find_loss(name: str, device: torch.device) -> InversionLoss:
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

    def compare(features: Features, target: Features) -> Tensor:
        layers = zip(module.lins, features, target, strict=True)
        return torch.stack([lin((a - b).square()).mean((1, 2, 3)) for lin, a, b in layers]).sum(0)

    return _seeing_once(look, compare)


def _seeing_once(
    look: Callable[[Tensor], Features], compare: Callable[[Features, Features], Tensor]
) -> Callable[[Tensor], Distance]:
    """A distance between features of a network, which is applied to the target images only once."""

    def to(target: Tensor) -> Distance:
        with torch.no_grad():
            features = look(_averaged(target))
        return lambda images: compare(look(_averaged(images)), features)

    return to


def _averaged(images: Tensor) -> Tensor:
    large = images.shape[2] > LARGEST
    return F.interpolate(images, size=(LARGEST, LARGEST), mode="area") if large else images


SAMPLES, SEED = 10_000, 123  # of the statistics of w
LEARNING_RATE, RAMP_UP, RAMP_DOWN = 0.1, 0.05, 0.25  # the ramps as shares of all steps
NOISE, NOISE_RAMP = 0.05, 0.75  # of w, in units of its spread
MAPS_WEIGHT = 1e5  # of `dependence`
GROUP = 8  # images
LEAST = 8  # px: the smallest side of the pyramid over a noise map


class Statistics(NamedTuple):
    """Statistics of w over many z: the mean [w_dim], and the root of the mean squared distance from it."""

    average: Tensor
    spread: float


@torch.no_grad()
def statistics(mapping: Mapping) -> Statistics:
    """Statistics of w = mapping(z), for the z that the projector draws."""
    z = np.random.RandomState(SEED).randn(SAMPLES, mapping.z_dim)
    w = mapping(torch.from_numpy(z).to(mapping.w_avg)).double()
    average = w.mean(0)
    spread = ((w - average).square().sum() / SAMPLES).sqrt()
    return Statistics(average.to(mapping.w_avg), float(spread))


# ----------------------------------------------------------------------------------------------
# The schedule, by the number of a step, from 0, and the number of all steps


def learning_rate(step: int, steps: int) -> float:
    """The rate of a step: ramped up from 0, and in the last quarter down along a cosine."""
    t = step / steps
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / RAMP_DOWN))
    return LEARNING_RATE * down * min(1.0, t / RAMP_UP)


def noise_of_w(step: int, steps: int, spread: float) -> float:
    """The standard deviation of the noise added to w before the image is made."""
    return spread * NOISE * max(0.0, 1 - step / steps / NOISE_RAMP) ** 2


# ----------------------------------------------------------------------------------------------
# Noise maps, N x 1 x r x r, which must stay noise


def dependence(maps: Sequence[Tensor]) -> Tensor:
    """The correlation of neighbours in the maps, at all scales down to 8 px: [N].

    It is small for white noise.
    """
    total = torch.zeros(len(maps[0]), device=maps[0].device)
    for level in maps:
        while True:
            for axis in (3, 2):
                total = total + (level * level.roll(1, axis)).mean((1, 2, 3)).square()
            if level.shape[2] <= LEAST:
                break
            level = F.avg_pool2d(level, 2)
    return total


@torch.no_grad()
def normalise(maps: Sequence[Tensor]) -> None:
    """Shift and scale each map, in place, to mean 0 and mean square 1."""
    for values in maps:
        values -= values.mean((1, 2, 3), keepdim=True)
        values *= values.square().mean((1, 2, 3), keepdim=True).rsqrt()


# ----------------------------------------------------------------------------------------------
# Inversion


@dataclass(frozen=True)
class Inversion:
    """The search for the w of images: `layers` of it, 1 for W and all of them for W+.

    It takes `steps` passes through the generator and the network of `loss`, forward and backward.
    `mse` is the weight of the mean squared error beside the distance, 0 in the published code.
    """

    generator: Generator
    loss: InversionLoss
    start: Statistics
    layers: int
    steps: int = 1000
    mse: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        """The w of images [N, 3, S, S] in [-1, 1]: N x layers x w_dim."""
        codes = [self.start.average.new_zeros(0, self.layers, len(self.start.average))]
        groups = images.split(GROUP) if len(images) else ()
        title = f"inversion of {len(images)} image{'s' if len(images) > 1 else ''}"
        total = self.steps * len(groups)
        with (
            torch.enable_grad(),
            full_precision(),
            tqdm(total=total, desc=title, unit="step", leave=False, disable=None) as bar,
        ):
            for group in groups:  # filled up with copies of its last image
                copies = group[-1:].expand(GROUP - len(group), -1, -1, -1)
                codes.append(self._search(torch.cat([group, copies]), bar)[: len(group)])
        return torch.cat(codes)

    def _search(self, images: Tensor, bar: "tqdm[NoReturn]") -> Tensor:
        sources = [generator_of(image) for image in images]
        shapes = [(1, *noise_map.shape) for noise_map in self.generator.synthesis.noise_maps()]
        maps = [_normals(sources, shape, images) for shape in shapes]
        w = self.start.average.repeat(len(images), self.layers, 1)
        scales = [noise_of_w(step, self.steps, self.start.spread) for step in range(self.steps)]
        # The noise of all steps is drawn at once: a copy to a GPU in every step would wait for the step before.
        noise_of_steps = _normals(sources, (sum(s > 0 for s in scales), *w.shape[1:]), images)
        variables = [tensor.requires_grad_() for tensor in (w, *maps)]
        adam = torch.optim.Adam(variables, betas=(0.9, 0.999), foreach=False)
        distance = self._distance(images)
        for step, scale in enumerate(scales):
            adam.param_groups[0]["lr"] = learning_rate(step, self.steps)
            moved = w + scale * noise_of_steps[:, step] if scale else w
            ws = moved.expand(-1, self.generator.config.num_ws, -1)
            made = self.generator.synthesis(ws, maps)
            loss = distance(made) + MAPS_WEIGHT * dependence(maps)
            adam.zero_grad()
            loss.sum().backward()
            adam.step()
            normalise(maps)
            bar.update()
        return w.detach()

    def _distance(self, target: Tensor) -> Distance:
        distance, squares = self.loss.to(target), mean_square(target)
        if not self.mse:
            return distance
        return lambda images: distance(images) + self.mse * squares(images)


def generator_of(image: Tensor) -> np.random.Generator:
    """A generator for an image's noise, which does not depend on the other images.

    The image's own pixels, rounded to 8 bits, are its seed.
    """
    (digest,) = own_noise.digests(image[None])
    return noise.generator(0, "inversion", int.from_bytes(digest[:8], "big"))


def _normals(sources: Sequence[np.random.Generator], shape: Sequence[int], like: Tensor) -> Tensor:
    """The next noise of each image: N x shape."""
    return torch.stack([noise.normals(source, shape) for source in sources]).to(like)
