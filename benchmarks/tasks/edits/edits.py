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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, product
from typing import Annotated

import numpy as np

from benchmarks.core.images import Chosen
from benchmarks.core.measurement import Measurement, Numbers, Place, Variant
from benchmarks.core.sizes import Count, InvertingSolver, Number, Range, Steps
from benchmarks.metrics.edits import FACES, EditedPairs, estimate_edit, estimate_mean_edit
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.plugin import Arrays, Benchmark, Context, Job, NotAvailable, System, TableSpec
from benchmarks.systems.protocol import base
from benchmarks.tasks.edits import by_protocol, classifier, directions, pictures, unpaired
from benchmarks.tasks.edits.decoded import PLANE, SIDES, Change, Ground
from benchmarks.tasks.edits.directions import FITS, MEANS, NO_EDIT, ORACLE, PAPER, Direction, Fits
from benchmarks.tasks.edits.strengths import Edit, Edited, of_truth
from benchmarks.tasks.shared.probe_fits import FEWEST, prevalent, selections, stratified
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from diffae.data.pairs import pairs_of
from diffae.system.files import Json
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


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes, names = context.sizes(Sizes), _attributes(context)
    variant = Variant.of(context, system, sizes.solver, sizes.steps)
    place = Place(context, TABLE, variant, fields=_fields(context, system))
    fits = directions.fit_all(context, system, sizes.directions)
    yield Measurement([], partial(_unedited, place, names))
    ground = _ground(place, names)
    yield from by_protocol.measured(ground, names)
    if context.dataset.truth is None:
        yield _without_truth(ground, names, fits)
    else:
        yield _beside_truth(place, names, fits)


def _unedited(place: Place, names: Sequence[str]) -> Numbers:
    """Why chosen attributes are not among those that are edited, `names`."""
    for name in place.context.options.attributes:
        if name not in names:
            yield from place.at(setting=name).missing(["off_target"], UNEDITABLE)


def _attributes(context: Context) -> list[str]:
    """The chosen attributes, or some that the data has, that have counterfactuals, and training images of
    both classes: the first, or the most prevalent where none is one of CelebA's.
    """
    data, labels = context.dataset, selections(context)[0].labels
    shares = zip(data.attribute_names, labels.mean(0), strict=True)
    editable = {name for name, share in shares if 0 < share < 1}
    if data.truth is not None:
        editable &= {*data.truth.attributes}
    chosen = context.options.attributes
    candidates: Iterable[str] = chosen or dict.fromkeys((*FIRST, *data.attribute_names))
    if not chosen and _has_other_attributes(context):
        candidates = prevalent(context, FEWEST if data.truth is None else 0)
    names = [name for name in candidates if name in editable]
    if not names:
        raise NotAvailable(f"{data.name}: none of the attributes can be edited: {UNEDITABLE}")
    return names if chosen else names[: context.sizes(Sizes).attributes]


def _has_other_attributes(context: Context) -> bool:
    """Whether none of the data's attributes is one of those of CelebA that are edited first."""
    return {*FIRST}.isdisjoint(context.dataset.attribute_names)


def _face(context: Context) -> tuple[FaceEmbedding | None, str]:
    """The network by which faces are compared; None, and why there is none."""
    try:
        return context.networks.face, ""
    except NotAvailable as reason:
        return None, str(reason)


def _beside_truth(place: Place, names: list[str], fits: Fits) -> Measurement:
    """Edits of test images beside the truth, each as far as on validation images."""
    context, sizes = place.context, place.context.sizes(Sizes)
    tests = _changes(place, names, "test", sizes.pairs, sizes.times)
    valid = _changes(place, names, "valid", sizes.calibration, 1)
    if not tests:
        raise NotAvailable(f"{context.dataset.name}: no test images of which a change is known")
    edits = {
        side: [_edit(change, valid.get(side), name, fit) for name, fit in fits.items()]
        for side, change in tests.items()
    }
    ground = next(iter(tests.values())).ground
    jobs = [ground.job, *(change.truth for change in tests.values())]
    for edit in chain(*edits.values()):
        jobs += [edit.job, *(trial.job for trial in edit.trials)]

    def numbers(*arrays: Arrays) -> Numbers:
        read = dict(zip(jobs, arrays, strict=True))
        means, edited = place.also(attributes=names, pairs=sizes.pairs), list[Edited]()
        for side, change in tests.items():
            edited += of_truth(change, read[change.truth])
            edited += [edit.edited(read) for edit in edits[side]]
        yield from _composition(means, ground, read[ground.job])
        yield from _measured(place, means, ground, edited)
        pictures.draw(place, names, [edit for edit in edited if edit.direction != NO_EDIT])
        if no_face := _face(context)[1]:
            yield from means.at(setting=NO_EDIT).missing(["arcface"], no_face)
        if reason := base.why_immovable(ground.variant.system):
            for direction in sizes.directions:
                yield from place.at(setting=direction).missing(["off_target"], reason)

    return Measurement(jobs, numbers)


