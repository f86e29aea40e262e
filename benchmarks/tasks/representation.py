"""What a code is good for, apart from the image that is decoded from it.

- How well linear probes predict the attributes, also from few labels, and how many bits a label
  takes by an online code.
- How well the nearest codes predict them, and a ridge regression real-valued labels.
- How many dimensions the codes use.

None of these depends on the axes of a code, but for the standardisation of its numbers. Those that
do (TAD, DCI, MIG, ...) ask whether single numbers of a code stand for single labels. With `axes`
they are measured, each beside the same of three controls: the code rotated at random, its principal
components, and noise of the same marginals. A code has them only if it has few numbers.

The numbers, with their sources, are in `benchmarks.metrics.codes`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np

from benchmarks.core.images import features_of, no_codes, select
from benchmarks.core.measurement import Numbers
from benchmarks.core.sizes import Number, Range
from benchmarks.metrics.codes.data import (
    DISCRETE,
    NUMERIC,
    TEST,
    TRAIN,
    Codes,
    Ints,
    LabelColumns,
    parts,
)
from benchmarks.metrics.codes.invariant.curves import code_length, entropy_of_labels, few_labels
from benchmarks.metrics.codes.invariant.linear import standardised
from benchmarks.metrics.codes.invariant.neighbours import varied_labels
from benchmarks.metrics.codes.number import REPRESENTATION
from benchmarks.metrics.codes.probes import CHANCE, MEAN, guesses, mean_auroc, most_frequent
from benchmarks.metrics.codes.schema import NUMBERS, shown_in
from benchmarks.plugin import (
    Arrays,
    Benchmark,
    Context,
    Count,
    Estimate,
    Measurement,
    Place,
    TableSpec,
    Variant,
)
from benchmarks.systems.protocol.base import SEMANTIC, System, has_own, reading_of
from benchmarks.tasks.shared import probe_fits
from benchmarks.tasks.shared.probe_fits import selections
from benchmarks.tasks.shared.stored_estimates import (
    CodesOfJobs,
    as_probes_read,
    estimates_job,
    estimates_of,
    images_of,
    plain_job,
    plain_numbers,
)
from diffae.data import open_combinations
from diffae.data.partition import SPLITS
from diffae.system.files import Json

TABLE, AXES = REPRESENTATION, "representation_axes"
EVERY = "all images"
OF_CODES = tuple(dict.fromkeys(("knn", *shown_in(TABLE))))
OF_AXES = (
    "tad", "attrs", "dci_d", "dci_c", "dci_i", "mig", "infom", "infoc", "infoe", "factor_vae",
)  # fmt: skip
WIDEST = 64  # numbers of a code; those of the axes of wider ones are only measured by `measure`
CODE, ROTATED, PRINCIPAL, NOISE = "the code", "rotated at random", "principal components", "noise"
KINDS = (CODE, ROTATED, PRINCIPAL, NOISE)  # the last three are the controls
OF_ATTRIBUTES = ("tad", "attrs")
FIT = "L-BFGS in float64"
Few = Annotated[int, Range(2, 10**6)]  # one image has no deviation to standardise by


@dataclass(frozen=True)
class Sizes:
    """
    labels   labelled images of the few-label curve
    draws    of them, for each number
    orders   of the images, for the code length
    coded    images whose labels are coded
    axes     also measure the numbers that are bound to axes
    grid     images of all combinations of the factors, at most, for numbers that need them
    """

    labels: tuple[Few, ...] = (16, 64, 256, 1024)
    draws: Number = 5
    orders: Number = 2
    coded: Number = 512
    axes: bool = False
    grid: Count = 1024


# ----------------------------------------------------------------------------------------------
# Codes


def images_of_splits(context: Context) -> Codes:
    """The probes' training, validation and test images, in this order, as codes of no numbers."""
    of_splits = selections(context)
    order = np.concatenate([images.order for images in of_splits])
    split = np.repeat(list(SPLITS.values()), list(map(len, of_splits)))
    return replace(images_of(context.dataset, order), split=split)


def with_attributes(context: Context, codes: Codes) -> Codes:
    """The codes with binary labels: their own, or the attributes that the data makes of classes."""
    data = context.dataset
    if not data.labelled or (codes.labels and codes.labels.of_kind("binary")):
        return codes
    values = np.concatenate([images.labels for images in selections(context)]).astype(float)
    names = data.attribute_names
    return replace(codes, labels=LabelColumns(values, names, ("binary",) * len(names)))


def controlled(kind: str, seed: int, images: Codes, *features: Arrays) -> Codes:
    """The codes of images, or a control of them. Codes that are too wide have no numbers."""
    codes = as_probes_read(images, *features)
    return images if codes.values.shape[1] > WIDEST else control(kind, seed, codes)


