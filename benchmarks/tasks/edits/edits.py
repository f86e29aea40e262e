"""Edits against the truth: the same picture with one attribute changed, where it can be had; else what needs
no truth (`unpaired`).

An image x and its counterfactual x' are encoded and decoded with the x_T of x. The code of x is moved
towards that of x' along directions that are fitted to training images, as far as the truth on validation
images; what it is decoded to is compared with the decoded truth, not with x', so that reconstruction is
divided out (`benchmarks.metrics.edits` has the definitions). Adding and removing an attribute are two edits.

The code of the truth itself is the ceiling of all directions. A system with a method `edit` is measured
by it too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, NamedTuple

import numpy as np

from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.sizes import Count, InvertingSolver, Number, Range, Steps
from benchmarks.metrics.edits import NUMBERS, Estimate, direction_r2, mean_of, measure, unheld
from benchmarks.plugin import Arrays, Benchmark, Computation, Context, NotAvailable, Row, TableSpec
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    SEMANTIC,
    System,
    reading_of,
    why_immovable,
)
from benchmarks.tasks.edits import by_protocol, classifier, directions, unpaired
from benchmarks.tasks.edits.decoded import SIDES, Change, Chosen, Ground
from benchmarks.tasks.edits.directions import FITS, MEANS, ORACLE, PAPER, Direction
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from benchmarks.tasks.shared.probe_fits import fits, selections
from diffae.data.pairs import Pairs, pairs_of
from probes import LinearProbe
from reports.records.metrics import OF_EDITS

TABLE, EACH = "edits", "edits_by_attribute"
UNEDITABLE = "no training images of both classes, or no known change"
NO_TRUTH = (
    "kept, gain, dose, off_target, effectiveness and leak_out need images with an attribute changed"
)
# The first to be edited: changes large and small, of one place and of all the image.
FIRST = "Eyeglasses Smiling Male Bangs Black_Hair Wearing_Hat Young Mustache".split()
Strength = Annotated[float, Range(1e-6, 1e6)]


@dataclass(frozen=True)
class Sizes:
    """
    attributes   how many are edited
    pairs        images that each is added to, and as many that it is removed from
    calibration  validation images, likewise, on which strengths are found
    images       test images that are edited where no truth is known, and by protocols
    directions   of the edits, beside the code of the truth
    strengths    s whose dose is measured on validation images
    times        how often images are encoded and decoded again, at least 2
    classifier   training images of the classifier that sees attributes in images
    steps        T of inversion and decoding
    solver       solver that takes these steps
    """

    attributes: Number = 8
    pairs: Count = 4
    calibration: Count = 2
    images: Count = 32
    directions: tuple[Direction, ...] = (PAPER, MEANS)
    strengths: tuple[Strength, ...] = (0.2, 0.6)
    times: Annotated[int, Range(2, 100)] = 2
    classifier: Count = 2_000
    steps: Steps = 3
    solver: InvertingSolver = "fast"


class Edited(NamedTuple):
    """An edit of a change by a direction, with a note on its strength, and its sums."""

    change: Change
    direction: str
    note: str
    computation: Computation


def run(context: Context, system: System) -> Iterator[Row | Measurement]:
    sizes = context.sizes(Sizes)
    at = Solved.of(context, system, sizes.solver, sizes.steps)
    cell = Cell(context, TABLE, at, fields=_fields(context, system))
    names = _attributes(context)
    probes = directions.fit_all(context, system, sizes.directions)
    for name in [name for name in context.options.attributes if name not in names]:
        yield cell.row("off_target", None, setting=name, note=UNEDITABLE)
    if context.dataset.truth is None or context.options.edit_protocols:
        yield from _without_truth(at, names, probes)
    if context.dataset.truth is None:
        return
    tests = _changes(cell, at, names, "test", sizes.pairs, sizes.times)
    valid = _changes(cell, at, names, "valid", sizes.calibration, 1)
    edited = [one for k, change in tests.items() for one in _edits(change, valid.get(k), probes)]
    if not edited:
        raise NotAvailable(f"{context.dataset.name}: no test images of which a change is known")
    ground, means = edited[0].change.ground, cell.also(attributes=names, pairs=sizes.pairs)

    def reduce(images: Arrays, *sums: Arrays) -> Iterator[Row]:
        yield from _composition(means, ground, images)
        yield from _rows(cell, means, edited, sums)
        if reason := why_immovable(system):
            rest = (cell.but(setting=name) for name in sizes.directions)
            yield from (of.row("off_target", None, note=reason) for of in rest)

    wanted = [ground.computation, *(one.computation for one in edited)]
    yield Measurement(wanted, reduce, list(fits(context, PAPER in sizes.directions, False)))


def _attributes(context: Context) -> list[str]:
    """The chosen attributes, or the first, that have counterfactuals, and training images of both classes."""
    data, labels = context.dataset, selections(context)[0].labels
    shares = zip(data.attribute_names, labels.mean(0), strict=True)
    known = {name for name, share in shares if 0 < share < 1}
    known &= known if data.truth is None else {*data.truth.attributes}
    asked, most = context.options.attributes, context.sizes(Sizes).attributes
    every = asked or dict.fromkeys((*FIRST, *data.attribute_names))
    found = [name for name in every if name in known]
    if not found:
        raise NotAvailable(f"{data.name}: none of the attributes can be edited: {UNEDITABLE}")
    return found if asked else found[:most]


def _changes(
    cell: Cell, at: Solved, names: Sequence[str], split: str, count: int, times: int
) -> dict[tuple[str, bool], Change]:
    """The pairs of a split of each attribute, added and removed, where there are any."""
    context = cell.context
    data, seed = context.dataset, context.seed
    found = [pairs_of(data, *key, count, seed, split) for key in product(names, SIDES)]
    every: list[Pairs] = [pairs for pairs in found if len(pairs)]
    chosen = np.concatenate([np.zeros(0, int), *(pairs.before for pairs in every)])
    order = data.ordered(split, seed)
    order = order[np.isin(order, chosen)]
    sees = classifier.sees(context, context.sizes(Sizes).classifier)
    ground = Ground(cell, at, Chosen(data, split, order, seed), times, sees)
    _ = ground.arrays  # now, not within the first computation that needs them
    return {(pairs.attribute, pairs.on): Change(ground, pairs) for pairs in every}


def _without_truth(
    at: Solved, names: Sequence[str], probes: Mapping[str, LinearProbe | None]
) -> Iterator[Measurement]:
    """What needs no truth, where none is known; and protocols."""
    context, sizes = at.context, at.context.sizes(Sizes)
    fields = _fields(context, at.system) | {"truth": None, "strength": unpaired.STRENGTH}
    images = Chosen(**vars(context.select("test", sizes.images)))
    cell = Cell(context, TABLE, at, n=len(images), fields=fields)
    ground = Ground(cell, at, images, sizes.times, classifier.sees(context, sizes.classifier))
    for network in context.networks.features:  # now, so that a dry run counts them
        context.codes.real_features(images, network)
    yield from by_protocol.measured(ground, names)
    if context.dataset.truth is not None:
        return
    edits, refused = unpaired.edits_of(ground, names, probes or {PAPER: None})
    means = cell.also(attributes=names)

    def reduce(decoded: Arrays, *sums: Arrays) -> Iterator[Row]:
        yield from _composition(means, ground, decoded)
        of_edits = zip(edits, sums, strict=True)
        sides = [(edit, *side) for edit, arrays in of_edits for side in edit.sides(arrays)]
        edited = [Edited(change, edit.direction, "", edit.computation) for edit, change, _ in sides]
        yield from _rows(cell, means, edited, [arrays for *_, arrays in sides])
        each = cell.but(table=EACH)
        for network in context.networks.features:
            yield from unpaired.near_rows(each, means, network, "kid", edits)
        for name in (name for name, probe in probes.items() if probe):
            yield from unpaired.agreements(each, means, name, names)
        yield from unpaired.refusals(each, "lec", refused)
        yield cell.row("off_target", None, n=None, note=f"{context.dataset.name}: {NO_TRUTH}")

    wanted = [ground.computation, *(edit.computation for edit in edits)]
    yield Measurement(wanted, reduce, list(fits(context, True, False)))


def _edits(
    change: Change, held_out: Change | None, probes: Mapping[str, LinearProbe | None]
) -> Iterator[Edited]:
    """The edits of a change, each as far as the truth on the validation images, if there are any."""
    yield Edited(change, ORACLE, "", change.truth)
    cell, pairs = change.ground.cell, change.pairs
    which = (pairs.dataset.attribute_names.index(pairs.attribute), pairs.attribute, pairs.on)
    for name, probe in probes.items():
        doses = dict.fromkeys(cell.context.sizes(Sizes).strengths, 0.0)
        for strength in doses if held_out else ():
            assert held_out
            edit, depends = directions.edit(change.ground.at.system, probe, *which, strength)
            sums = cell.context.store.read(held_out.edited(edit, f"{name} {depends}", undo=False))
            doses[strength] = float(np.nan_to_num(measure("dose", sums).value))
        strength, note = directions.strength_of_dose_1(doses)
        edit, depends = directions.edit(change.ground.at.system, probe, *which, strength)
        note = "; ".join(filter(None, (f"strength {strength:.3g}", note)))
        yield Edited(change, name, note, change.edited(edit, f"{name} {depends}"))


def _composition(means: Cell, ground: Ground, images: Arrays) -> Iterator[Row]:
    for m in (m for m in (1, 2, 10) if m <= ground.times):
        of = means.also(times=m).but(setting=f"no edit, encoded {m} x")
        yield from of.means(ground.images, {"composition": images[f"composition {m}"]})


def _fields(context: Context, system: System) -> dict[str, Any]:
    sizes = context.sizes(Sizes)
    strengths = "linear between 0 and " + ", ".join(map(str, sorted(sizes.strengths)))
    return {
        "truth": "x' encoded and decoded with the x_T of x",
        "strength": f"of dose 1 on {sizes.calibration} validation images of a side: {strengths}",
        "classifier": f"{classifier.NAME}, {sizes.classifier} training images",
        "probe_train": context.sizes(ProbeSizes).train,
        **reading_of(system),
    }


# ----------------------------------------------------------------------------------------------
# Rows


def _rows(
    cell: Cell, means: Cell, edited: Sequence[Edited], every: Sequence[Arrays]
) -> Iterator[Row]:
    """The numbers of each edit, and of each direction their means, which are of the cell `means`."""
    known: dict[tuple[str, str], list[tuple[Estimate, np.ndarray]]] = {}
    for (change, direction, note, _), sums in zip(edited, every, strict=True):
        pairs, images = change.pairs, change.images
        setting = f"{pairs.attribute} {SIDES[pairs.on]}, {direction}"
        of = cell.also(direction=FITS[direction]).but(table=EACH, setting=setting, n=len(pairs))
        if direction == ORACLE:
            note = f"a classifier sees {sums['hits_drawn'].mean():.0%} of the drawn truths"
        for metric, found in _numbers(change, direction, sums).items():
            defined = known.setdefault((direction, metric), [])
            if np.isnan(found.value):
                yield of.row(metric, None, note=found.why)
                continue
            defined.append((found, pairs.before))
            yield of.row(metric, found.value, images.uncertainty(found.influence), note=note)
    for (direction, metric), defined in known.items():
        total = sum(one.direction == direction for one in edited)
        of = means.also(direction=FITS[direction]).but(setting=direction)
        yield _mean(of, metric, defined, total)


def _numbers(change: Change, direction: str, sums: Arrays) -> dict[str, Estimate]:
    """The numbers of an edit, and of the code of the truth those that are of no direction."""
    reason = ""
    if "held" in sums:
        kept = measure("kept", sums)
        reason = unheld(kept, change.images.uncertainty(kept.influence))
    unknown = Estimate(np.nan, np.zeros(0), reason)
    found = {
        name: unknown if reason and number.held_only else measure(name, sums)
        for name, number in NUMBERS.items()
        if name != "kept" and sums.keys() >= {*number.sums}
    }
    if direction == ORACLE:
        found |= {"kept": measure("kept", sums), "direction_r2": direction_r2(sums["steps"])}
    return found


def _mean(
    cell: Cell, metric: str, defined: Sequence[tuple[Estimate, np.ndarray]], total: int
) -> Row:
    """The mean of a number over the edits for which it is defined."""
    if not defined:
        return cell.row(metric, None, note="defined for no edit")
    note = "" if len(defined) == total else f"of {len(defined)} of {total} edits"
    order = np.concatenate([before for _, before in defined])
    images = Chosen(cell.context.dataset, "test", order, cell.context.seed)
    found = mean_of([estimate for estimate, _ in defined])
    return cell.row(
        metric, found.value, images.uncertainty(found.influence), n=len(order), note=note
    )


def _spec(name: str, title: str, caption: str, order: int, **more: Any) -> TableSpec:
    rows: dict[str, Any] = {
        "rows": ("system", "setting"),
        "columns": ("metric",),
        "metrics": tuple(OF_EDITS),
    }
    return TableSpec(name, title, caption, order=order, **rows, **more)


BENCHMARK = Benchmark(
    name="edits",
    headline=lambda context: "off_target",
    needs=frozenset({ENCODE, DECODE, SEMANTIC}),
    labelled=True,
    run=run,
    sizes=Sizes,
    shared=("probes",),
    tables=(
        _spec(
            TABLE,
            "Edits against the truth",
            "Means over attributes, each added and removed. Off target: the share of the move that is not the truth. Gain: 1 "
            "the decoded truth, 0 nothing done, below 0 harm. Dose: how far an edit goes; its strength has a dose of 1 on "
            "validation images. All are of attributes of which the code keeps something. The code of the truth is the ceiling.",
            71,
            setting_header="direction",
            headline=("off_target",),
            headline_settings=(MEANS, PAPER),
        ),
        _spec(EACH, "Edits by attribute", "As above, of each attribute.", 72, plots=()),
        _spec(by_protocol.TABLE, "Edits by protocol", by_protocol.CAPTION, 73, plots=()),
    ),
)
