"""Distances of sets of features, and how far they overlap, with their errors, from the store."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from benchmarks.core.context import Context
from benchmarks.core.measurement import Cell
from benchmarks.core.store import Arrays
from benchmarks.metrics import METRICS, frechet_jackknife, kernel
from benchmarks.metrics.frechet import bias_note
from benchmarks.metrics.frechet_jackknife import BLOCKS, InParts, Jackknife, Side
from benchmarks.metrics.frechet_pairs import PairedJackknife, paired_jackknife
from benchmarks.metrics.manifold import OVERLAPS, Estimate, Manifold, lacking
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.runtime.digest import digest
from reports.records.metrics import alternatives, seen_through
from reports.records.record import Record
from reports.records.uncertainty import UNKNOWN, of_influences, units_of

T = TypeVar("T")
SHARES = 16  # files of a distance at most: so many processes can share it
# By the published metric.
BETWEEN = {"kid": kernel.between, "cmmd": kernel.cmmd, "fid": frechet_jackknife.between}
PAIRED = {"rkid": kernel.paired, "rfid": paired_jackknife}
TITLES = {"kid": "a kernel distance", "cmmd": "CMMD", "fid": "a Frechet distance"}
TITLES |= {"rkid": TITLES["kid"], "rfid": TITLES["fid"]}


def metrics_of(network: FeatureNetwork) -> dict[str, str]:
    """The name of each of `BETWEEN` where the features are those of `network`."""
    return {
        metric: name
        for metric in BETWEEN
        for name in alternatives(metric)
        if METRICS[name].network == network.network
    }


def distance(
    context: Context, metric: str, samples: Side, reference: Side, frechet_error: bool
) -> Jackknife:
    """The distance of two sides by one of `BETWEEN`; a Frechet distance perhaps without its error.

    A side of several comparisons should be the same `Side` object in all of them.
    """
    known = frechet_error or metric != "fid"
    between = BETWEEN[metric] if known else partial(frechet_jackknife.between, leaves_out=False)
    found = between(samples, reference)
    return _shared(context, "distance", samples, reference, found, metric=metric, error=known)


def paired_rows(
    cell: Cell, names: Mapping[str, str], made: Side, originals: Side
) -> Iterator[Record]:
    """The rows of the distances of images to their originals, by the names of some of `PAIRED`."""
    n = len(made)
    for metric, name in names.items():
        if n < 2:
            yield cell.row(name, None, note=f"{TITLES[metric]} needs two images, not {n}")
            continue
        found = paired_distance(cell.context, metric, made, originals)
        error = of_influences(found.influences, made.units)
        note = bias_note(n, made.features.shape[1]) if metric == "rfid" else ""
        yield cell.row(name, found.value, error, note=note)


def paired_distance(context: Context, metric: str, made: Side, originals: Side) -> PairedJackknife:
    """The distance of images to their originals, row by row, by one of `PAIRED`."""
    found = PAIRED[metric](made, originals)
    return _shared(context, "paired distance", made, originals, found, metric=metric)


def _shared(
    context: Context, work: str, one: Side, other: Side, found: InParts[T], **fields: Any
) -> T:
    """A result from its parts, which the processes divide among them as they do chunks of images."""

    def compute(positions: np.ndarray) -> Arrays:
        return {"parts": np.stack([found.part(int(i)) for i in positions])}

    key = _key(f"{work} in parts", one, other, device=context.device.type, **fields)
    chunk = -(-found.count // SHARES)
    return found.joined(context.store.arrays(key, found.count, compute, chunk=chunk)["parts"])


def overlap_rows(
    cell: Cell, network: FeatureNetwork, metrics: Sequence[str], samples: Side, reference: Side
) -> Iterator[Record]:
    """The rows of some of `OVERLAPS`; one without a value says how many images it needs.

    The blocks of both sides are halved together.
    """
    sizes = len(reference), len(samples)
    reasons = {metric: lacking(metric, *sizes, OVERLAPS[metric].k) for metric in metrics}
    able = [metric for metric in metrics if not reasons[metric]]
    found = _overlaps(cell.context, able, samples, reference)
    units = units_of("blocks, halved", samples.units, reference.units)
    for metric, reason in reasons.items():
        value, error = None, UNKNOWN
        if metric in found:
            one = found[metric]
            value = one.value
            error = of_influences(one.influences, units) if one.has_error else UNKNOWN
            reason = "" if error else one.why_no_error
        note = "; ".join(filter(None, (cell.note, reason)))
        name = seen_through(metric, network.network)
        yield cell.row(name, value, error, n=len(samples), note=note)


def _overlaps(
    context: Context, metrics: Sequence[str], samples: Side, reference: Side
) -> dict[str, Estimate]:
    def compute() -> Arrays:
        sides = [
            Manifold.of(torch.from_numpy(side.features[side.rows]).to(context.device), side.blocks)
            for side in (reference, samples)
        ]
        found = {metric: OVERLAPS[metric].between(*sides) for metric in metrics}
        return {
            f"{metric}.{name}": np.array(value)
            for metric, one in found.items()
            for name, value in (("value", one.value), ("halves", one.halves), ("of", one.of or 0))
        }

    of = {"metrics": list(metrics), "device": context.device.type}
    key = _key("overlap", samples, reference, **of)
    found = context.store.once(key, compute) if metrics else {}
    return {
        metric: Estimate(
            float(found[f"{metric}.value"]),
            found[f"{metric}.halves"],
            int(found[f"{metric}.of"]) or None,
        )
        for metric in metrics
    }


def _key(work: str, samples: Side, reference: Side, **fields: Any) -> dict[str, Any]:
    """The key of what is computed of two sides."""
    return {
        "work": work,
        "blocks": BLOCKS,
        "samples": samples.digest,
        "sample_blocks": digest(samples.blocks),
        "reference": reference.digest,
        "reference_blocks": digest(reference.blocks),
        **fields,
    }