def control(kind: str, seed: int, codes: Codes) -> Codes:
    """What has as many numbers as the codes, but other axes or nothing of the images."""
    fitted = np.arange(len(codes.values))
    if codes.split is not None:
        fitted = np.flatnonzero(codes.split == TRAIN)
    x = standardised(codes.values, fitted)
    random = np.random.default_rng([seed, x.shape[1]])
    normal = random.standard_normal((x.shape[1], x.shape[1]))  # drawn before the noise
    if kind == ROTATED:
        return replace(codes, values=x @ np.linalg.qr(normal)[0])
    if kind == PRINCIPAL:
        return replace(codes, values=x @ np.linalg.eigh(x[fitted].T @ x[fitted])[1][:, ::-1])
    return replace(codes, values=random.permuted(codes.values, axis=0)) if kind == NOISE else codes


# ----------------------------------------------------------------------------------------------
# Numbers


def run(context: Context, system: System) -> Iterator[Measurement]:
    codes = CodesOfJobs(probe_fits.features(context, system), images_of_splits(context))
    place = Place(context, TABLE, system).also(**probe_fits.counts_of_splits(context))
    place = place.also(**reading_of(system))
    yield _of_labels(place, system, codes)
    yield _of_codes(place, codes)
    if context.sizes(Sizes).axes:
        yield _of_axes(place.at(table=AXES), system, codes)


def _of_labels(place: Place, system: System, codes: CodesOfJobs) -> Measurement:
    """AUROC of probes of all labels, that of few labels, and the code length."""
    context, mean, test = place.context, place.at(setting=MEAN), selections(place.context)[2]
    sizes, images = context.sizes(Sizes), with_attributes(context, codes.images)
    if not (images.labels and images.labels.of_kind("binary")):
        missing = partial(mean.missing, ("auroc", "code_length"), "needs binary labels")
        return Measurement([], missing)
    codes = replace(codes, images=images)
    of_curve: dict[str, Json] = {"labels": sizes.labels, "draws": sizes.draws, "C": 1.0, "fit": FIT}
    of_length: dict[str, Json] = {"coded": sizes.coded, "orders": sizes.orders, "fit": FIT}
    curve = partial(few_labels, seed=context.seed, counts=sizes.labels, draws=sizes.draws)
    coded = _coded(context, images)
    length = partial(code_length, seed=context.seed, orders=sizes.orders, rows=coded)

    def numbers(probe: Arrays, features: Arrays, few: Arrays, lengths: Arrays) -> Numbers:
        logits = probe_fits.probe_of(probe).logits(features_of(features)).numpy()
        auroc = mean_auroc(logits, test.labels, context.dataset.attribute_names, test.units)
        yield from mean.also(probe=probe_fits.BINARY).numbers({"auroc": auroc})
        for setting, estimate in estimates_of(few).items():  # or why there are not so many labels
            yield from place.also(**of_curve).at(setting=setting).numbers({"auroc": estimate})
        yield from mean.also(**of_length).at(split="").numbers(estimates_of(lengths))

    few = estimates_job(context, "few_labels", codes, curve, **of_curve)
    lengths = estimates_job(context, "code_length", codes, length, **of_length)
    return Measurement([probe_fits.fit(context, system), codes.jobs[-1], few, lengths], numbers)


def _coded(context: Context, codes: Codes) -> Ints:
    """The rows whose labels are coded."""
    order = np.random.default_rng(context.seed).permutation(len(codes.values))
    return np.sort(order[: context.sizes(Sizes).coded])


def _of_codes(place: Place, codes: CodesOfJobs) -> Measurement:
    """The numbers of codes that do not depend on their axes."""
    labels = codes.images.labels
    is_numeric = bool(labels and labels.of_kind(*NUMERIC))
    names = [name for name in OF_CODES if name != "ridge_r2" or is_numeric]

    def numbers(*arrays: Arrays) -> Numbers:
        for name, of_name in zip(names, arrays, strict=True):
            at = place.at(setting=MEAN if NUMBERS[name].kinds else EVERY)
            yield from plain_numbers(at, name, estimates_of(of_name)[name], codes)

    return Measurement([plain_job(place.context, name, codes) for name in names], numbers)


def _of_axes(place: Place, system: System, codes: CodesOfJobs) -> Measurement:
    """Numbers of the code's axes, with how far they are from those of the rotated code, and of the controls."""
    context = place.context
    # the width of what a system reads in its own way is only known from its codes
    is_wide = not has_own(system, "read") and features_of(no_codes(system)).shape[1] > WIDEST
    measured = {} if is_wide else _codes_of_axes(context, system, codes)
    makes = {kind: partial(controlled, kind, context.seed) for kind in KINDS}
    jobs = [
        plain_job(context, name, replace(of_name, make=make), control=kind)
        for name, of_name in measured.items()
        for kind, make in makes.items()
    ]

    def numbers(features: Arrays, *arrays: Arrays) -> Numbers:
        if (d := features_of(features).shape[1]) > WIDEST:
            why = f"{d:,} numbers, too many to stand for single labels; of at most {WIDEST} it is measured"
            yield from place.at(setting=CODE).missing(OF_AXES, why)
            return
        estimates = map(estimates_of, arrays)
        for name, of_name in measured.items():
            of_kinds = {kind: next(estimates)[name] for kind in KINDS}
            of_kinds[CODE] = _with_distance(of_kinds[CODE], of_kinds[ROTATED])
            for kind, estimate in of_kinds.items():
                at = place.at(setting=kind, reference=kind != CODE)
                yield from plain_numbers(at, name, estimate, of_name)

    return Measurement([codes.jobs[0], *jobs], numbers)


