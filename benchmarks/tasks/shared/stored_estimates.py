"""Codes with what a data set knows of their images; their estimates, kept in the store, and records."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.core.images import Selection
from benchmarks.metrics.codes.data import Codes, Floats, Ints, LabelColumns
from benchmarks.metrics.codes.number import estimates_of_json, json_of_estimates
from benchmarks.metrics.codes.schema import NUMBERS, PLAIN, named
from benchmarks.metrics.codes.table import estimates, fields
from benchmarks.plugin import Arrays, Cell, Context, Record
from diffae.data import Dataset
from diffae.data.dataset import SPLITS
from reports.records.estimate import Estimate


def codes_of(data: Dataset, order: Ints, values: Floats) -> Codes:
    """Codes [n, d] of the images of a data set with these indices [n], with their factors and persons."""
    labels, persons = LabelColumns(*data.factors(order)), data.identities
    who = None if persons is None else persons[order]
    return Codes(values, labels, persons=who, data=data.fingerprint, images=order)


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

    compute = partial(estimates, group.metrics, codes, protocol, seed)
    work = group.metrics[0]  # `viv` and `viv_by_class` have the same choices, and are two works
    estimate = stored_estimates(cell.context, work, codes, compute, **choices)[metric]
    estimate = replace(estimate, why=estimate.why.removeprefix(f"{metric}: "))
    split = "test" if group.is_scored and codes.split is not None else ""
    if estimate.value is None:
        split = cell.split
    elif images is not None:
        split = images.split if images.split in SPLITS else ""
    return cell.also(**choices).record(metric, estimate, split=split)
