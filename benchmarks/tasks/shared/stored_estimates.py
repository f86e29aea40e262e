"""Codes with what a data set knows of their images; the jobs that estimate numbers of them, and the numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from benchmarks.core.images import features_of
from benchmarks.core.measurement import Numbers
from benchmarks.metrics.codes.data import Codes, Ints, LabelColumns
from benchmarks.metrics.codes.number import estimates_of_json, json_of_estimates
from benchmarks.metrics.codes.schema import NUMBERS, PLAIN, named
from benchmarks.metrics.codes.table import estimates, fields
from benchmarks.plugin import Arrays, Context, Job, Place
from diffae.data import Dataset
from diffae.system.files import Json
from reports.records.estimate import Estimate


def images_of(data: Dataset, order: Ints) -> Codes:
    """The images of a data set with these indices [n], with their factors and persons, as codes of no numbers."""
    labels, persons = LabelColumns(*data.factors(order)), data.identities
    who = None if persons is None else persons[order]
    nothing = np.empty((len(order), 0))
    return Codes(nothing, labels, persons=who, data=data.fingerprint, images=order)


def as_probes_read(images: Codes, *features: Arrays) -> Codes:
    """The codes of images, as probes read them; `features` are those of some of them each, in order."""
    return replace(images, values=torch.cat(list(map(features_of, features))).double().numpy())


@dataclass(frozen=True)
class CodesOfJobs:
    """Codes of images, which jobs compute.

    jobs    whose arrays the codes are made of
    images  the images, as codes of no numbers
    make    from `images` and these arrays to codes
    split   of the images, if not the training, validation and test images of the probes
    fields  of a protocol: what else decides which images they are
    """

    jobs: Sequence[Job]
    images: Codes
    make: Callable[..., Codes] = as_probes_read
    split: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)


def estimates_job(
    context: Context,
    work: str,
    codes: CodesOfJobs,
    compute: Callable[[Codes], Mapping[str, Estimate]],
    **choices: Json,
) -> Job:
    """What `compute` estimates from codes, as `estimates_of` reads it; `choices` are what else decides it."""

    def packed(_: np.ndarray, *arrays: Arrays) -> Arrays:
        text = json_of_estimates(compute(codes.make(codes.images, *arrays)))
        return {"json": np.frombuffer(text.encode(), np.uint8)}

    decides = {"seed": context.seed, "images": codes.images.digests, **choices}
    return Job(work, f"{work} of codes", decides, None, packed, takes=codes.jobs)


def estimates_of(arrays: Arrays) -> dict[str, Estimate]:
    """The estimates of an `estimates_job`, by name."""
    return estimates_of_json(arrays["json"].tobytes().decode())


def plain_job(context: Context, metric: str, codes: CodesOfJobs, **choices: Json) -> Job:
    """A metric of codes by our own protocol, with those that share its work; `choices` are what else
    decides the codes.
    """
    protocol, group = named(PLAIN), NUMBERS[metric]
    compute = partial(estimates, group.metrics, protocol=protocol, seed=context.seed)
    work = group.metrics[0]  # `viv` and `viv_by_class` have the same choices, and are two works
    return estimates_job(context, work, codes, compute, **fields(metric, protocol), **choices)


def plain_numbers(place: Place, metric: str, estimate: Estimate, codes: CodesOfJobs) -> Numbers:
    """The number of a metric of codes, of which a `plain_job` has the estimate."""
    estimate = replace(estimate, why=estimate.why.removeprefix(f"{metric}: "))
    scored = "test" if NUMBERS[metric].is_scored else ""
    if estimate.value is not None:
        place = place.at(split=scored if codes.split is None else codes.split)
    place = place.also(**codes.fields, **fields(metric, named(PLAIN)))
    return place.numbers({metric: estimate})
