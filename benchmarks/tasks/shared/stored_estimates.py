"""Estimates of codes, kept in the store, and their records."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.core.images import Selection
from benchmarks.metrics.codes.data import Codes
from benchmarks.metrics.codes.number import CodeGroup, estimates_of_json, json_of_estimates
from benchmarks.metrics.codes.schema import NUMBERS, PLAIN, named
from benchmarks.metrics.codes.table import estimates, fields
from benchmarks.plugin import Arrays, Cell, Context, Record
from diffae.data.dataset import SPLITS
from reports.records.estimate import Estimate


def stored_estimates(
    context: Context,
    work: str,
    codes: Codes,
    compute: Callable[[], Mapping[str, Estimate]],
    **choices: Any,
) -> dict[str, Estimate]:
    """What `compute` estimates from the codes, by name; `choices` are what else decides it."""
    key = {"work": work, "seed": context.seed, **choices}
    key |= {"codes": list(codes.digests), "units": codes.units.named("codes")}

    def packed() -> Arrays:
        return {"json": np.frombuffer(json_of_estimates(compute()).encode(), np.uint8)}

    return estimates_of_json(context.store.once(key, packed)["json"].tobytes().decode())


def plain_record(cell: Cell, metric: str, codes: Codes, images: Selection | None = None) -> Record:
    """The record of a metric of codes by our own protocol.

    `images` are those of the codes, if not those of the probes. The metrics that share its work are
    computed and kept with it.
    """
    protocol, seed, group = named(PLAIN), cell.context.seed, NUMBERS[metric]
    choices = dict(fields(metric, protocol))

    def compute() -> Mapping[str, Estimate]:
        return estimates(group.metrics, codes, protocol, seed)

    work = group.metrics[0]  # `viv` and `viv_by_class` have the same choices, and are two works
    estimate = stored_estimates(cell.context, work, codes, compute, **choices)[metric]
    estimate = replace(estimate, why=estimate.why.removeprefix(f"{metric}: "))
    split = cell.split
    if estimate.value is not None:
        split = _split(codes, group, images)
    return cell.also(**choices).record(metric, estimate, split=split)


def _split(codes: Codes, group: CodeGroup, images: Selection | None) -> str:
    """The split that metrics of codes are of; "" if of several."""
    if images is not None:
        return images.split if images.split in SPLITS else ""
    return "test" if group.is_scored and codes.split is not None else ""
