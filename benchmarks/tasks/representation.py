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
from typing import Annotated, Any

import numpy as np
import torch
from scipy.stats import mode

from benchmarks.core.images import Selection, select
from benchmarks.core.sizes import Range
from benchmarks.metrics.codes.data import (
    DISCRETE,
    NUMERIC,
    TEST,
    TRAIN,
    Codes,
    Floats,
    Found,
    Ints,
    Labels,
    parts,
)
from benchmarks.metrics.codes.errors import ALL_SAME, found, of_columns
from benchmarks.metrics.codes.invariant.curves import code_length, few_labels
from benchmarks.metrics.codes.invariant.linear import standardised
from benchmarks.metrics.codes.invariant.neighbours import varied_labels
from benchmarks.metrics.codes.schema import NUMBERS
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
from benchmarks.tasks.shared.code_numbers import Measured, Numbers
from benchmarks.tasks.shared.probe_fits import MEAN, selections
from diffae.data import open_combinations
from diffae.data.dataset import SPLITS
from probes import influences, summarise
from reports.records.estimate import Estimate

TABLE, AXES = "representation", "representation_axes"
EVERY = "all images"
# Numbers and their settings: means over labels, and of all images.
OF_CODES = {"knn": MEAN, "ridge_r2": MEAN, "rankme": EVERY, "participation": EVERY}
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


def codes_of(context: Context, values: Floats) -> Codes:
    """Codes [n, d] of the probes' training, validation and test images, in this order."""
    parts = selections(context)
    order = np.concatenate([part.order for part in parts])
    split = np.repeat(list(SPLITS.values()), list(map(len, parts)))
    persons = context.dataset.identities
    who = None if persons is None else persons[order]
    return Codes(values, Labels(*context.dataset.factors(order)), split, who)


def of_system(context: Context, system: System) -> Codes:
    """What probes read of the system's codes."""
    features = [context.codes.features(system, part) for part in selections(context)]
    return codes_of(context, torch.cat(features).double().numpy())


def with_attributes(context: Context, codes: Codes) -> Codes:
    """The codes with binary labels: their own, or the attributes that the data makes of classes."""
    data = context.dataset
    if not data.labelled or (codes.labels and codes.labels.of_kind("binary")):
        return codes
    values = np.concatenate([part.labels for part in selections(context)]).astype(float)
    names = data.attribute_names
    return replace(codes, labels=Labels(values, names, ("binary",) * len(names)))


def grid_of(context: Context, system: System) -> tuple[Selection, Codes] | None:
    """Images of all combinations of factors, and their codes; None if the data has none."""
    if (data := open_combinations(context.dataset, context.sizes(Sizes).grid)) is None:
        return None
    images = select(data, "all", len(data), context.seed)
    values = context.codes.features(system, images).double().numpy()
    return images, Codes(values, Labels(*data.factors(images.order)))


def controls(codes: Codes, seed: int) -> dict[str, Codes]:
    """The codes, and what has the same numbers of them but other axes, or nothing of the images."""
    every = np.ones(len(codes.values), bool)
    fitted = np.flatnonzero(every if codes.split is None else codes.split == TRAIN)
    x = standardised(codes.values, fitted)
    random = np.random.default_rng([seed, x.shape[1]])
    rotation = np.linalg.qr(random.standard_normal((x.shape[1], x.shape[1])))[0]
    principal = np.linalg.eigh(x[fitted].T @ x[fitted])[1][:, ::-1]
    noise = random.permuted(codes.values, axis=0)
    each = {CODE: codes.values, ROTATED: x @ rotation, "principal components": x @ principal}
    return {name: replace(codes, values=one) for name, one in (each | {"noise": noise}).items()}


# ----------------------------------------------------------------------------------------------
# Numbers


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes, codes = context.sizes(Sizes), of_system(context, system)
    counts = dict(zip(("n_train", "n_valid", "n_test"), map(len, selections(context)), strict=True))
    cell = Cell(context, TABLE, system, fields={**counts, **reading_of(system)})
    few = sizes.axes and codes.values.shape[1] <= WIDEST
    grid = grid_of(context, system) if few else None

    def reduce() -> Iterator[Record]:
        yield from _of_labels(Measured(cell, with_attributes(context, codes)), system, sizes)
        for name, setting in OF_CODES.items():
            if name != "ridge_r2" or (codes.labels and codes.labels.of_kind(*NUMERIC)):
                yield Measured(cell.but(setting=setting), codes).number(name)
        if sizes.axes:
            yield from _of_axes(cell.but(table=AXES), codes, grid)

    fits = probe_fits.fits(context, adam=False) if context.dataset.labelled else ()
    yield Measurement([], reduce, list(fits))


def _of_labels(of: Measured, system: System, sizes: Sizes) -> Iterator[Record]:
    """AUROC of probes of all labels, that of few labels, and the code length."""
    cell, labels = of.cell, of.codes.labels
    assert labels is not None
    if not labels.of_kind("binary"):
        for name in ("auroc", "code_length"):
            yield cell.row(name, None, setting=MEAN, note="needs binary labels")
        return
    context, test = cell.context, selections(cell.context)[2]
    logits = probe_fits.fit(context, system).logits(context.codes.features(system, test)).numpy()
    summary = summarise(logits, test.labels, context.dataset.attribute_names)
    defined = np.isfinite([score.auroc for score in summary.attributes])
    of_labels = influences(logits, test.labels)["auroc"][:, defined]
    error = test.units.influences(of_labels.mean(1)) if defined.any() else ()
    probe = cell.also(probe=probe_fits.BINARY)
    yield probe.row("auroc", summary.mean_auroc, error, setting=MEAN, n=len(test))
    yield from _of_few_labels(of, sizes)
    seed = context.seed
    how: dict[str, Any] = {"coded": sizes.coded, "orders": sizes.orders, "fit": FIT}
    first = _coded(context, of.codes)

    def length(codes: Codes) -> Numbers:
        found = code_length(codes.of(first), seed, sizes.orders)
        return {MEAN: replace(found, rows=first[found.rows])}

    yield from of.rows(cell.also(**how), "code_length", of.found("code_length", length, **how))