def _changes(
    place: Place, names: Sequence[str], split: str, count: int, times: int
) -> dict[tuple[str, bool], Change]:
    """The pairs of a split of each attribute, added and removed, where there are any."""
    context = place.context
    data, seed = context.dataset, context.seed
    sides = (pairs_of(data, *side, count, seed, split) for side in product(names, SIDES))
    changed = [pairs for pairs in sides if len(pairs)]
    chosen = np.concatenate([np.zeros(0, int), *(pairs.before for pairs in changed)])
    order = data.ordered(split, seed)
    images = Chosen(data, split, order[np.isin(order, chosen)], seed)
    face = _face(context)[0] if split == "test" else None
    place = place.also(**face.describe()) if face else place
    fit = classifier.fit(context, context.sizes(Sizes).classifier)
    ground = Ground(place, images, times, fit, face)
    drawn = names[: pictures.SHEETS]
    return {(p.attribute, p.on): Change(ground, p, p.attribute in drawn) for p in changed}


def _edit(change: Change, held_out: Change | None, name: str, fit: Job | None) -> Edit:
    """The edit of a change as far as the truth on the validation images, if there are any."""
    strengths = change.ground.place.context.sizes(Sizes).strengths
    trials = [Edit(held_out, name, fit, (s,)) for s in strengths] if held_out else []
    return Edit(change, name, fit, strengths, trials)


def _ground(place: Place, names: Sequence[str]) -> Ground:
    """The images that are edited without a truth; with and without each attribute where it may be rare."""
    context, sizes = place.context, place.context.sizes(Sizes)
    images = context.select("test", sizes.images)
    if _has_other_attributes(context):
        everything = context.select("test", len(context.dataset))
        images = stratified(everything, names, sizes.images)
        place = place.also(drawn="in turn with and without each attribute", attributes=names)
    place = place.also(truth=None, strength=unpaired.STRENGTH).at(n=len(images))
    return Ground(place, images, sizes.times, classifier.fit(context, sizes.classifier))


def _without_truth(ground: Ground, names: Sequence[str], fits: Fits) -> Measurement:
    """What needs no truth, where none is known."""
    place, context, images = ground.place, ground.place.context, ground.images
    edits, refused = unpaired.edits_of(ground, names, fits or {PAPER: None})
    of_edits, networks = [edit.job for edit in edits], context.networks.features
    real = [context.codes.real_features(images, network) for network in networks]
    fit_halves = partial(directions.fit_halves, context, ground.variant.system)
    halves = {name: fit_halves(name) for name, fit in fits.items() if fit}
    jobs = [ground.job, *of_edits, *real, *chain(*halves.values())]

    def numbers(*arrays: Arrays) -> Numbers:
        read, means = dict(zip(jobs, arrays, strict=True)), place.also(attributes=names)
        each = place.at(table=EACH)
        yield from _composition(means, ground, read[ground.job])
        made, cannot = unpaired.made(edits, [read[job] for job in of_edits])
        edited = [side for edit, sums in made for side in edit.sides(sums)]
        yield from _measured(place, means, ground, edited)
        for network, job in zip(networks, real, strict=True):
            near = [edit for edit, _ in made]
            features = read[job]["features"]
            yield from unpaired.near_numbers(each, means, network, "kid", near, features)
        for name, of_halves in halves.items():
            both = [read[job] for job in of_halves]
            yield from unpaired.agreements(each, means, name, names, both)
        yield from unpaired.refusals(each, "lec", refused | cannot)
        yield from place.missing(["off_target"], f"{context.dataset.name}: {NO_TRUTH}")

    return Measurement(jobs, numbers)


def _composition(means: Place, ground: Ground, images: Arrays) -> Numbers:
    for m in (m for m in (1, 2, 10) if m <= ground.times):
        place = means.also(times=m).at(setting=f"no edit, encoded {m} x")
        yield from place.means(ground.images, {"composition": images[f"composition {m}"]})


