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
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any, NamedTuple

import numpy as np

from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.sizes import Count, InvertingSolver, Number, Range, Steps
from benchmarks.metrics.edits import (
    NUMBERS,
    Estimate,
    direction_r2,
    leakage,
    mean_of,
    mean_over,
    measure,
)
from benchmarks.metrics.networks.faces import FaceEmbedding, without_face
from benchmarks.plugin import Arrays, Benchmark, Context, NotAvailable, Record, TableSpec
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    SEMANTIC,
    System,
    reading_of,
    why_immovable,
)
from benchmarks.tasks.edits import by_protocol, classifier, directions, pictures, unpaired
from benchmarks.tasks.edits.decoded import IDENTITY, PLANE, SIDES, Change, Chosen, Edited, Ground
from benchmarks.tasks.edits.directions import FITS, MEANS, NO_EDIT, ORACLE, PAPER, Direction
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from benchmarks.tasks.shared.probe_fits import fits, selections
from diffae.data.pairs import Pairs, pairs_of
from probes import LinearProbe
from reports.records.metrics import OF_EDITS
from reports.records.reading import grouped, joined

TABLE, EACH, BY_STRENGTH = "edits", "edits_by_attribute", "edits_by_strength"
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


class Found(NamedTuple):
    """A number of an edit, of the images `order`; with a `strength`, at that one."""

    change: Change
    direction: str
    metric: str
    estimate: Estimate
    order: np.ndarray
    note: str = ""
    strength: str = ""


def run(context: Context, system: System) -> Iterator[Record | Measurement]:
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

    def reduce(images: Arrays, *sums: Arrays) -> Iterator[Record]:
        yield from _composition(means, ground, images)
        yield from _measured(cell, means, edited, sums)
        pictures.draw(cell, names, edited, sums)
        if no_face := _face(context)[1]:
            yield means.but(setting=NO_EDIT).row("arcface", None, note=no_face)
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


def _face(context: Context) -> tuple[FaceEmbedding | None, str]:
    """The network by which faces are compared; None, and why there is none."""
    try:
        return context.networks.face, ""
    except NotAvailable as reason:
        return None, str(reason)


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
    face = _face(context)[0] if split == "test" else None
    cell = cell.also(**face.describe()) if face else cell
    ground = Ground(cell, at, Chosen(data, split, order, seed), times, sees, face)
    _ = ground.arrays  # now, not within the first computation that needs them
    drawn = names[: pictures.SHEETS]
    return {(p.attribute, p.on): Change(ground, p, p.attribute in drawn) for p in every}


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

    def reduce(decoded: Arrays, *sums: Arrays) -> Iterator[Record]:
        yield from _composition(means, ground, decoded)
        of_edits = zip(edits, sums, strict=True)
        sides = [(edit, *side) for edit, arrays in of_edits for side in edit.sides(arrays)]
        edited = [Edited(change, edit.direction, "", edit.computation) for edit, change, _ in sides]
        yield from _measured(cell, means, edited, [arrays for *_, arrays in sides])
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
    which = (pairs.column, pairs.attribute, pairs.on)
    for name, probe in probes.items():
        strengths = cell.context.sizes(Sizes).strengths
        tried: dict[float, dict[str, Estimate]] = {}
        for strength in strengths if held_out else ():
            assert held_out
            edit, depends = directions.edit(change.ground.at.system, probe, *which, strength)
            sums = cell.context.store.read(held_out.edited(edit, f"{name} {depends}", undo=False))
            tried[strength] = {metric: measure(metric, sums) for metric in PLANE}
        doses = {s: float(np.nan_to_num(one["dose"].value)) for s, one in tried.items()}
        strength, note = directions.strength_of_dose_1(doses or dict.fromkeys(strengths, 0.0))
        edit, depends = directions.edit(change.ground.at.system, probe, *which, strength)
        computation = change.edited(edit, f"{name} {depends}")
        yield Edited(change, name, note, computation, strength, held_out, tried)


def _composition(means: Cell, ground: Ground, images: Arrays) -> Iterator[Record]:
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


def _measured(
    cell: Cell, means: Cell, edited: Sequence[Edited], every: Sequence[Arrays]
) -> Iterator[Record]:
    """The numbers of each edit, and of each direction their means, which are of the cell `means`."""
    found = [one for edit in zip(edited, every, strict=True) for one in _found(*edit)]
    yield from (_row(cell, one) for one in found if not one.strength)
    yield from _means(means, found)


