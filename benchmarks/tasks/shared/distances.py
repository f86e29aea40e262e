"""Metrics of sets in the tasks: processes share their parts, and the store keeps them."""

from collections.abc import Iterable, Mapping

import numpy as np

from benchmarks.core.images import Selection
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.sets.groups import Estimates, SetGroup, groups_of, names_through
from benchmarks.metrics.sets.jackknife import BLOCKS, Side
from benchmarks.plugin import Arrays, Context, Estimate, Job
from benchmarks.runtime.digest import digest
from diffae.system.files import Json

SHARES = 16  # files of a distance at most: so many processes can share it
SMALL = 1 << 20  # pairs of images: a distance of fewer takes a moment, and is one file


def side_of(
    context: Context, images: Selection, features: np.ndarray, kind: str = "blocks"
) -> Side:
    """The features of images as one side of distances; `kind` is that of its units."""
    return Side.of(features, images.units.blocks(BLOCKS), images.units.named(kind), context.device)


def set_estimates(
    context: Context,
    network: FeatureNetwork,
    metrics: Iterable[str],
    samples: Side,
    reference: Side,
    frechet_error: bool = True,
) -> Mapping[str, Estimate]:
    """The estimates of metrics of two sides, given by their published names, by their names for the
    network; without those that the network has not.

    A side of several comparisons should be the same `Side` object in all of them. A Frechet
    distance may be without its error.
    """
    names, estimates = names_through(network.network, metrics), dict[str, Estimate]()
    for group, chosen in groups_of(names).items():
        of_group = _group_estimates(context, group, samples, reference, frechet_error)
        estimates |= {names[metric]: of_group[metric] for metric in chosen}
    return {name: estimates[name] for name in names.values()}


def _group_estimates(
    context: Context, group: SetGroup, samples: Side, reference: Side, frechet_error: bool
) -> Estimates:
    """The estimates of a group, of parts that the processes divide among them as chunks of images."""
    distance = group.in_parts(samples, reference)
    if not distance.count:
        return distance.joined(np.empty(0))
    with_error = frechet_error or not distance.first_is_value
    count = distance.count if with_error else 1

    def compute(positions: np.ndarray) -> Arrays:
        return {"parts": np.stack([distance.part(int(i)) for i in positions])}

    decides: dict[str, Json] = {"blocks": BLOCKS, "device": context.device.type}
    decides |= {"metric": group.metrics[0], "error": with_error}
    decides["sample_blocks"] = [samples.digest, digest(samples.blocks)]
    decides["reference_blocks"] = [reference.digest, digest(reference.blocks)]
    is_small = len(samples) * len(reference) < SMALL
    chunk = count if is_small else -(-count // SHARES)
    parts = Job("distance in parts", "distance", decides, count, compute, chunk=chunk)
    return distance.joined(context.store.read(parts)["parts"])
