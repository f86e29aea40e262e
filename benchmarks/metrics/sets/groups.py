"""Metrics of two sets of images, and of images and their originals as sets, found by name.

    samples, reference = Side.of(features_of_samples, blocks), Side.of(features_of_reference, blocks)
    for group, metrics in groups_of(["kid", "precision", "recall"]).items():
        estimates = group.estimate(samples, reference)          {"kid": Estimate(...)}

A new metric is a function of two `Side`s which gives an estimate in parts, an entry in `GROUPS`, and
an entry in `reports.records.metrics`: `measure` then computes it, and the tables that the entry here
names show it. Metrics are named as published; through another network they have another name
(`names_through`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.metrics import METRICS
from benchmarks.metrics.group import Group, Needs, metrics_of_table
from benchmarks.metrics.sets import frechet_jackknife, kernel
from benchmarks.metrics.sets.frechet import Moments, frechet_distance
from benchmarks.metrics.sets.jackknife import InParts, Side
from benchmarks.metrics.sets.manifold import OVERLAPS, overlaps
from diffae.system.errors import UserError
from reports.records.estimate import Estimate

Estimates = Mapping[str, Estimate]
Distance = Callable[[Side, Side], InParts[Estimate]]

# Tables that show metrics of sets.
SAMPLES, OVERLAP = "table4_unconditional_fid", "unconditional_overlap"
FEW_SHOT, RECONSTRUCTION = "table3_fewshot_fid", "table1_reconstruction"
HALFWAY, TOKENS = "latent_interpolation", "latent_tokens"


@dataclass(frozen=True)
class SetGroup(Group):
    """Metrics of two sides that share their work.

    in_parts   their estimates as a computation in parts, which processes share and the store keeps;
               `estimate` computes the parts one after the other
    """

    in_parts: Callable[[Side, Side], InParts[Estimates]]


def _group(
    metrics: tuple[str, ...],
    in_parts: Callable[[Side, Side], InParts[Estimates]],
    *tables: str,
    needs: Needs = "features of two sets",
) -> SetGroup:
    def estimate(samples: Side, reference: Side) -> Estimates:
        return in_parts(samples, reference).whole()

    return SetGroup(metrics, needs, estimate, in_parts, tables=tables)


def _distance(
    metric: str, distance: Distance, *tables: str, needs: Needs = "features of two sets"
) -> SetGroup:
    """The group of a distance; of fewer than two images a side its estimate says so."""

    def in_parts(samples: Side, reference: Side) -> InParts[Estimates]:
        try:
            parts = distance(samples, reference)
        except UserError as few:
            missing = {metric: Estimate(None, n=len(samples), why=str(few))}
            return InParts(0, lambda _: np.empty(0), lambda _: missing)
        return InParts(
            parts.count,
            parts.part,
            lambda arrays: {metric: parts.joined(arrays)},
            parts.first_is_value,
        )

    return _group((metric,), in_parts, *tables, needs=needs)


# Between images and their originals, row by row.
_paired_distance = partial(_distance, needs="features of pairs")

GROUPS: tuple[SetGroup, ...] = (
    _distance("kid", kernel.between, SAMPLES, FEW_SHOT),
    _distance("cmmd", kernel.cmmd, SAMPLES, FEW_SHOT),
    _distance("fid", frechet_jackknife.between, SAMPLES, FEW_SHOT),
    _group(tuple(OVERLAPS), overlaps, OVERLAP),
    _paired_distance("rkid", kernel.paired, RECONSTRUCTION),
    _paired_distance("rfid", frechet_jackknife.paired_jackknife, RECONSTRUCTION),
    _paired_distance("ikid", kernel.paired, HALFWAY),
    _paired_distance("ifid", frechet_jackknife.paired_jackknife, HALFWAY),
    _paired_distance("pkid", kernel.paired, TOKENS),
    _paired_distance("pfid", frechet_jackknife.paired_jackknife, TOKENS),
)


def groups_of(metrics: Iterable[str]) -> dict[SetGroup, list[str]]:
    """The groups that compute some metrics, by their published names, and which of them each has."""
    wanted = set(metrics)
    chosen = {group: [m for m in group.metrics if m in wanted] for group in GROUPS}
    return {group: metrics for group, metrics in chosen.items() if metrics}


def shown_in(table: str) -> tuple[str, ...]:
    """The metrics that a table shows."""
    return metrics_of_table(table, GROUPS)


def names_through(network: str, metrics: Iterable[str]) -> dict[str, str]:
    """The names of metrics on the features of a network; without those that there are not."""
    through = [(name, row) for name, row in METRICS.items() if row.network == network]
    names = {row.stands_in_for or name: name for name, row in through}
    return {metric: names[metric] for metric in metrics if metric in names}


def convention(metric: str) -> str:
    """What decides a metric of `OVERLAPS`, beside the network; empty for others."""
    return OVERLAPS[metric].convention if metric in OVERLAPS else ""


def frechet_of_moments(samples: Moments, reference: Moments) -> Estimate:
    """The Frechet distance where only the moments of the sets are known, and so without an error."""
    return Estimate(frechet_distance(reference, samples), n=samples.n or None)
