"""Metrics between two sets of images, which the features of a network stand for."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring.asked import Asked, Noting, described, naming_stand_in
from benchmarks.measuring.images import (
    ARRAY,
    STATISTICS,
    batches,
    has_statistics,
    images_of,
    reading,
)
from benchmarks.metrics import METRICS, frechet, kernel
from benchmarks.metrics.frechet import Moments
from benchmarks.metrics.frechet_jackknife import Side, blocks_of
from benchmarks.metrics.manifold import OVERLAPS, Manifold
from benchmarks.metrics.networks.features import FeatureNetwork
from diffae.data import npz
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import writing
from reports.records.metrics import published_name
from reports.tables.numbers import duration

# The time of what compares all pairs of images is said before, of more than MANY pairs, by that of FEW images.
MANY, FEW = 10_000**2, 2_000
MOMENTS_CHUNK = 1024  # features are summed this many at a time: memory does not grow with the set

Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One of the two sets: its features [n, d], or else only their moments."""

    path: Path
    features: Features | None = None
    summed: Moments | None = None

    @cached_property
    def moments(self) -> Moments:
        if self.summed is not None:
            return self.summed
        assert self.features is not None
        return Moments.from_features(self.features)

    @property
    def n(self) -> int:
        return self.moments.n if self.features is None else len(self.features)

    def __str__(self) -> str:
        return f"{self.n} images" if self.n else "an unknown number of images"


# A number, and what the line on the images says of it, such as its standard error.
Compared = tuple[float, str]

MOMENTS = "fid"  # the family that moments are enough for
KERNELS = {"kid": kernel.between, "cmmd": kernel.cmmd}


# ----------------------------------------------------------------------------------------------
# What compares


def frechet_of(reference: ImageSet, samples: ImageSet) -> float:
    """The Frechet distance of two sets. Raises UserError if one has a single image."""
    for side in (reference, samples):
        if side.n == 1:
            raise UserError(f"{side.path}: one image; a Frechet distance needs at least two")
        if note := frechet.bias_note(side.n, len(side.moments.mean)):
            cli.say(f"warning: {side.path}: {note}")
    return frechet.frechet_distance(reference.moments, samples.moments)


def on_features(metric: str, reference: ImageSet, samples: ImageSet, asked: Asked) -> Compared:
    """A metric of another family than MOMENTS, of sets whose features are held."""
    x, y = (side.features for side in (reference, samples))
    assert x is not None and y is not None
    if metric == "kid" and asked.subsets is not None:
        count, size = asked.subsets
        value, spread = kernel.over_subsets(x, y, count, size)
        return value, f"{count:,} subsets of {size:,}, standard deviation over them {spread:.3g}"
    if metric in KERNELS:
        sides = (Side.of(side, blocks_of(len(side))) for side in (y, x))
        found = KERNELS[metric](*sides).whole()
        return found.value, _standard_error(found.of_samples, found.of_reference)
    overlap = OVERLAPS[metric]
    of_balls = overlap.between(*(_manifold(side, asked.device) for side in (reference, samples)))
    error = _standard_error(of_balls.influences) if of_balls.has_error else ""
    return of_balls.value, ", ".join(filter(None, [overlap.convention, error]))


@lru_cache(2)  # those of the metrics of one command, which share their distances
def _manifold(images: ImageSet, device: str) -> Manifold:
    return Manifold.of(torch.as_tensor(images.features, device=device))


def _standard_error(*influences: NDArray[np.float64]) -> str:
    """That of the draw of both sets; empty if there are too few images to tell."""
    error = np.linalg.norm(np.concatenate(influences))
    return f"standard error {error:.3g}" if np.isfinite(error) else ""


# ----------------------------------------------------------------------------------------------
# Measuring


def by_network(metrics: Iterable[str]) -> list[list[str]]:
    """The metrics that see through one network together, so that each image goes through it once."""
    of: dict[str, list[str]] = {}
    for metric in metrics:
        of.setdefault(METRICS[metric].network, []).append(metric)
    return list(of.values())


