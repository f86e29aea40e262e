"""Metrics of two sets of images: the features of folders and files, and the lines on their metrics."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
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
from benchmarks.metrics import METRICS
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.sets import frechet, kernel
from benchmarks.metrics.sets.frechet import Moments
from benchmarks.metrics.sets.groups import (
    Estimates,
    SetGroup,
    convention,
    frechet_of_moments,
    groups_of,
)
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from diffae.data import npz
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import writing
from reports.records.estimate import Estimate
from reports.records.metrics import published_name
from reports.tables.numbers import duration

# The time of what compares all pairs of images is said before, of more than MANY pairs, by that of FEW images.
MANY, FEW = 10_000**2, 2_000
MOMENTS_CHUNK = 1024  # features are summed this many at a time: memory does not grow with the set
MOMENTS = "fid"  # the metric that moments are enough for

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

    def side(self, units: str, device: str, most: int | None = None) -> Side:
        """Its images, or the first of them, as one side of a comparison.

        Raises UserError if only their moments are known.
        """
        if self.features is None:
            raise UserError(
                f"{self.path}: statistics hold no features; give the folder of the images"
            )
        features = self.features[:most]
        return Side.of(features, blocks_of(len(features)), units, torch.device(device))

    def __str__(self) -> str:
        return f"{self.n} images" if self.n else "an unknown number of images"


def by_network(metrics: Iterable[str]) -> list[list[str]]:
    """The metrics on the features of one network together, so that each image goes through it once."""
    by_name: dict[str, list[str]] = {}
    for metric in metrics:
        by_name.setdefault(METRICS[metric].network, []).append(metric)
    return list(by_name.values())


def measure_sets(metrics: Sequence[str], asked: Asked, noting: Noting) -> dict[str, list[str]]:
    """The lines of some metrics of one network; each image goes through it once. The statistics of A
    are saved if asked for.

    `noting(metric)` is for a block that may find that a metric cannot be measured. Raises UserError
    if weights, images or statistics cannot be read.
    """
    with naming_stand_in(*metrics):
        network = asked.networks.feature_network(METRICS[metrics[0]].network)
    names = {published_name(metric): metric for metric in metrics}
    keep = any(metric != MOMENTS for metric in names)
    reference = read_set(asked.a, network, keep, asked)
    if asked.save is not None:
        with writing(asked.save, "choose another --save"):
            frechet.write_statistics(asked.save, reference.moments)
    if asked.b is None:
        return {metrics[0]: [f"{asked.save}: mu, sigma and n of {reference}"]}
    samples = read_set(asked.b, network, keep, asked)
    groups = groups_of(names)
    if reference.n * samples.n > MANY and asked.subsets is None:
        for group, chosen in groups.items():
            told = ", ".join(names[metric] for metric in chosen)
            say_how_long(group, told, reference, samples, asked)
    lines: dict[str, list[str]] = {}
    about = [f"measured by: {described(network)}", *reading(asked)]
    for group, chosen in groups.items():
        with noting(*(names[metric] for metric in chosen)):
            a, b = (_compared(side, chosen, network) for side in (reference, samples))
            estimates = estimates_of(group, a, b, asked)
            for metric in chosen:
                name, estimate = names[metric], estimates[metric]
                with noting(name):
                    number = f"{name} {value_of(estimate):.8g}"
                    images = ", ".join([f"images: {a} and {b}", *remarks_on(metric, estimate)])
                    lines[name] = [*about, images, number]
    return lines


def estimates_of(
    group: SetGroup, reference: ImageSet, samples: ImageSet, asked: Asked
) -> Estimates:
    """The estimates of a group of metrics. Raises UserError if a side has no features, or too few."""
    if MOMENTS in group.metrics:
        return {MOMENTS: frechet_of(reference, samples)}
    y = reference.side("blocks of A", asked.device)
    x = samples.side("blocks of B", asked.device)
    if "kid" in group.metrics and asked.subsets is not None:
        return {"kid": kernel.over_subsets(x.features, y.features, *asked.subsets)}
    return group.estimate(x, y)


def frechet_of(reference: ImageSet, samples: ImageSet) -> Estimate:
    """The Frechet distance of two sets. Raises UserError if one has a single image."""
    for side in (reference, samples):
        if side.n == 1:
            raise UserError(f"{side.path}: one image; a Frechet distance needs at least two")
        if note := frechet.bias_note(side.n, len(side.moments.mean)):
            cli.say(f"warning: {side.path}: {note}")
    return frechet_of_moments(samples.moments, reference.moments)


def value_of(estimate: Estimate) -> float:
    """The value. Raises UserError with the reason if there is none."""
    if estimate.value is None:
        raise UserError(estimate.why)
    return estimate.value


def remarks_on(metric: str, estimate: Estimate) -> list[str]:
    """What the line on the images says of a metric, such as its standard error."""
    error = [] if estimate.stderr is None else [f"standard error {estimate.stderr:.3g}"]
    return [*filter(None, [convention(metric)]), *estimate.notes, *error]


def say_how_long(
    group: SetGroup, names: str, reference: ImageSet, samples: ImageSet, asked: Asked
) -> None:
    """Estimates on stderr how long a group that compares all pairs of images takes, by the time that
    some of them take.
    """
    if MOMENTS in group.metrics or reference.features is None or samples.features is None:
        return
    some = [side.side("", asked.device, FEW) for side in (samples, reference)]
    begun = time.perf_counter()
    group.estimate(*some)
    seconds = time.perf_counter() - begun
    seconds *= (reference.n / len(some[1])) * (samples.n / len(some[0]))
    counts = f"{reference.n:,} and {samples.n:,} images"
    cli.say(f"{names}: about {duration(seconds)} for {counts}, which grows with their product")


# ----------------------------------------------------------------------------------------------
# Reading


def _compared(side: ImageSet, metrics: Sequence[str], network: FeatureNetwork) -> ImageSet:
    """What metrics take of a set: a Frechet distance the statistics of its file, if it has some."""
    if side.features is None or MOMENTS not in metrics or not has_statistics(side.path):
        return side
    return ImageSet(side.path, summed=_statistics(side.path, network))


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
    if (dim := frechet.dimensions(path)) != network.dim:  # before they are unpacked
        raise UserError(f"{path}: statistics of {dim} features; {network.name} has {network.dim}")
    return frechet.read_statistics(path)