def _of_few_labels(of: Measured, sizes: Sizes) -> Iterator[Record]:
    """AUROC by the number of labels; of more than there are images to label, the reason."""
    cell, seed, counts, draws = of.cell, of.cell.context.seed, tuple(sizes.labels), sizes.draws
    settings = {count: f"{count:,} labels" for count in counts}

    def curve(codes: Codes) -> Numbers:
        numbers = few_labels(codes, seed, counts, draws)
        return {settings[count]: number for count, number in numbers.items()}

    how: dict[str, Any] = {"labels": list(counts), "draws": draws, "C": 1.0, "fit": FIT}
    numbers = of.found("few_labels", curve, **how)
    train, valid, _ = selections(cell.context)
    there = len(train) + len(valid)
    every = dict[str, Found]()
    for count, setting in settings.items():
        few = f"needs {count:,} images to label; there are {there:,}"
        refused = numbers.get("", Found(np.nan, 0, notes=(few,)))
        every[setting] = numbers.get(setting, refused)
    yield from of.rows(cell.also(**how), "auroc", every)


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
        note = f"{d:,} numbers, too many to stand for single labels; of at most {WIDEST} it is measured"
        yield from (cell.row(name, None, setting=CODE, note=note) for name in OF_AXES)
        return
    seed, ours = cell.context.seed, cell.context.dataset.drawing is not None
    every, of_grid = controls(codes, seed), controls(grid[1], seed) if grid else {}
    for name in OF_AXES:
        images, at, measured = None, cell, every
        if grid and (NUMBERS[name].combinations or (ours and name not in OF_ATTRIBUTES)):
            images, measured = grid[0], of_grid
            data = images.dataset
            at = cell.also(factors=data.factors([0]).names, factors_sha256=data.fingerprint)
        rows = {
            c: Measured(at.but(setting=c), of, images).number(name) for c, of in measured.items()
        }
        yield replace(rows[CODE], note="; ".join(filter(None, (rows[CODE].note, _apart(rows)))))
        yield from (replace(row, reference=True) for c, row in rows.items() if c != CODE)


def _apart(rows: Mapping[str, Record]) -> str:
    """How far a number is from that of the rotated code."""
    code, rotated = rows[CODE], rows[ROTATED]
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
    codes = codes_of(context, np.zeros((sum(map(len, selections(context))), 1)))
    assert codes.labels is not None
    labels, first = codes.labels, _coded(context, codes)
    of_test = codes.of(np.flatnonzero(codes.split == TEST)).labels
    assert of_test is not None
    varied = varied_labels(codes, parts(codes, context.seed))  # those that systems are scored on
    fields = {"chance": "guesses by the shares of the labels"}
    cell = Cell(context, TABLE, Taken(System(), None), title=CHANCE, setting=MEAN, fields=fields)
    attributes = with_attributes(context, codes)
    if attributes.labels and (binary := attributes.labels.of_kind("binary")):
        scored = bool(np.ptp(attributes.y[codes.split == TEST][:, binary], axis=0).any())
        yield _chance(cell, "auroc", 0.5, scored, len(test))
        y = attributes.y[first][:, binary] > 0
        bits = -np.log2(np.where(y, y.mean(0), 1 - y.mean(0)))
        influence, note = of_columns(bits).mean(1), "entropy of the labels"
        entropy = found(float(bits.mean()), influence, codes, first, note)
        yield from Measured(cell, codes).rows(cell, "code_length", {MEAN: entropy})
    if discrete := labels.of_kind(*DISCRETE):
        yield _chance_of_knn(cell, of_test.of([k for k in discrete if varied[k]]), test)
    if numeric := labels.of_kind(*NUMERIC):
        yield _chance(cell, "ridge_r2", 0.0, bool(varied[numeric].any()), len(test))


def _chance(cell: Cell, metric: str, value: float, scored: bool, n: int) -> Record:
    """What guesses score on any labels, if there are labels that systems are scored on."""
    return cell.row(metric, value, n=n) if scored else cell.row(metric, None, note=ALL_SAME)


def _chance_of_knn(cell: Cell, labels: Labels, test: Selection) -> Record:
    """The mean over these labels of what guesses score on the test images."""
    if not labels.names:
        return cell.row("knn", None, note=ALL_SAME)
    columns = zip(labels.values.T, labels.kinds, strict=True)
    hits = [_guessed(column, kind) for column, kind in columns]
    mean = test.units.mean(np.mean(hits, axis=0))
    if {*labels.kinds} == {"binary"}:
        mean = Estimate(mean.value, n=mean.n)
    return cell.record("knn", replace(mean, scores=None))


def _guessed(column: Floats, kind: str) -> Floats:
    """What the most frequent value scores on each image: of binary labels balanced, a half."""
    return np.full(len(column), 0.5) if kind == "binary" else column == mode(column).mode


def _headline(context: Context) -> str:
    """AUROC where there are attributes, else what the labels allow."""
    if context.dataset.labelled:
        return "auroc"
    return "knn" if {*context.dataset.factors([0]).kinds}.intersection(DISCRETE) else "ridge_r2"


BENCHMARK = Benchmark(
    name="representation",
    headline=_headline,
    needs=frozenset({SEMANTIC}),
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
            metrics=("auroc", "knn", "ridge_r2", "code_length", "rankme", "participation"),
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
