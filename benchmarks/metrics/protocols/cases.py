"""Metrics under protocols, for many pairs of images at once.

    cases = [ImageCase("psnr", named("llamagen")), ImageCase("rfid", named("titok"))]
    arrays = compute(cases, networks, made, originals)     for each batch of pairs
    estimate(case, arrays, units)                          of the arrays of all batches together

Cases that agree in all that they compute share their arrays.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import lcm

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.metrics.protocols import pairs
from benchmarks.metrics.protocols.library import Value
from benchmarks.metrics.protocols.pixels import of_side
from benchmarks.metrics.protocols.schema import ImageProtocol
from benchmarks.metrics.sets.frechet_jackknife import paired_jackknife
from benchmarks.metrics.sets.jackknife import BLOCKS, Side
from benchmarks.metrics.ssim import too_small_for
from benchmarks.metrics.units import Units
from diffae.system.errors import UserError
from diffae.system.files import hash_of
from reports.records.estimate import Estimate

# Fields that say which images are measured, not how; and those of the average over images.
OF_DATA = ("pixels.crop", "pixels.posterior", "rfid.reference")
OF_AVERAGE = ("psnr.of", "psnr.equal_images", "psnr.batch", "ssim.batch", "lpips.batch")
MADE, ORIGINAL = "made", "original"

Arrays = dict[str, NDArray]
Network = FeatureNetwork | PerceptualDistance


@dataclass(frozen=True)
class ImageCase:
    """A metric of METRICS under a protocol that defines it."""

    metric: str
    protocol: ImageProtocol

    @cached_property
    def fields(self) -> Mapping[str, Value]:
        """All that its computation depends on, by "section.field"."""
        fields = self.protocol.describe(self.metric)
        return {name: value for name, value in fields.items() if name not in OF_DATA}

    @cached_property
    def key(self) -> str:
        return f"{self.metric}.{hash_of(self.fields)[:12]}"

    @cached_property
    def scores_key(self) -> str:
        """The name of its scores of images, which cases share that average them differently."""
        by_batch = self.fields.get("ssim.range") == "of the batch"
        of_images = {n: v for n, v in self.fields.items() if by_batch or n not in OF_AVERAGE}
        return f"scores.{hash_of(of_images)[:12]}"

    def changed(self, field: str, value: Value) -> "ImageCase":
        """The metric under a protocol with another value of "section.field"."""
        return replace(self, protocol=self.protocol.changed(field, value))

    @property
    def clamped(self) -> bool:
        """Whether it is of what a decoder gives cut to [-1, 1]."""
        return self.protocol.is_clamped(self.metric)

    def features_key(self, side: str) -> str:
        """The name of the features of one side of a Frechet distance."""
        rfid, scaling = self.protocol.rfid, self.protocol.pixels.scaling
        assert rfid is not None
        as_they_are = side == ORIGINAL and rfid.rounded == "reconstruction"
        # reconstructions in files are not rounded again where a code rounds these alone
        rounding = "none" if as_they_are else rfid.rounding
        rounded = rfid.rounded if side == MADE and rounding != "none" else ""
        choices = (scaling, rounding, rounded, rfid.resize, rfid.dtype)
        return f"features.{hash_of(choices)[:12]}.{side}"

    def pixels(self, images: Tensor, side: str) -> Tensor:
        """The pixels of one side of a Frechet distance in [0, 255], as Inception is given them."""
        return 255 * of_side(images, self.protocol, "rfid", originals=side == ORIGINAL)


def network_of(case: ImageCase, networks: Networks) -> Network | None:
    """The network of a case, None without any. Raises UserError if its weights are missing."""
    protocol = case.protocol
    if case.metric == "rfid" and protocol.rfid is not None:
        return networks.feature_network("inception", protocol.rfid.resize, protocol.rfid.dtype)
    if case.metric == "lpips" and protocol.lpips is not None:
        return networks.perceptual_distance(protocol.lpips.trunk)
    return None


def why_not(case: ImageCase, networks: Networks, size: tuple[int, int]) -> str:
    """Why the case cannot be computed, of images of this height and width; "" if it can."""
    try:
        network = network_of(case, networks)
    except UserError as error:
        return str(error)
    if isinstance(network, PerceptualDistance):
        return network.too_small(*size)
    ssim = case.protocol.ssim if case.metric == "ssim" else None
    return too_small_for(ssim.window, ssim.padding, *size) if ssim else ""


def together(cases: Iterable[ImageCase], batch_size: int) -> int:
    """How many pairs `compute` is given at once: `batch_size`, or the nearest number of whole batches
    of the protocols whose scores depend on the batch.
    """
    sections = [case.protocol.ssim for case in cases if case.metric == "ssim"]
    whole = lcm(*(ssim.batch for ssim in sections if ssim and ssim.range == "of the batch"))
    return max(batch_size // whole, 1) * whole


def compute(
    cases: Iterable[ImageCase],
    networks: Networks,
    made: Tensor,
    originals: Tensor,
    as_decoded: Tensor | None = None,
) -> Arrays:
    """Scores [N] and features [N, d] of pairs of images by name.

    Images are uint8 N x 3 x H x W, as in files, or float32 in [-1, 1], as a decoder gives them;
    `as_decoded` are those made that are not clamped, if they differ. Raises UserError if weights are
    missing.
    """
    arrays: Arrays = {}
    calls: dict[tuple[Network, str], _Once] = {}

    def once(network: Network, side: str) -> _Once:
        return calls.setdefault((network, side), _Once(network))

    for case in cases:
        network = network_of(case, networks)
        here = made if case.clamped or as_decoded is None else as_decoded
        if case.metric == "rfid" and network is not None:
            for side, images in ((MADE, here), (ORIGINAL, originals)):
                if (key := case.features_key(side)) not in arrays:
                    arrays[key] = once(network, side)(case.pixels(images, side)).cpu().numpy()
        elif case.scores_key not in arrays:
            distance = once(network, "both") if network else None
            scores = pairs.scores_of(case.metric, case.protocol, here, originals, distance)
            arrays[case.scores_key] = scores.numpy()
    return arrays


class _Once:
    """Calls of a network, once for equal images: the pixels of many protocols are the same."""

    def __init__(self, network: Callable[..., Tensor]) -> None:
        self.network = network
        self.outputs: dict[tuple[tuple[bytes, ...], tuple[tuple[str, bool], ...]], Tensor] = {}

    def __call__(self, *images: Tensor, **options: bool) -> Tensor:
        buffers = (np.ascontiguousarray(side.cpu().numpy()).data for side in images)
        digests = tuple(hashlib.sha256(pixels).digest() for pixels in buffers)
        key = digests, tuple(options.items())
        if key not in self.outputs:
            self.outputs[key] = self.network(*images, **options)
        return self.outputs[key]


def estimate(case: ImageCase, arrays: Arrays, units: Units) -> Estimate:
    """The number of a case, from the arrays of all pairs.

    The error of a Frechet distance is that of leaving out blocks of the pairs in turn. Raises UserError
    if there are too few pairs.
    """
    if case.metric != "rfid":
        scores = torch.from_numpy(arrays[case.scores_key])
        return pairs.estimate(case.metric, case.protocol, scores, units)
    features = [arrays[case.features_key(side)] for side in (MADE, ORIGINAL)]
    blocks, name = units.blocks(BLOCKS), units.named("blocks")
    made, originals = (Side.of(rows, blocks, name) for rows in features)
    return replace(paired_jackknife(made, originals).whole(), notes=())
