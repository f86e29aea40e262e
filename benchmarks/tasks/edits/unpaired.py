"""Edits of images whose edited version is unknown, each to the other class of an attribute.

An edit goes as far as the paper's classifier of codes is confident of the median real image of that class
(Preechakul et al. 2022, Appendix G, as an author tells it in konpatp/diffae#65). What it is decoded to is
compared with real images of the class, beside the images before the edit, and half of the class beside
the other half, all of as many images.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.core.images import features_of
from benchmarks.core.job import Arrays, Calls, Job
from benchmarks.core.measurement import Numbers, Place
from benchmarks.metrics.edits import Floats, direction_consistency
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.pixel import mse
from benchmarks.metrics.sets.jackknife import BLOCKS, Side
from benchmarks.metrics.sets.means import mean_over_edits
from benchmarks.plugin import Estimate, code_of
from benchmarks.runtime.digest import digest
from benchmarks.systems.protocol.base import why_immovable
from benchmarks.tasks.edits.classifier import sees
from benchmarks.tasks.edits.decoded import DECODED_2, SIDES, Change, Ground, decoded, steps_of
from benchmarks.tasks.edits.directions import FITS, Fits, agreement
from benchmarks.tasks.edits.strengths import Edited
from benchmarks.tasks.shared.distances import set_estimates
from benchmarks.tasks.shared.probe_fits import fit_adam, probe_of, selections
from diffae.data.pairs import Pairs
from probes import LinearProbe
from reports.records.metrics import seen_through

MEDIAN = 0.5
STRENGTH = (
    "to the median logit of the real images of the other class, by the paper's classifier of codes"
)
UNEDITED, OTHER_HALF = "not edited", "real images, the other half"
NOT_RAISED = "the direction does not raise the logit of the paper's classifier"
NO_DIRECTION = "how far a system's own edits go is found by the truth"
NO_ERROR = "no error: too few persons"


def strengths(
    paper: LinearProbe,
    along: LinearProbe,
    column: int,
    features: Tensor,
    present: np.ndarray,
    quantile: float = MEDIAN,
) -> Floats:
    """s of edits z + s sqrt(d) v / |v| of features [N, d], v the direction `along` for an attribute, by which
    the paper's classifier w.z + b gets as confident of the other class as of a quantile of its images: [N].

    `present` bool [N] says which images have the attribute, some but not all. It is 0 for images past the
    quantile. Without any, [0], if the direction does not raise w.z.
    """
    v, w = along.weight[column].double(), paper.weight[column].double()
    slope = math.sqrt(len(w)) * float(v @ w / v.norm())
    if not slope > 0:
        return np.zeros(0)
    logits = paper.logits(features)[:, column].double().numpy()
    aims = np.quantile(logits[~present], 1 - quantile), np.quantile(logits[present], quantile)
    down, up = ((aim - logits) / slope for aim in aims)
    return np.where(present, np.minimum(down, 0), np.maximum(up, 0))


@dataclass(frozen=True)
class Unpaired:
    """Edits of all images of a ground along a direction for an attribute, which is `fit`; `present` [N] says
    which images have it.
    """

    ground: Ground
    attribute: str
    present: NDArray[np.bool_]
    direction: str
    fit: Job
    quantile: float = MEDIAN

    @property
    def column(self) -> int:
        """The index of the attribute among those of the data set."""
        return self.ground.images.dataset.attribute_names.index(self.attribute)

    @cached_property
    def job(self) -> Job:
        """The sums of `benchmarks.metrics.edits` that need no truth, and features of what is decoded; nothing
        where the direction does not raise the logit.
        """
        ground, variant, codes = self.ground, self.ground.variant, self.ground.place.context.codes
        takes = [ground.classifier, codes.features(variant.system, ground.images)]
        takes += [fit_adam(variant.context, variant.system), self.fit]
        place = ground.place.also(attribute=self.attribute, present=digest(self.present))
        place = place.also(quantile=self.quantile, features=codes.described())
        calls = variant.decoding.times(2) + Calls(encoder=1, features=1)
        work, title = "unpaired edits", "decoded edits, and undone"
        job = place.job(work, title, ground.images, self._compute, calls=calls)
        job = replace(job, rows_of=[ground.codes, ground.job], takes=takes, at_most=True)
        return replace(job, without=tuple(network.array for network in codes.networks.features))

    def _compute(
        self, positions: np.ndarray, codes: Arrays, unedited: Arrays, *taken: Arrays
    ) -> Arrays:
        classifier, features, *fits = taken
        (paper, along), z = map(probe_of, fits), features_of(features)
        by = strengths(paper, along, self.column, z, self.present, self.quantile)
        if not len(by):
            return {}
        variant, system = self.ground.variant, self.ground.variant.system
        move = along.move(self.column, torch.from_numpy(by[positions]).float())
        code = code_of(codes)
        assert code.semantic is not None
        aim = system.move(code.semantic, move)
        edited = decoded(variant, replace(code, semantic=aim))
        back = variant.decode(replace(code, semantic=system.move(edited.encoded, -move)))
        y = edited.images
        seen = sees(classifier, y)[:, self.column] > 0
        return {
            **steps_of(system, code, edited),
            "returned": mse(back, torch.from_numpy(unedited[DECODED_2])).double().numpy(),
            "hits": 1.0 * (seen != self.present[positions]),
            "inverts": np.ones(len(y)),
            "pairs": np.ones(len(y)),
            **variant.context.codes.embed(y),
        }

    def sides(self, sums: Arrays) -> Iterator[Edited]:
        """The edits that add the attribute and those that remove it, with their sums."""
        images = self.ground.images
        data = images.dataset
        for on in SIDES:
            edited = np.flatnonzero(self.present != on)
            order, others = images.order[edited], np.zeros((len(edited), 0), bool)
            pairs = Pairs(self.attribute, on, order, others, data, data.source.read)
            of_side = {name: array[edited] for name, array in sums.items()}
            yield Edited(Change(self.ground, pairs), self.direction, of_side)

    def near(
        self, network: FeatureNetwork, real: np.ndarray, halved: bool
    ) -> Iterator[tuple[str, bool, Side, Side]]:
        """What is near real images of a class, the class, and both sides of the distance: edited images of the
        other class, by the direction, and the same unedited; if `halved` a half of the class near the other, by
        persons, and all of as many images. The features of all images are `real`.
        """
        images, context, name = self.ground.images, self.ground.place.context, network.array
        # of one edit at a time: those of all may need more memory than there is
        edited = context.store.read(replace(self.job, names=(name,), without=()))[name]
        blocks, units, n = images.units.blocks(BLOCKS), images.units.named("blocks"), None
        for on in SIDES:
            ours, members = np.flatnonzero(self.present != on), np.flatnonzero(self.present == on)
            compared = {self.direction: (edited, ours), UNEDITED: (real, ours)}
            if halved:
                half = np.unique(images.groups[members], return_inverse=True)[1] % 2
                rest, members = members[half == 1], members[half == 0]
                compared[OTHER_HALF] = real, rest
                n = min(map(len, (ours, members, rest)))
            for label, group in compared.items():
                a, b = (
                    Side(features, rows[:n], blocks[rows[:n]], units, context.device)
                    for features, rows in (group, (real, members))
                )
                yield label, on, a, b


def edits_of(
    ground: Ground, names: Sequence[str], fits: Fits, quantile: float = MEDIAN
) -> tuple[list[Unpaired], dict[str, str]]:
    """The edits of attributes along directions; and by attribute and direction why there are none."""
    images, edits, refused = ground.images, list[Unpaired](), dict[str, str]()
    immovable = why_immovable(ground.variant.system)
    for attribute, (name, fit) in product(names, fits.items()):
        column = images.dataset.attribute_names.index(attribute)
        present = images.labels[:, column]
        people = [len({*images.groups[present == on]}) for on in SIDES]
        if min(people) < 2:
            few = "{} people with it, {} without: needs 2 of each"
            refused[f"{attribute}, {name}"] = few.format(*people)
        elif fit is None or immovable:
            refused[f"{attribute}, {name}"] = immovable or NO_DIRECTION
        else:
            edits.append(Unpaired(ground, attribute, present, name, fit, quantile))
    return edits, refused


def made(
    edits: Sequence[Unpaired], sums: Sequence[Arrays]
) -> tuple[list[tuple[Unpaired, Arrays]], dict[str, str]]:
    """The edits that have strengths, with their sums; and by attribute and direction why others have none."""
    with_sums = list(zip(edits, sums, strict=True))
    cannot = (edit for edit, arrays in with_sums if not arrays)
    reasons = {f"{edit.attribute}, {edit.direction}": NOT_RAISED for edit in cannot}
    return [(edit, arrays) for edit, arrays in with_sums if arrays], reasons


# ----------------------------------------------------------------------------------------------
# Numbers


def refusals(place: Place, metric: str, refused: Mapping[str, str]) -> Numbers:
    """The numbers of edits that cannot be made, which say why."""
    for setting, reason in refused.items():
        yield from place.at(setting=place.setting + setting).missing([metric], reason)


def near_numbers(
    each: Place,
    means: Place,
    network: FeatureNetwork,
    metric: str,
    edits: Sequence[Unpaired],
    real: np.ndarray,
    halved: bool = True,
) -> Numbers:
    """The numbers of a distance to real images, of features `real`, and of its means over attributes and sides."""
    name = seen_through(metric, network.network)
    each, means = (place.also(**network.describe()) for place in (each, means))
    measured: dict[str, dict[str, tuple[Place, Estimate]]] = {}
    for edit in edits:
        for label, on, samples, reference in edit.near(network, real, halved):
            setting = f"{each.setting}{edit.attribute} {SIDES[on]}, {label}"
            if setting in measured.setdefault(label, {}):  # measured for another direction
                continue
            place = each.also(direction=FITS.get(label, label))
            place = place.at(setting=setting, n=len(samples), reference=label not in FITS)
            estimates = set_estimates(each.context, network, (metric,), samples, reference)
            measured[label][setting] = place, estimates[name]
    for label, of_label in measured.items():
        for place, estimate in of_label.values():
            if estimate.value is not None and not estimate.influences:
                estimate = replace(estimate, why=NO_ERROR)
            yield from place.numbers({name: estimate})
        mean = mean_over_edits([estimate for _, estimate in of_label.values()])
        place = means.at(setting=means.setting + label, reference=label not in FITS)
        yield from place.numbers({name: mean})


def agreements(
    each: Place, means: Place, name: str, attributes: Sequence[str], fits: Sequence[Arrays]
) -> Numbers:
    """How alike a direction is that is fitted to either half of the training images, by both `fits`."""
    context = each.context
    columns = [context.dataset.attribute_names.index(attribute) for attribute in attributes]
    cosines, n = agreement(context, *map(probe_of, fits))[columns], len(selections(context)[0])
    places = [each.at(setting=f"{attribute}, {name}") for attribute in attributes]
    values = [*np.split(cosines, len(cosines)), cosines]
    for place, of_place in zip([*places, means.at(setting=name)], values, strict=True):
        estimates = direction_consistency(of_place, n)
        yield from place.also(direction=FITS[name]).at(n=n).numbers(estimates)
