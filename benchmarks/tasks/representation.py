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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
import torch

from benchmarks.core.context import with_note
from benchmarks.core.images import Selection, select
from benchmarks.core.sizes import Range
from benchmarks.metrics.codes.data import (
    DISCRETE,
    NUMERIC,
    TEST,
    TRAIN,
    Codes,
    Floats,
    Ints,
    LabelColumns,
    parts,
)
from benchmarks.metrics.codes.invariant.curves import code_length, entropy_of_labels, few_labels
from benchmarks.metrics.codes.invariant.linear import standardised
from benchmarks.metrics.codes.invariant.neighbours import varied_labels
from benchmarks.metrics.codes.number import REPRESENTATION
from benchmarks.metrics.codes.probes import MEAN, guesses, mean_auroc, most_frequent
from benchmarks.metrics.codes.schema import NUMBERS, shown_in
from benchmarks.plugin import (
    Benchmark,
    Cell,
    Context,
    Count,
    Measurement,
    Number,
    Record,
    TableSpec,
    Taken,
)
from benchmarks.systems.protocol.base import SEMANTIC, System, reading_of
from benchmarks.tasks.shared import probe_fits
from benchmarks.tasks.shared.probe_fits import selections
from benchmarks.tasks.shared.stored_estimates import codes_of, plain_record, stored_estimates
from diffae.data import open_combinations
from diffae.data.dataset import SPLITS

TABLE, AXES = REPRESENTATION, "representation_axes"
EVERY = "all images"
OF_CODES = tuple(dict.fromkeys(("knn", *shown_in(TABLE))))
OF_AXES = (
    "tad", "attrs", "dci_d", "dci_c", "dci_i", "mig", "infom", "infoc", "infoe", "factor_vae",
)  # fmt: skip
WIDEST = 64  # numbers of a code; those of the axes of wider ones are only measured by `measure`
CODE, ROTATED = "the code", "rotated at random"
OF_ATTRIBUTES = ("tad", "attrs")
CHANCE = "chance"
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


def codes_of_splits(context: Context, values: Floats) -> Codes:
    """Codes [n, d] of the probes' training, validation and test images, in this order."""
    of_splits = selections(context)
    order = np.concatenate([images.order for images in of_splits])
    split = np.repeat(list(SPLITS.values()), list(map(len, of_splits)))
    return replace(codes_of(context.dataset, order, values), split=split)


def of_system(context: Context, system: System) -> Codes:
    """What probes read of the system's codes."""
    features = [context.codes.features(system, images) for images in selections(context)]
    return codes_of_splits(context, torch.cat(features).double().numpy())


def with_attributes(context: Context, codes: Codes) -> Codes:
    """The codes with binary labels: their own, or the attributes that the data makes of classes."""
    data = context.dataset
    if not data.labelled or (codes.labels and codes.labels.of_kind("binary")):
        return codes
    values = np.concatenate([images.labels for images in selections(context)]).astype(float)
    names = data.attribute_names
    return replace(codes, labels=LabelColumns(values, names, ("binary",) * len(names)))


def grid_of(context: Context, system: System) -> tuple[Selection, Codes] | None:
    """Images of all combinations of factors, and their codes; None if the data has none."""
    if (data := open_combinations(context.dataset, context.sizes(Sizes).grid)) is None:
        return None
    images = select(data, "all", len(data), context.seed)
    values = context.codes.features(system, images).double().numpy()
    return images, replace(codes_of(data, images.order, values), persons=None)


def controls(codes: Codes, seed: int) -> dict[str, Codes]:
    """The codes, and what has the same numbers of them but other axes, or nothing of the images."""
    fitted = np.arange(len(codes.values))
    if codes.split is not None:
        fitted = np.flatnonzero(codes.split == TRAIN)
    x = standardised(codes.values, fitted)
    random = np.random.default_rng([seed, x.shape[1]])
    rotation = np.linalg.qr(random.standard_normal((x.shape[1], x.shape[1])))[0]
    principal = np.linalg.eigh(x[fitted].T @ x[fitted])[1][:, ::-1]
    noise = random.permuted(codes.values, axis=0)
    each = {CODE: codes.values, ROTATED: x @ rotation, "principal components": x @ principal}
    each["noise"] = noise
    return {name: replace(codes, values=values) for name, values in each.items()}


# ----------------------------------------------------------------------------------------------
# Numbers


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes, codes = context.sizes(Sizes), of_system(context, system)
    fields = {**probe_fits.counts_of_splits(context), **reading_of(system)}
    cell = Cell(context, TABLE, system, fields=fields)
    few = sizes.axes and codes.values.shape[1] <= WIDEST
    grid = grid_of(context, system) if few else None

    def reduce() -> Iterator[Record]:
        yield from _of_labels(cell, with_attributes(context, codes), system, sizes)
        for name in OF_CODES:
            setting = MEAN if NUMBERS[name].kinds else EVERY
            if name != "ridge_r2" or (codes.labels and codes.labels.of_kind(*NUMERIC)):
                yield plain_record(cell.but(setting=setting), name, codes)
        if sizes.axes:
            yield from _of_axes(cell.but(table=AXES), codes, grid)

    fits = probe_fits.fits(context, adam=False) if context.dataset.labelled else ()
    yield Measurement([], reduce, list(fits))


