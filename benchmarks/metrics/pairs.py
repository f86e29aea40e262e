"""Metrics of pairs of images: the scores of a batch by several of them, and their means.

    networks = {"ssim": None, "lpips": network_of("lpips", networks)}
    scores = scores_of(networks, decoded, originals)        of each batch of pairs
    estimates(scores, units)                                of the scores of all pairs

A metric without a network is a function and an entry in `PIXEL_METRICS`, all of which Table 1 shows, beside
its entry in the table of metrics. Functions take images N x 3 x H x W in [-1, 1] twice and return float64 [N].
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics import METRICS, pixel, ssim
from benchmarks.metrics.group import Group
from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.networks.faces import FaceEmbedding, mean_of_faces
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.metrics.sets.manifold import of_few
from benchmarks.metrics.units import Units
from reports.records.estimate import Estimate

PairNetwork = PerceptualDistance | FaceEmbedding
PairScores = NDArray[np.floating]

PIXEL_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ssim": ssim.ssim,
    "ssim_valid": ssim.ssim_valid,
    "mse": pixel.mse,
    "psnr": pixel.psnr,
    "ms_ssim": ssim.ms_ssim,
}
# How they are described in a protocol, where a name is not enough.
DESCRIBED = {
    "ssim": "11 x 11 Gaussian, sigma 1.5, zero padding, range [0, 1]",
    "ssim_valid": "11 x 11 Gaussian, sigma 1.5, valid windows, range [0, 1] (piq, no downsampling)",
    "ms_ssim": "5 scales, 11 x 11 Gaussian, sigma 1.5, valid windows",
}
FACES = "arcface"


def is_of_faces(metric: str) -> bool:
    """Whether a metric compares faces: a pair in which none is seen has no score."""
    return FACES in (metric, METRICS[metric].stands_in_for)


def network_of(metric: str, networks: Networks) -> PairNetwork | None:
    """The network of a metric; None if it needs none. Raises UserError if its weights are missing."""
    network = METRICS[metric].network
    if not network:
        return None
    if is_of_faces(metric):
        return networks.face_embedding(network)
    return networks.perceptual_distance(network)


def score(metric: str, network: PairNetwork | None, a: Tensor, b: Tensor) -> Tensor:
    """The score [N] of each pair of images by a metric; nan where no face is found.

    Raises UserError for images that are too small for the metric.
    """
    if network is None:
        return PIXEL_METRICS[metric](a, b).cpu()
    if isinstance(network, FaceEmbedding):
        return network.compare(network(a), network(b)).cpu()
    return network(a, b).cpu()


def scores_of(
    networks: Mapping[str, PairNetwork | None], a: Tensor, b: Tensor
) -> dict[str, PairScores]:
    """The scores [N] of pairs of images by each metric, which is given with its network."""
    return {metric: score(metric, network, a, b).numpy() for metric, network in networks.items()}


def estimates(scores: Mapping[str, PairScores], units: Units) -> dict[str, Estimate]:
    """The mean of each metric's scores [N] of pairs."""
    return {
        metric: mean_of_faces(values, units) if is_of_faces(metric) else units.mean(values)
        for metric, values in scores.items()
    }


def no_ms_ssim(height: int, width: int) -> Estimate:
    """The MS-SSIM of images that are too small for it."""
    return Estimate(None, why=ssim.too_small(height, width))


def worse_with_more(mse: PairScores, mse_of_more: PairScores, units: Units) -> dict[str, Estimate]:
    """The share of images whose squared error [N] is larger when more of their code is decoded."""
    is_worse = mse_of_more > mse
    share = units.mean(is_worse)
    if why := of_few(int(is_worse.sum()), len(is_worse)):
        share = Estimate(share.value, n=share.n, scores=share.scores, why=why)
    return {"worse_with_more": share}


def no_other_length(lengths: tuple[int, ...]) -> Estimate:
    """`worse_with_more` at a length that a system does not decode; `lengths` are those that it does."""
    if not lengths:
        return Estimate(None, why="its code is decoded as a whole")
    counts = ", ".join(map(str, lengths))
    return Estimate(None, why=f"it decodes the first {counts} of its code")


GROUPS = (
    Group((*PIXEL_METRICS, "lpips", "lpips_vgg", FACES), "pairs of images", estimates),
    Group(("worse_with_more",), "scores of pairs at two lengths of the code", worse_with_more),
)
