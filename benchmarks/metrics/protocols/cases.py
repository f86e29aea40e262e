"""Metrics under protocols, for many pairs of images at once.

    cases = [Case("psnr", named("llamagen")), Case("rfid", named("titok"))]
    arrays = compute(cases, networks, made, originals)     for each batch of pairs
    measured(case, arrays)                                 of the arrays of all batches together

Cases that agree in all that they compute share their arrays.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import lcm
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.frechet_jackknife import BLOCKS, Side, blocks_of
from benchmarks.metrics.frechet_pairs import paired_jackknife
from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.protocols import pairs
from benchmarks.metrics.protocols.pairs import Measured
from benchmarks.metrics.protocols.pixels import of_side
from benchmarks.metrics.protocols.schema import Protocol
from benchmarks.metrics.ssim import too_small_for
from diffae.system.errors import UserError
from diffae.system.files import hash_of

# Fields that say which images are measured, not how; and those of the average over images.
OF_DATA = ("pixels.crop", "pixels.posterior", "rfid.reference")
OF_AVERAGE = ("psnr.of", "psnr.equal_images", "psnr.batch", "ssim.batch", "lpips.batch")
MADE, ORIGINAL = "made", "original"

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Case:
    """A metric of METRICS under a protocol that defines it."""

    metric: str
    protocol: Protocol

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """All that its computation depends on, by "section.field"."""
        every = self.protocol.describe(self.metric)
        return {name: value for name, value in every.items() if name not in OF_DATA}

    @cached_property
    def key(self) -> str:
        return f"{self.metric}.{hash_of(self.fields)[:12]}"

    @cached_property
    def scores_key(self) -> str:
        """The name of its scores of images, which cases share that average them differently."""
        by_batch = self.fields.get("ssim.range") == "of the batch"
        of_images = {n: v for n, v in self.fields.items() if by_batch or n not in OF_AVERAGE}
        return f"scores.{hash_of(of_images)[:12]}"

    @property
    def clamped(self) -> bool:
        """Whether it is of what a decoder gives cut to [-1, 1]."""
        return getattr(getattr(self.protocol, self.metric), "clamped", True)

    def features_key(self, side: str) -> str:
        """The name of the features of one side of a Frechet distance."""
        rfid, scaling = self.protocol.rfid, self.protocol.pixels.scaling
        assert rfid is not None
        as_they_are = side == ORIGINAL and rfid.rounded == "reconstruction"
        # reconstructions in files are not rounded again where a code rounds these alone
        rounding = "none" if as_they_are else rfid.rounding
        rounded = rfid.rounded if side == MADE and rounding != "none" else ""
        how = (scaling, rounding, rounded, rfid.resize, rfid.dtype)
        return f"features.{hash_of(how)[:12]}.{side}"

    def pixels(self, images: Tensor, side: str) -> Tensor:
        """The pixels of one side of a Frechet distance in [0, 255], as Inception is given them."""
        return 255 * of_side(images, self.protocol, "rfid", originals=side == ORIGINAL)


def network_of(case: Case, networks: Networks) -> Any:
    """The network of a case, None without any. Raises UserError if its weights are missing."""
    protocol = case.protocol
    if case.metric == "rfid" and protocol.rfid is not None:
        return networks.feature_network("inception", protocol.rfid.resize, protocol.rfid.dtype)
    if case.metric == "lpips" and protocol.lpips is not None:
        return networks.perceptual_distance(protocol.lpips.trunk)
    return None


def why_not(case: Case, networks: Networks, size: tuple[int, int]) -> str:
    """Why the case cannot be computed, of images of this height and width; "" if it can."""
    try:
        network = network_of(case, networks)
    except UserError as error:
        return str(error)
    if case.metric == "lpips" and network is not None:
        return network.too_small(*size)
    ssim = case.protocol.ssim if case.metric == "ssim" else None
    return too_small_for(ssim.window, ssim.padding, *size) if ssim else ""


def together(cases: Iterable[Case], batch_size: int) -> int:
    """How many pairs `compute` is given at once: `batch_size`, or the nearest number of whole batches
    of the protocols whose scores depend on the batch.
    """
    sections = [case.protocol.ssim for case in cases if case.metric == "ssim"]
    whole = lcm(*(ssim.batch for ssim in sections if ssim and ssim.range == "of the batch"))
    return max(batch_size // whole, 1) * whole


def compute(
    cases: Iterable[Case],
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
    found: Arrays = {}
    known: dict[Any, _Once] = {}

    def once(network: Any, side: str) -> Any:
        return network and known.setdefault((network, side), _Once(network))

    for case in cases:
        network = network_of(case, networks)
        here = made if case.clamped or as_decoded is None else as_decoded
        if case.metric == "rfid":
            for side, images in ((MADE, here), (ORIGINAL, originals)):
                if (key := case.features_key(side)) not in found:
                    found[key] = once(network, side)(case.pixels(images, side)).cpu().numpy()
        elif case.scores_key not in found:
            distance = once(network, "both")
            scores = pairs.of_images(case.metric, case.protocol, here, originals, distance)
            found[case.scores_key] = scores.numpy()
    return found


class _Once:
    """Calls of a network, once for equal images: the pixels of many protocols are the same."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.known: dict[tuple[Any, ...], Tensor] = {}

    def __call__(self, *images: Tensor, **how: Any) -> Tensor:
        seen = (np.ascontiguousarray(side.cpu().numpy()).data for side in images)
        key = (*(hashlib.sha256(pixels).digest() for pixels in seen), *how.items())
        if key not in self.known:
            self.known[key] = self.network(*images, **how)
        return self.known[key]


def measured(case: Case, arrays: Arrays, blocks: NDArray[np.int64] | None = None) -> Measured:
    """The number of a case from the arrays of all pairs.

    `blocks` [N] are left out in turn for the error of a Frechet distance. Raises UserError if there
    are too few pairs.
    """
    if case.metric == "rfid":
        both = [arrays[case.features_key(side)] for side in (MADE, ORIGINAL)]
        n = len(both[0])
        blocks = blocks_of(n) if blocks is None else blocks
        estimate = paired_jackknife(*(Side.of(features, blocks) for features in both)).whole()
        assert estimate.value is not None
        influence = np.full(BLOCKS, np.nan)
        for source in estimate.influences:
            influence = np.asarray(source.values, dtype=np.float64)
        return Measured(estimate.value, influence, n, "blocks")
    return pairs.average(case.metric, case.protocol, torch.from_numpy(arrays[case.scores_key]))
