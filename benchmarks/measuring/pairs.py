"""Metrics of pairs of images: files of the same name in two folders."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measuring.images import batches, pairs_of, reading
from benchmarks.measuring.networks import described, load_weights, naming_stand_in
from benchmarks.metrics import METRICS, pixel, ssim
from benchmarks.metrics.networks.chosen import DISTANCES, face_embedding
from benchmarks.metrics.networks.faces import without_face
from benchmarks.runtime.choices import NetworkChoice
from diffae.system.errors import UserError
from reports.records.metrics import published_name

NAMES = {"identity": "arcface"}  # the command's name of a metric: its name in the table

# The metrics without a network.
PLAIN = {
    "ssim": ssim.ssim,
    "ssim_valid": ssim.ssim_valid,
    "ms_ssim": ssim.ms_ssim,
    "mse": pixel.mse,
    "psnr": pixel.psnr,
}

# Images in [-1, 1], N x 3 x H x W twice -> [N], NaN for a pair in which no face is found.
PairMetric = Callable[[Tensor, Tensor], Tensor]


def pair_metric(metric: str, args: Namespace) -> tuple[PairMetric, str]:
    """The metric as a function of pairs of images, and the name of its network."""
    metric = NAMES.get(metric, metric)
    network = METRICS[metric].network
    if not network:
        return PLAIN[metric], METRICS[metric].title
    if published_name(metric) == "arcface":
        choice = NetworkChoice(
            weights_dir=args.weights_dir, allow_unknown=args.allow_unknown_weights
        )
        with naming_stand_in(metric):
            face = face_embedding(network, choice, torch.device(args.device))
        return lambda a, b: face.compare(face(a), face(b)), described(face)
    distance = DISTANCES[network](*load_weights(metric, args=args))
    return distance, described(distance)


def measure_pairs(
    compare: Mapping[str, tuple[PairMetric, str]],
    args: Namespace,
    noting: Callable[..., AbstractContextManager[None]],
) -> dict[str, list[str]]:
    """The lines of all given metrics; the images are read once for all.

    `noting(metric)` is for a block that may find that a metric cannot be measured.
    """
    _, pairs = pairs_of(args)
    scores: dict[str, list[Tensor]] = {metric: [] for metric in compare}
    for batch in batches(pairs, args.batch_size):
        first, second = (images.float() / 127.5 - 1 for images in batch.unbind(1))
        for metric in tuple(scores):
            with noting(metric):
                scores[metric].append(compare[metric][0](first, second).cpu())
                continue
            del scores[metric]
    found = {}
    for metric, parts in scores.items():
        with noting(metric):
            told = [f"measured by: {compare[metric][1]}", *reading(args)]
            found[metric] = [*told, *_averaged(metric, torch.cat(parts).double().numpy())]
    return found


def _averaged(metric: str, scores: NDArray[np.float64]) -> list[str]:
    """The lines on the pairs and the mean of their scores. Raises UserError if none has one."""
    values, error = scores[~np.isnan(scores)], ""
    lacking = without_face(len(scores) - len(values), len(scores), "pairs")
    if not len(values):
        raise UserError(lacking)
    if len(values) > 1 and np.isfinite(values).all():
        error = f", standard error {np.std(values, ddof=1) / np.sqrt(len(values)):.3g}"
    left_out = [f"{lacking}: left out"] if lacking else []
    return [*left_out, f"pairs: {len(values)}{error}", f"{metric} {np.mean(values):.8g}"]