def _found(one: Edited, sums: Arrays) -> Iterator[Found]:
    """The numbers of an edit, of the faces of its images, and at other strengths on validation images."""
    (change, direction, note), order = one[:3], one.change.pairs.before
    numbers = _numbers(change, direction, sums)
    if one.strength is not None:
        numbers["strength"] = Estimate(one.strength, np.full(len(order), np.nan))
    if direction == ORACLE:
        note = f"a classifier sees {sums['hits_drawn'].mean():.0%} of the drawn truths"
    for metric, estimate in numbers.items():
        yield Found(change, direction, metric, estimate, order, note)
    if face := change.ground.face:
        compared = {direction: sums[IDENTITY]}
        compared |= {NO_EDIT: sums[f"{IDENTITY}_before"]} if direction == ORACLE else {}
        for name, values in compared.items():
            found = ~np.isnan(values)
            mean = mean_over(values[found], "")
            yield Found(change, name, face.metric_name, mean, order[found], one.note)
    for (strength, tried), metric in product(one.tried.items(), PLANE):
        assert one.held_out
        held = tried[metric] if not np.isnan(numbers["dose"].value) else numbers["dose"]
        at = f", strength {strength:g}"
        yield Found(one.held_out, direction, metric, held, one.held_out.pairs.before, "", at)


def _numbers(change: Change, direction: str, sums: Arrays) -> dict[str, Estimate]:
    """The numbers of an edit, and of the code of the truth those that are of no direction."""
    reason = change.unheld(sums) if "held" in sums else ""
    unknown = Estimate(np.nan, np.zeros(0), reason)
    found = {
        name: unknown if reason and number.held_only else measure(name, sums)
        for name, number in NUMBERS.items()
        if name != "kept" and sums.keys() >= {*number.sums}
    }
    leaks = leakage(sums, change.alone)[1] if "logits" in sums else {}
    found |= dict.fromkeys(leaks, unknown) if reason else leaks
    if direction == ORACLE:
        found |= {"kept": measure("kept", sums), "direction_r2": direction_r2(sums["steps"])}
    return found


def _row(cell: Cell, one: Found) -> Record:
    """The row of a number of an edit."""
    pairs = one.change.pairs
    setting = f"{pairs.attribute} {SIDES[pairs.on]}, {one.direction}"
    return _number(cell.but(table=EACH, setting=setting), [one], one.estimate, one.note)


def _means(cell: Cell, every: Sequence[Found]) -> Iterator[Record]:
    """The mean of each number over the edits for which it is defined."""
    for alike in grouped(every, lambda one: (one.direction, one.strength, one.metric)).values():
        defined = [one for one in alike if not np.isnan(one.estimate.value)]
        note = f"of {len(defined)} of {len(alike)} edits" * (len(defined) < len(alike))
        mean = Estimate(np.nan, np.zeros(0), "defined for no edit")
        mean = mean_of([one.estimate for one in defined]) if defined else mean
        of = cell.but(setting=alike[0].direction + alike[0].strength)
        of = of.but(table=BY_STRENGTH) if alike[0].strength else of
        yield _number(of, defined or alike, mean, note)


def _number(cell: Cell, of: Sequence[Found], estimate: Estimate, note: str) -> Record:
    """The row of a number of these edits."""
    (change, direction, metric), face = of[0][:3], of[0].change.ground.face
    order = np.concatenate([one.order for one in of])
    cell = cell.also(direction=FITS[direction]).but(split=change.images.split, n=len(order) or None)
    if face and metric == face.metric_name:
        cell = cell.also(before="the real image", **face.describe())
        pairs = sum(len(one.change.pairs) for one in of)
        note = joined(note, without_face(pairs - len(order), pairs, "pairs"), by="; ")
    if np.isnan(estimate.value):
        return cell.row(metric, None, note=estimate.why or note)
    known = np.isfinite(estimate.influence).all()
    error = (
        replace(change.images, order=order).units.influences(estimate.influence) if known else ()
    )
    scale = direction in (ORACLE, NO_EDIT)
    return cell.row(metric, estimate.value, error, note=note, reference=scale)


def _spec(name: str, title: str, caption: str, order: int, **more: Any) -> TableSpec:
    rows: dict[str, Any] = {
        "rows": ("system", "setting"),
        "columns": ("metric",),
        "alike": ("setting",),
        "metrics": (*OF_EDITS, "arcface"),
        "plots": (PLANE[::-1],),
    }
    return TableSpec(name, title, caption, order=order, **{**rows, **more})


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
        _spec(BY_STRENGTH, "Edits by strength", "Of the images by which strengths are found.", 72),
        _spec(EACH, "Edits by attribute", "As above, of each attribute.", 73, plots=()),
        _spec(by_protocol.TABLE, "Edits by protocol", by_protocol.CAPTION, 74, plots=()),
    ),
)