def _of_labels(cell: Cell, codes: Codes, system: System, sizes: Sizes) -> Iterator[Record]:
    """AUROC of probes of all labels, that of few labels, and the code length."""
    labels, context, test = codes.labels, cell.context, selections(cell.context)[2]
    assert labels is not None
    if not labels.of_kind("binary"):
        yield from cell.missing(("auroc", "code_length"), "needs binary labels", setting=MEAN)
        return
    logits = probe_fits.fit(context, system).logits(context.codes.features(system, test)).numpy()
    mean = mean_auroc(logits, test.labels, context.dataset.attribute_names, test.units)
    yield cell.also(probe=probe_fits.BINARY).record("auroc", mean, setting=MEAN)
    yield from _of_few_labels(cell, codes, sizes)
    choices = {"coded": sizes.coded, "orders": sizes.orders, "fit": FIT}
    length = partial(code_length, codes, context.seed, sizes.orders, _coded(context, codes))
    each = stored_estimates(context, "code_length", codes, length, **choices)
    yield cell.also(**choices).record("code_length", each["code_length"], setting=MEAN, split="")


def _of_few_labels(cell: Cell, codes: Codes, sizes: Sizes) -> Iterator[Record]:
    """AUROC by the number of labels; of more than there are images to label, the reason."""
    counts, draws = tuple(sizes.labels), sizes.draws
    curve = partial(few_labels, codes, cell.context.seed, counts, draws)
    choices = {"labels": list(counts), "draws": draws, "C": 1.0, "fit": FIT}
    by_setting = stored_estimates(cell.context, "few_labels", codes, curve, **choices)
    for setting, estimate in by_setting.items():
        yield cell.also(**choices).record("auroc", estimate, setting=setting)


def _coded(context: Context, codes: Codes) -> Ints:
    """The rows whose labels are coded."""
    order = np.random.default_rng(context.seed).permutation(len(codes.values))
    return np.sort(order[: context.sizes(Sizes).coded])


def _of_axes(cell: Cell, codes: Codes, grid: tuple[Selection, Codes] | None) -> Iterator[Record]:
    """Numbers of the code's axes beside those of the controls, and how far it is from the rotated one.

    That difference is in units of its error, as if both were independent. Numbers that need all
    combinations of factors are of the `grid`; so are those of factors where the data has a drawing,
    whose attributes are not independent.
    """
    if (d := codes.values.shape[1]) > WIDEST:
        why = f"{d:,} numbers, too many to stand for single labels; of at most {WIDEST} it is measured"
        yield from cell.missing(OF_AXES, why, setting=CODE)
        return
    seed, is_drawn = cell.context.seed, cell.context.dataset.drawing is not None
    of_probes, of_grid = controls(codes, seed), controls(grid[1], seed) if grid else {}
    for name in OF_AXES:
        images, place, each = None, cell, of_probes
        if grid and (NUMBERS[name].combinations or (is_drawn and name not in OF_ATTRIBUTES)):
            images, each = grid[0], of_grid
            data = images.dataset
            place = cell.also(factors=data.factors([0]).names, factors_sha256=data.fingerprint)
        records = {
            control: plain_record(place.but(setting=control), name, values, images)
            for control, values in each.items()
        }
        yield with_note(records[CODE], _apart(records))
        for control in [control for control in records if control != CODE]:
            yield replace(records[control], reference=True)


def _apart(records: Mapping[str, Record]) -> str:
    """How far a number is from that of the rotated code."""
    code, rotated = records[CODE], records[ROTATED]
    if code.value is None or rotated.value is None:
        return ""
    difference = code.value - rotated.value
    if not code.stderr or not rotated.stderr:
        return f"{difference:+.3g} from the rotated code"
    errors = difference / float(np.hypot(code.stderr, rotated.stderr))
    return f"{errors:+.1f} standard errors from the rotated code"


def references(context: Context) -> Iterator[Record]:
    """What codes give that know nothing of the images: guesses by the labels' shares."""
    test = selections(context)[2]
    codes = codes_of_splits(context, np.zeros((sum(map(len, selections(context))), 1)))
    assert codes.labels is not None
    labels, first = codes.labels, _coded(context, codes)
    of_test = codes.of(np.flatnonzero(codes.split == TEST)).labels
    assert of_test is not None
    varied = varied_labels(codes, parts(codes, context.seed))  # those that systems are scored on
    fields = {"chance": "guesses by the shares of the labels"}
    cell = Cell(context, TABLE, Taken(System(), None), title=CHANCE, setting=MEAN, fields=fields)
    attributes = with_attributes(context, codes)
    if attributes.labels and (binary := attributes.labels.of_kind("binary")):
        is_scored = bool(np.ptp(attributes.y[codes.split == TEST][:, binary], axis=0).any())
        yield cell.record("auroc", guesses(0.5, len(test), is_scored))
        yield cell.record("code_length", entropy_of_labels(attributes, first), split="")
    if discrete := labels.of_kind(*DISCRETE):
        scored = of_test.of([k for k in discrete if varied[k]])
        yield cell.record("knn", most_frequent(scored, test.units))
    if numeric := labels.of_kind(*NUMERIC):
        yield cell.record("ridge_r2", guesses(0.0, len(test), bool(varied[numeric].any())))


def _headline(context: Context) -> str:
    """AUROC where there are attributes, else what the labels allow."""
    if context.dataset.labelled:
        return "auroc"
    return "knn" if {*context.dataset.factors([0]).kinds}.intersection(DISCRETE) else "ridge_r2"


BENCHMARK = Benchmark(
    name="representation",
    headline=_headline,
    needs=frozenset({SEMANTIC}),
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
