"""Linear probes: what a code contains about the attributes (paper, Section 5.3 and Appendix E).

One logistic regression per attribute, all fitted jointly on the training split; the regularisation
is chosen on the validation split and the scores are taken on the test split. Where the attributes
are exclusive classes, also one multinomial logistic regression of all, by its top-1 accuracy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.core.images import features_of
from benchmarks.core.measurement import Numbers
from benchmarks.metrics.codes import probes
from benchmarks.metrics.codes.data import Floats
from benchmarks.plugin import Arrays, Benchmark, Context, Measurement, Place, TableSpec, Variant
from benchmarks.systems.protocol.base import SEMANTIC, System, reading_of
from benchmarks.tasks.shared import probe_fits
from diffae.data.portraits.attributes import ATTRIBUTES
from reports.records.record import Record

TABLE = "section5.3_probe"


def run(context: Context, system: System) -> Iterator[Measurement]:
    fields: dict[str, int | str] = {**probe_fits.counts_of_splits(context), **reading_of(system)}
    if has_other_attributes(context):
        fields["attributes"] = f"{len(context.dataset.attribute_names):,}, not CelebA's 40"
    place = Place(context, TABLE, system, fields=fields)
    features = context.codes.features(system, probe_fits.selections(context)[2])
    binary = partial(_scores, place.also(probe=probe_fits.BINARY))
    yield Measurement([probe_fits.fit(context, system), features], binary)
    if probe_fits.of_classes(context):
        top = partial(_top, place.also(probe=probe_fits.SOFTMAX))
        yield Measurement([probe_fits.fit(context, system, exclusive=True), features], top)
    if context.sizes(probe_fits.Sizes).adam_paper:
        adam = place.also(probe=probe_fits.ADAM).at(title=f"{system.title}, Adam probe")
        yield Measurement([probe_fits.fit_adam(context, system), features], partial(_scores, adam))


def beside(context: Context, measured: Sequence[Record]) -> Iterator[Measurement]:
    """What guesses score by the shares of the labels, unless these are CelebA's 40: the tables of the
    paper have no such row.
    """
    if has_other_attributes(context) and any(record.value is not None for record in measured):
        yield Measurement([], partial(_of_chance, context))


def has_other_attributes(context: Context) -> bool:
    """Whether the attributes are not CelebA's 40."""
    return {*context.dataset.attribute_names} != {*ATTRIBUTES}


def _of_chance(context: Context) -> Numbers:
    test = probe_fits.selections(context)[2]
    logits = probes.guessed_logits(test.labels)
    nothing = Variant(context, System(), None)
    fields = {"chance": "guesses by the shares of the labels"}
    place = Place(context, TABLE, nothing, probes.CHANCE, fields=fields)
    numbers = list(_of_attributes(place, logits))
    if probe_fits.of_classes(context):
        numbers += place.numbers(
            probes.estimates_of_classes(logits, test.labels, test.units, test.labels)
        )
    for at, metric, estimate in numbers:
        # a mean over images, such as top-1 accuracy, has the error of a mean whoever guesses
        is_mean = estimate.scores is not None
        yield at, metric, estimate if is_mean else replace(estimate, influences=(), error=None)


def _scores(place: Place, probe: Arrays, codes: Arrays) -> Numbers:
    return _of_attributes(place, probe_fits.probe_of(probe).logits(features_of(codes)).numpy())


def _of_attributes(place: Place, logits: Floats) -> Numbers:
    """Means over the attributes, then the scores of each, which are means over one."""
    names, test = place.context.dataset.attribute_names, probe_fits.selections(place.context)[2]
    is_exclusive = probe_fits.of_classes(place.context)
    each = probes.estimates_of_attributes(logits, test.labels, names, test.units, is_exclusive)
    for setting, estimates in each.items():
        yield from place.at(setting=setting).numbers(estimates)


def _top(place: Place, probe: Arrays, codes: Arrays) -> Numbers:
    """Top-k accuracy of exclusive classes."""
    train, _, test = probe_fits.selections(place.context)
    logits = probe_fits.probe_of(probe).logits(features_of(codes)).numpy()
    return place.numbers(probes.estimates_of_classes(logits, test.labels, test.units, train.labels))


BENCHMARK = Benchmark(
    name="probes",
    headline=lambda context: "auroc",
    needs=frozenset({SEMANTIC}),
    random=False,
    run=run,
    beside=beside,
    sizes=probe_fits.Sizes,
    labelled=True,
    learns=True,
    tables=(
        TableSpec(
            name=TABLE,
            title="Section 5.3: linear probes",
            caption=(
                "Linear classifiers of the attributes on each code, scored on held-out images; of "
                "exclusive classes also the accuracy of one classifier of all."
            ),
            rows=("system",),
            columns=("metric", "setting"),
            metrics=("auroc", "top1", "top5", "ap", "accuracy"),
            settings=("", probes.MEAN, probes.WEIGHTED),
            headline=("auroc", "top1"),
            headline_settings=(probes.MEAN, probes.WEIGHTED),
            plots=(),
            order=30,
        ),
        TableSpec(
            name=f"{TABLE}_attributes",
            title="Section 5.3: linear probes by attribute",
            caption="The scores behind the means, one row per attribute.",
            source=TABLE,
            rows=("setting",),
            setting_header="attribute",
            columns=("system",),
            metrics=("auroc", "ap", "accuracy"),
            panels=True,
            without_settings=("", probes.MEAN, probes.WEIGHTED),
            order=31,
        ),
    ),
)
