"""Metrics of pairs of images: files of the same name in two folders."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measuring.asked import Asked, Noting, described, naming_stand_in
from benchmarks.measuring.images import batches, pairs_of, reading
from benchmarks.metrics import METRICS
from benchmarks.metrics.networks.faces import without_face
from benchmarks.metrics.plain import PLAIN
from diffae.system.errors import UserError
from reports.records.metrics import published_name

NAMES = {"identity": "arcface"}  # the command's name of a metric: its name in the table

# Images in [-1, 1], N x 3 x H x W twice -> [N], NaN for a pair in which no face is found.
PairMetric = Callable[[Tensor, Tensor], Tensor]


def pair_metric(metric: str, asked: Asked) -> tuple[PairMetric, str]:
    """The metric as a function of pairs of images, and the name of its network."""
    metric = NAMES.get(metric, metric)
    network = METRICS[metric].network
    if not network:
        return PLAIN[metric], METRICS[metric].title
    with naming_stand_in(metric):
        if published_name(metric) == "arcface":
            face = asked.networks.face_embedding(network)
            return lambda a, b: face.compare(face(a), face(b)), described(face)
        distance = asked.networks.perceptual_distance(network)
    return distance, described(distance)


def measure_pairs(
    compare: Mapping[str, tuple[PairMetric, str]], asked: Asked, noting: Noting
) -> dict[str, list[str]]:
    """The lines of all given metrics; the images are read once for all.

    `noting(metric)` is for a block that may find that a metric cannot be measured.
    """
    _, pairs = pairs_of(asked)
    scores: dict[str, list[Tensor]] = {metric: [] for metric in compare}
    for batch in batches(pairs, asked.batch_size):
        first, second = (images.float() / 127.5 - 1 for images in batch.unbind(1))
        for metric in tuple(scores):
            with noting(metric):
                scores[metric].append(compare[metric][0](first, second).cpu())
                continue
            del scores[metric]
    found = {}
    for metric, parts in scores.items():
        with noting(metric):
            told = [f"measured by: {compare[metric][1]}", *reading(asked)]
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
