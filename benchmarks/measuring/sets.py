"""Metrics of two sets of images: the features of folders and files, and the answers on them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring.images import (
    ARRAY,
    STATISTICS,
    are_pairs,
    batches,
    has_statistics,
    images_of,
    pairs_of,
    reading,
)
from benchmarks.measuring.request import (
    Answer,
    Request,
    answer_of,
    described,
    naming_stand_in,
    refusal,
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

# Before more than MANY pairs of images are compared, the time is estimated from FEW images of each side.
MANY, FEW = 10_000**2, 2_000
MOMENTS_CHUNK = 1024  # features are summed this many at a time: memory does not grow with the set
MOMENTS = "fid"  # the metric that moments are enough for
IMAGES_OF_SETS = "images of each set"  # what --limit counts
PAIRED = ("rkid", "rfid")  # distances of images and their reconstructions, row by row
# Why they differ from `kid` and `fid`, where both folders have files of the same names.
WHY_PAIRED = {
    "kid": "{paired} leaves out an image with its own reconstruction, which makes {metric} too low",
    "fid": "{paired} is the same number, with the standard error of pairs",
}

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


def measure_sets(metrics: Sequence[str], request: Request) -> Iterator[Answer]:
    """The answers on metrics of two sets; each image goes once through each network, and once more
    for the metrics of pairs.
    """
    alike: dict[tuple[str, bool], dict[str, str]] = {}
    for metric in metrics:
        published = published_name(metric)
        of_network = alike.setdefault((METRICS[metric].network, published in PAIRED), {})
        of_network[published] = metric
    for (network_name, is_paired), names in alike.items():
        measure = _measure_pairs_through if is_paired else _measure_through
        try:
            with naming_stand_in(*names.values()):
                network = request.networks.feature_network(network_name)
            yield from measure(network, names, request)
        except UserError as error:
            yield refusal(names.values(), error)


def _measure_through(
    network: FeatureNetwork, names: Mapping[str, str], request: Request
) -> Iterator[Answer]:
    """The answers on metrics of one network, by their published names, and the statistics of A where they
    are to be saved.

    Raises UserError if images or statistics cannot be read.
    """
    keep = any(metric != MOMENTS for metric in names)
    reference = read_set(request.a, network, keep, request)
    if request.save is not None:
        with writing(request.save, "choose another --save"):
            frechet.write_statistics(request.save, reference.moments)
    if request.b is None:
        (metric,) = names.values()  # --save takes one
        yield Answer(metric, [f"{request.save}: mu, sigma and n of {reference}"])
        return
    samples = read_set(request.b, network, keep, request)
    have_same_names = request.a.is_dir() and reference.n == samples.n and are_pairs(request)
    for answer in _answers(names, reference, samples, network, IMAGES_OF_SETS, request):
        if have_same_names and answer.lines and (note := _paired_note(answer.metric)):
            answer = replace(answer, lines=[note, *answer.lines])
        yield answer


def _measure_pairs_through(
    network: FeatureNetwork, names: Mapping[str, str], request: Request
) -> Iterator[Answer]:
    """The answers on metrics of images and their reconstructions, of one network. Raises UserError if
    images cannot be read, or an image has no partner.
    """
    count, pairs = pairs_of(request)
    rows = (
        torch.stack([network(images).cpu() for images in batch.unbind(1)], 1)
        for batch in batches(pairs, request.batch_size)
    )
    row = np.dtype((np.float32, (2, network.dim)))
    features = np.fromiter(chain.from_iterable(rows), row, count)
    originals, made = (
        ImageSet(path, features=np.ascontiguousarray(features[:, side]))
        for side, path in enumerate(request.pair)
    )
    yield from _answers(names, originals, made, network, "pairs", request)


def _paired_note(metric: str) -> str:
    """Which metric of pairs there is beside one of two sets, and why it differs; empty if there is none."""
    why, paired = WHY_PAIRED.get(published_name(metric)), f"r{metric}"
    if why is None or paired not in METRICS:
        return ""
    return f"A and B have files of the same names: {why.format(paired=paired, metric=metric)}"


def _answers(
    names: Mapping[str, str],
    reference: ImageSet,
    samples: ImageSet,
    network: FeatureNetwork,
    unit: str,
    request: Request,
) -> Iterator[Answer]:
    """The answers on metrics, given by their published names with those that are printed; the `unit`
    is what --limit counts.
    """
    about = [f"measured by: {described(network)}", *reading(request, unit)]
    groups = groups_of(names)
    if reference.n * samples.n > MANY and request.subsets is None:
        for group, members in groups.items():
            printed = ", ".join(names[metric] for metric in members)
            announce_duration(group, printed, reference, samples, request)
    for group, members in groups.items():
        try:
            a, b = (_for_group(group, side, network, request) for side in (reference, samples))
            estimates = estimates_of(group, a, b, request)
        except UserError as error:
            yield refusal([names[metric] for metric in members], error)
            continue
        for metric in members:
            estimate = estimates[metric]
            counts = [f"images: {a} and {b}", convention(metric), *estimate.notes]
            yield answer_of(names[metric], estimate, about, counts)


def estimates_of(
    group: SetGroup, reference: ImageSet, samples: ImageSet, request: Request
) -> Estimates:
    """The estimates of a group of metrics. Raises UserError if a side has no features, or too few."""
    if MOMENTS in group.metrics:
        return {MOMENTS: frechet_of(reference, samples)}
    y = reference.side("blocks of A", request.device)
    x = samples.side("blocks of B", request.device)
    if "kid" in group.metrics and request.subsets is not None:
        return {"kid": kernel.over_subsets(x.features, y.features, *request.subsets)}
    return group.estimate(x, y)


def frechet_of(reference: ImageSet, samples: ImageSet) -> Estimate:
    """The Frechet distance of two sets. Raises UserError if one has a single image."""
    for side in (reference, samples):
        if side.n == 1:
            raise UserError(f"{side.path}: one image; a Frechet distance needs at least two")
        if note := frechet.bias_note(side.n, len(side.moments.mean)):
            cli.say(f"warning: {side.path}: {note}")
    return frechet_of_moments(samples.moments, reference.moments)


def announce_duration(
    group: SetGroup, names: str, reference: ImageSet, samples: ImageSet, request: Request
) -> None:
    """Say on stderr about how long a group that compares all pairs of images takes.

    The time is that of some of the images, times the number of pairs.
    """
    is_frechet = MOMENTS in group.metrics or "rfid" in group.metrics
    if is_frechet or reference.features is None or samples.features is None:
        return
    x, y = (images.side("", request.device, FEW) for images in (samples, reference))
    start = time.perf_counter()
    group.estimate(x, y)
    seconds = time.perf_counter() - start
    seconds *= (reference.n / len(y)) * (samples.n / len(x))
    counts = f"{reference.n:,} and {samples.n:,} images"
    cli.say(f"{names}: about {duration(seconds)} for {counts}, which grows with their product")


# ----------------------------------------------------------------------------------------------
# Reading


def _for_group(
    group: SetGroup, images: ImageSet, network: FeatureNetwork, request: Request
) -> ImageSet:
    """A set as a group takes it: for a Frechet distance the statistics in its file, if there are any."""
    takes_statistics = MOMENTS in group.metrics and request.limit is None
    if images.features is None or not takes_statistics or not has_statistics(images.path):
        return images
    return ImageSet(images.path, summed=_statistics(images.path, network))


def read_set(path: Path, network: FeatureNetwork, keep: bool, request: Request) -> ImageSet:
    """The images of a folder or an npz file, or statistics. With `keep`, the features of images are
    held: n x d x 4 bytes.

    Of a file with both, the statistics are taken where they are enough, as ADM's evaluator does, but
    not with --limit, since they are of all images.
    """
    if path.suffix == ".npz":
        held = npz.names(path) if path.is_file() else set()
        if request.limit is not None and held >= STATISTICS and ARRAY not in held:
            raise UserError(f"--limit: {path} has statistics of all images; give the images")
        if ARRAY not in held or (held >= STATISTICS and not keep and request.limit is None):
            return ImageSet(path, summed=_statistics(path, network))
    count, images = images_of(path, request)
    rows = (row for batch in batches(images, request.batch_size) for row in network(batch).cpu())
    if keep:
        row = np.dtype((np.float32, network.dim))
        return ImageSet(path, features=np.fromiter(rows, row, count))
    chunks = map(Moments.from_features, batches(rows, MOMENTS_CHUNK))
    return ImageSet(path, summed=reduce(Moments.merge, chunks))


def _statistics(path: Path, network: FeatureNetwork) -> Moments:
    if (dim := frechet.dimensions(path)) != network.dim:  # before they are unpacked
        raise UserError(f"{path}: statistics of {dim} features; {network.name} has {network.dim}")
    return frechet.read_statistics(path)