def _fields(context: Context, system: System) -> dict[str, Json]:
    sizes = context.sizes(Sizes)
    strengths = "linear between 0 and " + ", ".join(map(str, sorted(sizes.strengths)))
    return {
        "truth": "x' encoded and decoded with the x_T of x",
        "strength": f"of dose 1 on {sizes.calibration} validation images of a side: {strengths}",
        "classifier": f"{classifier.NAME}, {sizes.classifier} training images",
        "probe_train": context.sizes(ProbeSizes).train,
        **base.reading_of(system),
    }


# ----------------------------------------------------------------------------------------------
# Numbers


def _measured(place: Place, means: Place, ground: Ground, edited: Sequence[Edited]) -> Numbers:
    """The numbers of each edit, and of each direction their means, which belong to the place `means`."""
    by_direction = defaultdict[str, list[EditedPairs]](list)
    by_strength = defaultdict[tuple[str, str], list[EditedPairs]](list)
    split = ground.images.split
    for edit in edited:
        change, direction = edit.change, edit.direction
        pairs = change.edited_pairs(edit.sums, edit.strength)
        estimates = estimate_edit(pairs)
        setting = f"{change.pairs.attribute} {SIDES[change.pairs.on]}, {direction}"
        at = place.at(table=EACH, setting=setting, split=split, note=edit.note)
        yield from _numbers(at, ground.face, direction, estimates)
        by_direction[direction].append(pairs)
        for strength, tried in edit.tried.items():
            undefined = replace(tried, silenced=estimates["dose"].why)
            by_strength[direction, f"{direction}, strength {strength:g}"].append(undefined)
    for direction, of_edits in by_direction.items():
        at = means.at(setting=direction, split=split)
        yield from _numbers(at, ground.face, direction, estimate_mean_edit(of_edits))
    for (direction, setting), of_edits in by_strength.items():
        estimates = estimate_mean_edit(of_edits)
        at = means.at(setting=setting, table=BY_STRENGTH, split="valid")
        shown = {metric: estimates[metric] for metric in PLANE}
        yield from _numbers(at, ground.face, direction, shown)


def _numbers(
    place: Place, face: FaceEmbedding | None, direction: str, estimates: Mapping[str, Estimate]
) -> Numbers:
    """The numbers of a direction; faces may be compared by a stand-in for ArcFace."""
    place = place.also(direction=FITS[direction])
    for metric, estimate in estimates.items():
        at, name = place.at(n=estimate.n), metric
        if metric == FACES and face:
            at, name = at.also(before="the real image", **face.describe()), face.metric_name
        if estimate.value is not None:
            at = at.at(reference=direction in (ORACLE, NO_EDIT))
        if estimate.value is None or (metric == FACES and direction == ORACLE):
            at = at.at(note="")  # that of the truth is on the classifier
        yield from at.numbers({name: estimate})


OF_TRIALS = "Of the images by which strengths are found."
_table = partial(
    TableSpec,
    rows=("system", "setting"),
    columns=("metric",),
    alike=("setting",),
    metrics=(*OF_EDITS, "arcface"),
    plots=(PLANE[::-1],),
)

BENCHMARK = Benchmark(
    name="edits",
    headline=lambda context: "off_target",
    needs=frozenset({base.ENCODE, base.DECODE, base.SEMANTIC}),
    random=False,
    labelled=True,
    learns=True,
    run=run,
    sizes=Sizes,
    shared=("probes",),
    tables=(
        _table(
            TABLE,
            "Edits against the truth",
            "Means over attributes, each added and removed. Off target: the share of the move that is not the truth. Gain: 1 "
            "the decoded truth, 0 nothing done, below 0 harm. Dose: how far an edit goes; its strength has a dose of 1 on "
            "validation images. All are of attributes of which the code keeps something. The code of the truth is the ceiling.",
            order=71,
            setting_header="direction",
            headline=("off_target",),
            headline_settings=(MEANS, PAPER),
        ),
        _table(BY_STRENGTH, "Edits by strength", OF_TRIALS, order=72),
        _table(EACH, "Edits by attribute", "As above, of each attribute.", order=73, plots=()),
        _table(by_protocol.TABLE, "Edits by protocol", by_protocol.CAPTION, order=74, plots=()),
    ),
)