def measure_sets(metrics: Sequence[str], asked: Asked, noting: Noting) -> dict[str, list[str]]:
    """The lines of some metrics of one network; each image goes through it once. The statistics of A
    are saved if asked for.

    `noting(metric)` is for a block that may find that a metric cannot be measured. Raises UserError
    if weights, images or statistics cannot be read.
    """
    with naming_stand_in(*metrics):
        network = asked.networks.feature_network(METRICS[metrics[0]].network)
    keep = any(published_name(metric) != MOMENTS for metric in metrics)
    reference = read_set(asked.a, network, keep, asked)
    if asked.save is not None:
        with writing(asked.save, "choose another --save"):
            frechet.write_statistics(asked.save, reference.moments)
    if asked.b is None:
        return {metrics[0]: [f"{asked.save}: mu, sigma and n of {reference}"]}
    samples, found = read_set(asked.b, network, keep, asked), dict[str, list[str]]()
    if reference.n * samples.n > MANY:
        say_how_long(metrics, reference, samples, asked)
    for metric in metrics:
        with noting(metric):
            a, b = (_taken(side, metric, network) for side in (reference, samples))
            value, remark = _compared(metric, a, b, asked)
            images = ", ".join(filter(None, [f"images: {a} and {b}", remark]))
            told = [f"measured by: {described(network)}", *reading(asked), images]
            found[metric] = [*told, f"{metric} {value:.8g}"]
    return found


def _taken(side: ImageSet, metric: str, network: FeatureNetwork) -> ImageSet:
    """What a metric takes of a set: a Frechet distance the statistics of its file, if it has some."""
    if side.features is None or published_name(metric) != MOMENTS or not has_statistics(side.path):
        return side
    return ImageSet(side.path, summed=_statistics(side.path, network))


def _compared(metric: str, reference: ImageSet, samples: ImageSet, asked: Asked) -> Compared:
    if published_name(metric) == MOMENTS:
        return frechet_of(reference, samples), ""
    for side in (reference, samples):
        if side.features is None:
            needed = f"which {metric} needs; give the folder of the images"
            raise UserError(f"{side.path}: statistics hold no features, {needed}")
    return on_features(published_name(metric), reference, samples, asked)


def say_how_long(
    metrics: Sequence[str], reference: ImageSet, samples: ImageSet, asked: Asked
) -> None:
    """Estimates on stderr of what compares all pairs of images, by the time that some of them take."""
    some = [
        ImageSet(side.path, side.features[:FEW])
        for side in (reference, samples)
        if side.features is not None
    ]
    if len(some) < 2 or asked.subsets is not None:
        return
    of = {published_name(metric): metric for metric in metrics}
    overlaps = [name for name in of if name in OVERLAPS]
    slow = [name for name in of if name in KERNELS] + overlaps[:1]  # with it come the others
    for name in slow:
        begun = time.perf_counter()
        on_features(name, some[0], some[1], asked)
        of_some = time.perf_counter() - begun
        seconds = of_some * (reference.n / some[0].n) * (samples.n / some[1].n)
        what = ", ".join(of[one] for one in (overlaps if name in overlaps else [name]))
        counts = f"{reference.n:,} and {samples.n:,} images"
        cli.say(f"{what}: about {duration(seconds)} for {counts}, which grows with their product")


def read_set(path: Path, network: FeatureNetwork, keep: bool, asked: Asked) -> ImageSet:
    """The images of a folder or an npz file, or statistics. With `keep`, the features of images are
    held: n x d x 4 bytes.

    Of a file with both, the statistics are taken where they are enough, as ADM's evaluator does.
    """
    if path.suffix == ".npz":
        held = npz.names(path) if path.is_file() else set()
        if ARRAY not in held or (held >= STATISTICS and not keep):
            return ImageSet(path, summed=_statistics(path, network))
    count, images = images_of(path, asked)
    rows = (row for batch in batches(images, asked.batch_size) for row in network(batch).cpu())
    if keep:
        row = np.dtype((np.float32, network.dim))
        return ImageSet(path, features=np.fromiter(rows, row, count))
    chunks = map(Moments.from_features, batches(rows, MOMENTS_CHUNK))
    return ImageSet(path, summed=reduce(Moments.merge, chunks))


def _statistics(path: Path, network: FeatureNetwork) -> Moments:
    if (found := frechet.dimensions(path)) != network.dim:  # before they are unpacked
        raise UserError(f"{path}: statistics of {found} features; {network.name} has {network.dim}")
    return frechet.read_statistics(path)