def _codes_of_axes(context: Context, system: System, codes: CodesOfJobs) -> dict[str, CodesOfJobs]:
    """The codes that each number of axes is measured on.

    Numbers that need all combinations of factors are of images that have them, where the data has such;
    so are those of factors where the data has a drawing, whose attributes are not independent.
    """
    measured = dict.fromkeys(OF_AXES, codes)
    data, is_drawn = context.dataset, context.dataset.drawing is not None
    if (grid := open_combinations(data, context.sizes(Sizes).grid)) is not None:
        images = select(grid, "all", len(grid), context.seed)
        fields = {"factors": grid.factors([0]).names, "factors_sha256": grid.fingerprint}
        features = context.codes.features(system, images)
        units = replace(images_of(grid, images.order), persons=None)
        of_grid = CodesOfJobs([features], units, split="", fields=fields)
        for name in OF_AXES:
            if NUMBERS[name].combinations or (is_drawn and name not in OF_ATTRIBUTES):
                measured[name] = of_grid
    return measured


def _with_distance(code: Estimate, rotated: Estimate) -> Estimate:
    """A number with a note on how far it is from that of the rotated code.

    The difference is in units of its error, as if both were independent.
    """
    if code.value is None or rotated.value is None:
        return code
    note = f"{(difference := code.value - rotated.value):+.3g} from the rotated code"
    if code.stderr and rotated.stderr:
        errors = difference / float(np.hypot(code.stderr, rotated.stderr))
        note = f"{errors:+.1f} standard errors from the rotated code"
    return replace(code, notes=(*code.notes, note))


def references(context: Context) -> Iterator[Measurement]:
    """What codes give that know nothing of the images: guesses by the labels' shares."""
    yield Measurement([], partial(_of_chance, context))


def _of_chance(context: Context) -> Numbers:
    test, codes = selections(context)[2], images_of_splits(context)
    labels, of_test = codes.labels, codes.of(np.flatnonzero(codes.split == TEST)).labels
    assert labels is not None and of_test is not None
    varied = varied_labels(codes, parts(codes, context.seed))  # those that systems are scored on
    fields = {"chance": "guesses by the shares of the labels"}
    nothing = Variant(context, System(), None)
    place = Place(context, TABLE, nothing, CHANCE, setting=MEAN, fields=fields)
    attributes = with_attributes(context, codes)
    if attributes.labels and (binary := attributes.labels.of_kind("binary")):
        is_scored = bool(np.ptp(attributes.y[codes.split == TEST][:, binary], axis=0).any())
        yield from place.numbers({"auroc": guesses(0.5, len(test), is_scored)})
        entropy = entropy_of_labels(attributes, _coded(context, codes))
        yield from place.at(split="").numbers({"code_length": entropy})
    if discrete := labels.of_kind(*DISCRETE):
        scored = of_test.of([k for k in discrete if varied[k]])
        yield from place.numbers({"knn": most_frequent(scored, test.units)})
    if numeric := labels.of_kind(*NUMERIC):
        r2 = guesses(0.0, len(test), bool(varied[numeric].any()))
        yield from place.numbers({"ridge_r2": r2})


def _headline(context: Context) -> str:
    """AUROC where there are attributes, else what the labels allow."""
    if context.dataset.labelled:
        return "auroc"
    return "knn" if {*context.dataset.factors([0]).kinds}.intersection(DISCRETE) else "ridge_r2"


BENCHMARK = Benchmark(
    name="representation",
    headline=_headline,
    needs=frozenset({SEMANTIC}),
    learns=True,
    random=lambda row: "labels" in row.setting or row.metric == "code_length",
    run=run,
    references=references,
    of_images=False,
    sizes=Sizes,
    shared=("probes",),
    tables=(
        TableSpec(
            name=TABLE,
            title="What a code is good for",
            caption=(
                "Linear probes of all labels and of few, nearest neighbours, ridge regression of real-valued labels, bits "
                "of a label by an online code, and the dimensions that are used. None depends on the axes of a code."
            ),
            rows=("system",),
            columns=("metric", "setting"),
            metrics=tuple(
                dict.fromkeys(("auroc", "knn", "ridge_r2", "code_length", *shown_in(TABLE)))
            ),
            headline=("auroc", "knn", "ridge_r2"),
            headline_settings=(MEAN,),
            plots=(),
            order=66,
        ),
        TableSpec(
            name=AXES,
            title="Numbers that are bound to the axes of a code",
            caption=(
                "Whether single numbers of a code stand for single labels, beside the same of the code rotated at random, "
                "of its principal components and of noise. A number that the rotated code has too is no finding."
            ),
            rows=("system", "setting"),
            setting_header="code",
            columns=("metric",),
            metrics=OF_AXES,
            plots=(),
            order=67,
        ),
    ),
)
