"""Edits against the truth: the same picture with one attribute changed, where it can be had; else what needs
no truth (`unpaired`).

An image x and its counterfactual x' are encoded and decoded with the x_T of x. The code of x is moved
towards that of x' along directions that are fitted to training images, as far as the truth on validation
images; what it is decoded to is compared with the decoded truth, not with x', so that reconstruction is
divided out (`benchmarks.metrics.edits` has the definitions). Adding and removing an attribute are two edits.

The code of the truth itself is the ceiling of all directions. A system with a method `edit` is measured
by it too.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any

import numpy as np

from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.sizes import Count, InvertingSolver, Number, Range, Steps
from benchmarks.metrics.edits import EditedPairs, EditSums, estimate_edit, estimate_mean_edit
from benchmarks.metrics.networks.faces import FaceEmbedding
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
from benchmarks.tasks.edits.decoded import (
    IDENTITY_BEFORE,
    PLANE,
    SIDES,
    Change,
    Chosen,
    Edited,
    Ground,
)
from benchmarks.tasks.edits.directions import FITS, MEANS, NO_EDIT, ORACLE, PAPER, Direction
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from benchmarks.tasks.shared.probe_fits import fits, selections
from diffae.data.pairs import pairs_of
from probes import LinearProbe
from reports.records.estimate import Estimate
from reports.records.metrics import OF_EDITS

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


def run(context: Context, system: System) -> Iterator[Record | Measurement]:
    sizes = context.sizes(Sizes)
    at = Solved.of(context, system, sizes.solver, sizes.steps)
    cell = Cell(context, TABLE, at, fields=_fields(context, system))
    names = _attributes(context)
    probes = directions.fit_all(context, system, sizes.directions)
    for name in (name for name in context.options.attributes if name not in names):
        yield from cell.missing(["off_target"], UNEDITABLE, setting=name)
    if context.dataset.truth is None or context.options.edit_protocols:
        yield from _without_truth(at, names, probes)
    if context.dataset.truth is None:
        return
    tests = _changes(cell, at, names, "test", sizes.pairs, sizes.times)
    valid = _changes(cell, at, names, "valid", sizes.calibration, 1)
    edited = list[Edited]()
    for side, change in tests.items():
        edited += _edits(change, valid.get(side), probes)
    if not edited:
        raise NotAvailable(f"{context.dataset.name}: no test images of which a change is known")
    ground, means = edited[0].change.ground, cell.also(attributes=names, pairs=sizes.pairs)

    def reduce(images: Arrays, *sums: Arrays) -> Iterator[Record]:
        yield from _composition(means, ground, images)
        yield from _measured(cell, means, ground, edited, sums)
        pictures.draw(cell, names, edited, sums)
        if no_face := _face(context)[1]:
            yield from means.missing(["arcface"], no_face, setting=NO_EDIT)
        if reason := why_immovable(system):
            for direction in sizes.directions:
                yield from cell.missing(["off_target"], reason, setting=direction)

    computations = [ground.computation, *(edit.computation for edit in edited)]
    yield Measurement(computations, reduce, list(fits(context, PAPER in sizes.directions, False)))


def _attributes(context: Context) -> list[str]:
    """The chosen attributes, or the first, that have counterfactuals, and training images of both classes."""
    data, labels = context.dataset, selections(context)[0].labels
    shares = zip(data.attribute_names, labels.mean(0), strict=True)
    editable = {name for name, share in shares if 0 < share < 1}
    if data.truth is not None:
        editable &= {*data.truth.attributes}
    chosen = context.options.attributes
    names = [
        name
        for name in chosen or dict.fromkeys((*FIRST, *data.attribute_names))
        if name in editable
    ]
    if not names:
        raise NotAvailable(f"{data.name}: none of the attributes can be edited: {UNEDITABLE}")
    return names if chosen else names[: context.sizes(Sizes).attributes]


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
    sides = (pairs_of(data, *side, count, seed, split) for side in product(names, SIDES))
    changed = [pairs for pairs in sides if len(pairs)]
    chosen = np.concatenate([np.zeros(0, int), *(pairs.before for pairs in changed)])
    order = data.ordered(split, seed)
    order = order[np.isin(order, chosen)]
    sees = classifier.sees(context, context.sizes(Sizes).classifier)
    face = _face(context)[0] if split == "test" else None
    cell = cell.also(**face.describe()) if face else cell
    ground = Ground(cell, at, Chosen(data, split, order, seed), times, sees, face)
    _ = ground.arrays  # now, not within the first computation that needs them
    drawn = names[: pictures.SHEETS]
    return {(p.attribute, p.on): Change(ground, p, p.attribute in drawn) for p in changed}


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
        edited, sums_of_sides = list[Edited](), list[Arrays]()
        for edit, arrays in zip(edits, sums, strict=True):
            for change, of_side in edit.sides(arrays):
                edited.append(Edited(change, edit.direction, edit.computation))
                sums_of_sides.append(of_side)
        yield from _measured(cell, means, ground, edited, sums_of_sides)
        each = cell.but(table=EACH)
        for network in context.networks.features:
            yield from unpaired.near_rows(each, means, network, "kid", edits)
        for name in (name for name, probe in probes.items() if probe):
            yield from unpaired.agreements(each, means, name, names)
        yield from unpaired.refusals(each, "lec", refused)
        yield from cell.missing(["off_target"], f"{context.dataset.name}: {NO_TRUTH}")

    computations = [ground.computation, *(edit.computation for edit in edits)]
    yield Measurement(computations, reduce, list(fits(context, True, False)))


def _edits(
    change: Change, held_out: Change | None, probes: Mapping[str, LinearProbe | None]
) -> Iterator[Edited]:
    """The edits of a change, each as far as the truth on the validation images, if there are any."""
    yield Edited(change, ORACLE, change.truth)
    cell, pairs, system = change.ground.cell, change.pairs, change.ground.at.system
    side = (pairs.column, pairs.attribute, pairs.on)
    strengths = cell.context.sizes(Sizes).strengths
    for name, probe in probes.items():
        tried, doses = dict[float, EditedPairs](), dict.fromkeys(strengths, 0.0)
        for strength in strengths if held_out else ():
            assert held_out
            edit, depends = directions.edit(system, probe, *side, strength)
            sums = cell.context.store.read(held_out.edited(edit, f"{name} {depends}", undo=False))
            tried[strength] = replace(held_out.edited_pairs(sums), silenced="")
            doses[strength] = estimate_edit(tried[strength])["dose"].value or 0.0
        strength, note = directions.strength_of_dose_1(doses)
        edit, depends = directions.edit(system, probe, *side, strength)
        computation = change.edited(edit, f"{name} {depends}")
        yield Edited(change, name, computation, note, strength, held_out, tried)


def _composition(means: Cell, ground: Ground, images: Arrays) -> Iterator[Record]:
    for m in (m for m in (1, 2, 10) if m <= ground.times):
        cell = means.also(times=m).but(setting=f"no edit, encoded {m} x")
        yield from cell.means(ground.images, {"composition": images[f"composition {m}"]})


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
# Records


def _measured(
    cell: Cell, means: Cell, ground: Ground, edited: Sequence[Edited], arrays: Sequence[Arrays]
) -> Iterator[Record]:
    """The numbers of each edit, and of each direction their means, which are of the cell `means`."""
    by_direction = defaultdict[str, list[EditedPairs]](list)
    by_strength = defaultdict[tuple[str, str], list[EditedPairs]](list)
    for edit, sums in zip(edited, arrays, strict=True):
        pairs = edit.change.edited_pairs(sums, edit.strength)
        estimates = estimate_edit(pairs)
        yield from _of_edit(cell, edit, edit.direction, estimates, _note(edit, sums))
        by_direction[edit.direction].append(pairs)
        if IDENTITY_BEFORE in sums:
            of_faces = EditSums(identity=sums[IDENTITY_BEFORE], pairs=sums["pairs"])
            unedited = replace(pairs, sums=of_faces)
            yield from _of_edit(cell, edit, NO_EDIT, estimate_edit(unedited))
            by_direction[NO_EDIT].append(unedited)
        for strength, tried in edit.tried.items():
            undefined = replace(tried, silenced=estimates["dose"].why)
            by_strength[edit.direction, f"strength {strength:g}"].append(undefined)
    for direction, of_edits in by_direction.items():
        at = means.but(setting=direction, split=ground.images.split)
        yield from _numbers(at, ground.face, direction, estimate_mean_edit(of_edits))
    for (direction, label), of_edits in by_strength.items():
        of_plane = estimate_mean_edit(of_edits)
        setting = f"{direction}, {label}"
        at = means.but(setting=setting, table=BY_STRENGTH, split="valid")
        shown = {metric: of_plane[metric] for metric in PLANE}
        yield from _numbers(at, ground.face, direction, shown)


def _note(edit: Edited, sums: Arrays) -> str:
    """A note on the numbers of an edit: on its strength, or on the classifier and the drawn truth."""
    if edit.direction != ORACLE:
        return edit.note
    return f"a classifier sees {sums['hits_drawn'].mean():.0%} of the drawn truths"


def _of_edit(
    cell: Cell, edit: Edited, direction: str, estimates: Mapping[str, Estimate], note: str = ""
) -> Iterator[Record]:
    """The records of the numbers of an edit."""
    pairs, ground = edit.change.pairs, edit.change.ground
    setting = f"{pairs.attribute} {SIDES[pairs.on]}, {direction}"
    at = cell.but(table=EACH, setting=setting, split=edit.change.images.split)
    yield from _numbers(at, ground.face, direction, estimates, note, edit.note)


def _numbers(
    cell: Cell,
    face: FaceEmbedding | None,
    direction: str,
    estimates: Mapping[str, Estimate],
    note: str = "",
    note_on_faces: str = "",
) -> Iterator[Record]:
    """The records of numbers of a direction; faces may be compared by a stand-in for ArcFace."""
    cell = cell.also(direction=FITS[direction])
    for metric, estimate in estimates.items():
        at, name, remark = cell.but(n=estimate.n), metric, note
        if metric == "arcface" and face:
            at = at.also(before="the real image", **face.describe())
            name, remark = face.metric_name, note_on_faces
        if estimate.value is None:
            yield at.record(name, estimate)
        else:
            reference = direction in (ORACLE, NO_EDIT)
            yield at.record(name, estimate, note=remark, reference=reference)


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
    random=False,
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
