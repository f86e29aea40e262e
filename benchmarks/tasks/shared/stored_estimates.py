"""Codes with what a data set knows of their images; the jobs that estimate numbers of them, and the numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.core.images import Selection
from benchmarks.metrics.codes.data import Codes, Floats, Ints, LabelColumns
from benchmarks.metrics.codes.number import estimates_of_json, json_of_estimates
from benchmarks.metrics.codes.schema import NUMBERS, PLAIN, named
from benchmarks.metrics.codes.table import estimates, fields
from benchmarks.plugin import Arrays, Context, Job, Numbers, Place
from diffae.data import Dataset
from diffae.data.dataset import SPLITS
from reports.records.estimate import Estimate


def codes_of(data: Dataset, order: Ints, values: Floats) -> Codes:
    """Codes [n, d] of the images of a data set with these indices [n], with their factors and persons."""
    labels, persons = LabelColumns(*data.factors(order)), data.identities
    who = None if persons is None else persons[order]
    return Codes(values, labels, persons=who, data=data.fingerprint, images=order)


def estimates_job(
    context: Context,
    work: str,
    takes: Sequence[Job],
    codes_from: Callable[..., Codes],
    compute: Callable[[Codes], Mapping[str, Estimate]],
    **choices: Any,
) -> Job:
    """What `compute` estimates from codes, as `estimates_of` reads it.

    `codes_from` makes the codes of the arrays of the jobs `takes`; `choices` are what else decides it.
    """

    def packed(_: np.ndarray, *arrays: Arrays) -> Arrays:
        text = json_of_estimates(compute(codes_from(*arrays)))
        return {"json": np.frombuffer(text.encode(), np.uint8)}

    decides = {"seed": context.seed, **choices}
    return Job(work, f"{work} of codes", decides, None, packed, takes=takes)


def estimates_of(arrays: Arrays) -> dict[str, Estimate]:
    """The estimates of an `estimates_job`, by name."""
    return estimates_of_json(arrays["json"].tobytes().decode())


def plain_job(
    context: Context,
    metric: str,
    takes: Sequence[Job],
    codes_from: Callable[..., Codes],
    **choices: Any,
) -> Job:
    """A metric of codes by our own protocol, with those that share its work. `choices` are what else
    decides the codes.
    """
    protocol, group = named(PLAIN), NUMBERS[metric]

    def compute(codes: Codes) -> Mapping[str, Estimate]:
        return estimates(group.metrics, codes, protocol, context.seed)

    work = group.metrics[0]  # `viv` and `viv_by_class` have the same choices, and are two works
    choices |= fields(metric, protocol)
    return estimates_job(context, work, takes, codes_from, compute, **choices)


def plain_numbers(
    place: Place, metric: str, arrays: Arrays, images: Selection | None = None
) -> Numbers:
    """The number of a metric from the arrays of its `plain_job`.

    `images` are those of the codes, if not the training, validation and test images of the probes.
    """
    protocol, group = named(PLAIN), NUMBERS[metric]
    estimate = estimates_of(arrays)[metric]
    estimate = replace(estimate, why=estimate.why.removeprefix(f"{metric}: "))
    if estimate.value is not None and images is not None:
        place = place.at(split=images.split if images.split in SPLITS else "")
    elif estimate.value is not None:
        place = place.at(split="test" if group.is_scored else "")
    return place.also(**fields(metric, protocol)).numbers({metric: estimate})


plain_record = stored_estimates = None  # TEMPORARY
