"""Rows of distances of sets of features, and of how far they overlap, computed with their errors."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.metrics import METRICS, frechet_jackknife, kernel
from benchmarks.metrics.frechet import bias_note
from benchmarks.metrics.frechet_jackknife import BLOCKS, Side
from benchmarks.metrics.frechet_pairs import PairedJackknife, paired_jackknife
from benchmarks.metrics.manifold import OVERLAPS, Estimate, Manifold, lacking
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.plugin import Arrays, Cell, Computation, Context, Record, Selection
from benchmarks.runtime.digest import digest
from reports.records.estimate import influences_of, units_of
from reports.records.metrics import alternatives, seen_through

SHARES = 16  # files of a distance at most: so many processes can share it
SMALL = 1 << 20  # pairs of images: a distance of fewer takes a moment, and is one file
# By the published metric: of two sets, and of images to their originals, row by row.
BETWEEN = {"kid": kernel.between, "cmmd": kernel.cmmd, "fid": frechet_jackknife.between}
PAIRED = {"rkid": kernel.paired, "rfid": paired_jackknife}
TITLES = {"kid": "a kernel distance", "cmmd": "CMMD", "fid": "a Frechet distance"}


def metrics_of(network: FeatureNetwork) -> dict[str, str]:
    """The name of each of `BETWEEN` where the features are those of `network`."""
    names = [(metric, name) for metric in BETWEEN for name in alternatives(metric)]
    return {metric: name for metric, name in names if METRICS[name].network == network.network}


def side_of(
    context: Context, images: Selection, features: np.ndarray, kind: str = "blocks"
) -> Side:
    """The features of images as one side of distances; `kind` is that of its units."""
    return Side.of(features, images.units.blocks(BLOCKS), images.units.named(kind), context.device)


def distance(context: Context, metric: str, ours: Side, theirs: Side, errors: bool = True) -> Any:
    """The `Jackknife` of a distance by one of `BETWEEN`, a Frechet distance perhaps without its error;
    or the `PairedJackknife` by one of `PAIRED`.

    A side of several comparisons should be the same `Side` object in all of them. The processes
    divide the parts among them as they do chunks of images.
    """
    known = errors or metric != "fid"
    between: Any = {**BETWEEN, **PAIRED}[metric]
    found = (between if known else partial(between, leaves_out=False))(ours, theirs)

    def compute(positions: np.ndarray) -> Arrays:
        return {"parts": np.stack([found.part(int(i)) for i in positions])}

    key = _key(context, "distance in parts", ours, theirs, metric=metric, error=known)
    small = len(ours) * len(theirs) < SMALL
    chunk = found.count if small else -(-found.count // SHARES)
    parts = Computation("distance in parts", key, found.count, compute, chunk=chunk)
    return found.joined(context.store.read(parts)["parts"])


def distance_rows(
    cell: Cell,
    network: FeatureNetwork,
    names: Mapping[str, str],
    ours: Side,
    reference: Side,
    frechet_error: bool = True,
) -> Iterator[Record]:
    """The rows of distances, by the names that those of `BETWEEN` or `PAIRED` have in the table.

    A row without a value says that there are too few images.
    """
    fewest = min(len(ours), len(reference))
    for metric, name in names.items():
        title = TITLES[metric.removeprefix("r")]
        if fewest < 2:
            yield cell.row(name, None, note=f"{title} needs two images on each side, not {fewest}")
            continue
        found = distance(cell.context, metric, ours, reference, frechet_error)
        if isinstance(found, PairedJackknife):
            error = influences_of(found.influences, ours.units)
        elif ours.units == reference.units:  # blocks of both sides
            error = influences_of(found.of_samples + found.of_reference, ours.units)
        else:
            error = influences_of(found.of_samples, ours.units)
            error += influences_of(found.of_reference, reference.units)
        note = bias_note(fewest, network.dim) if title == TITLES["fid"] else ""
        yield cell.row(name, found.value, error, note=note)


def overlap_rows(
    cell: Cell, network: FeatureNetwork, metrics: Sequence[str], samples: Side, reference: Side
) -> Iterator[Record]:
    """The rows of some of `OVERLAPS`; one without a value says how many images it needs.

    The blocks of both sides are halved together.
    """
    device, sizes = cell.context.device, (len(reference), len(samples))
    reasons = {metric: lacking(metric, *sizes, OVERLAPS[metric].k) for metric in metrics}
    able = [metric for metric in metrics if not reasons[metric]]

    def compute() -> Arrays:
        sides = [
            Manifold.of(torch.from_numpy(side.features[side.rows]).to(device), side.blocks)
            for side in (reference, samples)
        ]
        found = {metric: OVERLAPS[metric].between(*sides) for metric in able}
        return {name: np.array([e.value, e.of or 0, *e.halves.flat]) for name, e in found.items()}

    key = _key(cell.context, "overlap", samples, reference, metrics=able)
    found = cell.context.store.once(key, compute) if able else {}
    units = units_of("blocks, halved", samples.units, reference.units)
    for metric, reason in reasons.items():
        name = seen_through(metric, network.network)
        if reason:
            yield cell.row(name, None, note=reason)
            continue
        value, of, *halves = found[metric].tolist()
        one = Estimate(value, np.reshape(halves, (-1, 2)), int(of) or None)
        error = influences_of(one.influences, units) if one.has_error else ()
        yield cell.row(name, value, error, note="" if error else one.why_no_error)


def _key(context: Context, work: str, ours: Side, reference: Side, **fields: Any) -> dict[str, Any]:
    """The key of what is computed of two sides."""
    return {
        "work": work,
        "blocks": BLOCKS,
        "samples": ours.digest,
        "sample_blocks": digest(ours.blocks),
        "reference": reference.digest,
        "reference_blocks": digest(reference.blocks),
        "device": context.device.type,
        **fields,
    }
