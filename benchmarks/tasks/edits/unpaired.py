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

from benchmarks.metrics.edits import Floats, direction_consistency
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.pixel import mse
from benchmarks.metrics.sets.jackknife import BLOCKS, Side
from benchmarks.metrics.sets.means import mean_over_edits
from benchmarks.plugin import Arrays, Cell, Computation, Estimate, NotAvailable, Record
from benchmarks.runtime.digest import digest
from benchmarks.systems.protocol.base import why_immovable
from benchmarks.tasks.edits.decoded import DECODED_2, SIDES, Change, Ground, stored_code
from benchmarks.tasks.edits.directions import FITS, agreement
from benchmarks.tasks.shared.distances import set_estimates
from benchmarks.tasks.shared.probe_fits import fit_adam, selections
from diffae.data.pairs import Pairs
from probes import LinearProbe
from reports.records.metrics import seen_through

MEDIAN = 0.5
STRENGTH = (
    "to the median logit of the real images of the other class, by the paper's classifier of codes"
)
UNEDITED, OTHER_HALF = "not edited", "real images, the other half"
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
    quantile. Raises NotAvailable if the direction does not raise w.z.
    """
    v, w = along.weight[column].double(), paper.weight[column].double()
    slope = math.sqrt(len(w)) * float(v @ w / v.norm())
    if not slope > 0:
        raise NotAvailable("the direction does not raise the logit of the paper's classifier")
    logits = paper.logits(features)[:, column].double().numpy()
    aims = np.quantile(logits[~present], 1 - quantile), np.quantile(logits[present], quantile)
    down, up = ((aim - logits) / slope for aim in aims)
    return np.where(present, np.minimum(down, 0), np.maximum(up, 0))


@dataclass(frozen=True)
class Unpaired:
    """Edits of all images of a ground along a direction for an attribute, by `strengths` [N]; `present` [N] says
    which images have it.
    """

    ground: Ground
    attribute: str
    present: NDArray[np.bool_]
    direction: str
    along: LinearProbe
    strengths: Floats

    @cached_property
    def computation(self) -> Computation:
        """The sums of `benchmarks.metrics.edits` that need no truth, and features of what is decoded."""
        ground, at, system = self.ground, self.ground.at, self.ground.at.system
        column = ground.images.dataset.attribute_names.index(self.attribute)
        moves = self.along.move(column, torch.from_numpy(self.strengths).float())

        def compute(positions: np.ndarray) -> Arrays:
            stored = ground.of_chunk(positions)
            code = stored_code(stored)
            assert code.semantic is not None
            by = moves[positions]
            aim = system.move(code.semantic, by)
            made = system.decode(replace(code, semantic=aim), at.T).cpu()
            again, y = system.encode_semantic(made), at.context.resized(made)
            back = at.decode(replace(code, semantic=system.move(again, -by)))
            codes = code.semantic, aim, again
            z, target, encoded = (system.read(each).cpu().double().numpy() for each in codes)
            return {
                "missed": np.linalg.norm(encoded - target, axis=1),
                "step": np.linalg.norm(target - z, axis=1),
                "returned": mse(back, torch.from_numpy(stored[DECODED_2])).double().numpy(),
                "hits": 1.0 * ((ground.sees(y)[:, column] > 0) != self.present[positions]),
                "inverts": np.ones(len(y)),
                "pairs": np.ones(len(y)),
                **at.context.codes.embed(y),
            }

        computation = ground.cell.computation(
            "unpaired edits",
            "decoded edits, and undone",
            ground.images,
            compute,
            attribute=self.attribute,
            edit=f"{self.direction} {digest(moves.numpy())}",
            features=at.context.codes.described(),
        )
        networks = at.context.networks.features
        return replace(computation, without=tuple(network.array for network in networks))

    def sides(self, arrays: Arrays) -> Iterator[tuple[Change, Arrays]]:
        """The images that the attribute is added to and those that it is removed from, with their sums."""
        images = self.ground.images
        data = images.dataset
        for on in SIDES:
            edited = np.flatnonzero(self.present != on)
            pairs = Pairs(
                self.attribute,
                on,
                before=images.order[edited],
                people=images.groups[edited],
                others_changed=np.zeros((len(edited), 0), bool),
                dataset=data,
                picture=data.source.read,
            )
            change = Change(self.ground, pairs)
            yield change, {name: array[edited] for name, array in arrays.items()}

    def near(self, network: FeatureNetwork, halved: bool) -> Iterator[tuple[str, bool, Side, Side]]:
        """What is near real images of a class, the class, and both sides of the distance: edited images of the
        other class, by the direction, and the same unedited; if `halved` a half of the class near the other, by
        persons, and all of as many images.
        """
        images, context = self.ground.images, self.ground.at.context
        real, name = context.codes.real_features(images, network), network.array
        edited = context.store.read(replace(self.computation, names=(name,), without=()))[name]
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
    ground: Ground,
    names: Sequence[str],
    probes: Mapping[str, LinearProbe | None],
    quantile: float = MEDIAN,
) -> tuple[list[Unpaired], dict[str, str]]:
    """The edits of attributes along directions; and by attribute and direction why there are none."""
    context, system, images = ground.at.context, ground.at.system, ground.images
    paper, features = fit_adam(context, system), context.codes.features(system, images)
    edits, refused, immovable = list[Unpaired](), dict[str, str](), why_immovable(system)
    for attribute, (name, along) in product(names, probes.items()):
        column = images.dataset.attribute_names.index(attribute)
        present = images.labels[:, column]
        try:
            people = [len({*images.groups[present == on]}) for on in SIDES]
            if min(people) < 2:
                few = "{} people with it, {} without: needs 2 of each"
                raise NotAvailable(few.format(*people))
            if along is None or immovable:
                raise NotAvailable(immovable or NO_DIRECTION)
            by = strengths(paper, along, column, features, present, quantile)
            edits.append(Unpaired(ground, attribute, present, name, along, by))
        except NotAvailable as reason:
            refused[f"{attribute}, {name}"] = str(reason)
    return edits, refused


# ----------------------------------------------------------------------------------------------
# Records


def refusals(cell: Cell, metric: str, refused: Mapping[str, str]) -> Iterator[Record]:
    """The records of edits that cannot be made, which say why."""
    for setting, reason in refused.items():
        yield from cell.missing([metric], reason, setting=cell.setting + setting)


def near_rows(
    each: Cell,
    means: Cell,
    network: FeatureNetwork,
    metric: str,
    edits: Sequence[Unpaired],
    halved: bool = True,
) -> Iterator[Record]:
    """The records of a distance to real images, and of its means over attributes and sides."""
    name = seen_through(metric, network.network)
    each, means = (cell.also(**network.describe()) for cell in (each, means))
    measured: dict[str, dict[str, tuple[Cell, Estimate]]] = {}
    for edit in edits:
        for label, on, samples, reference in edit.near(network, halved):
            setting = f"{each.setting}{edit.attribute} {SIDES[on]}, {label}"
            if setting in measured.setdefault(label, {}):  # measured for another direction
                continue
            cell = each.also(direction=FITS.get(label, label))
            cell = cell.but(setting=setting, n=len(samples))
            estimates = set_estimates(each.context, network, (metric,), samples, reference)
            measured[label][setting] = cell, estimates[name]
    for label, of_label in measured.items():
        is_reference = label not in FITS
        for cell, estimate in of_label.values():
            if estimate.value is not None and not estimate.influences:
                estimate = replace(estimate, why=NO_ERROR)
            yield cell.record(name, estimate, reference=is_reference)
        mean = mean_over_edits([estimate for _, estimate in of_label.values()])
        setting = means.setting + label
        yield means.record(name, mean, setting=setting, reference=is_reference)


def agreements(each: Cell, means: Cell, name: str, attributes: Sequence[str]) -> Iterator[Record]:
    """The records of how alike a direction is that is fitted to either half of the training images."""
    context, system = each.context, each.system
    assert system is not None
    columns = [context.dataset.attribute_names.index(attribute) for attribute in attributes]
    cosines, n = agreement(context, system, name)[columns], len(selections(context)[0])
    cells = [each.but(setting=f"{attribute}, {name}") for attribute in attributes]
    values = [*np.split(cosines, len(cosines)), cosines]
    for cell, of_cell in zip([*cells, means.but(setting=name)], values, strict=True):
        estimates = direction_consistency(of_cell, n)
        yield from cell.also(direction=FITS[name]).but(n=n).records(estimates)
