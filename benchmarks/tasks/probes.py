"""Linear probes: what a code contains about the attributes (paper, Section 5.3 and Appendix E).

One logistic regression per attribute, all fitted jointly on the training split; the regularisation
is chosen on the validation split and the scores are taken on the test split. Where the attributes
are exclusive classes, also one multinomial logistic regression of all, by its top-1 accuracy.
"""

from collections.abc import Callable, Iterator

from torch import Tensor

from benchmarks.core.images import Selection, features_of
from benchmarks.core.measurement import Numbers
from benchmarks.metrics.codes.probes import (
    MEAN,
    WEIGHTED,
    estimates_of_attributes,
    estimates_of_classes,
)
from benchmarks.plugin import Arrays, Benchmark, Context, Measurement, Place, TableSpec
from benchmarks.systems.protocol.base import SEMANTIC, System, reading_of
from benchmarks.tasks.shared.probe_fits import (
    ADAM,
    BINARY,
    SOFTMAX,
    Sizes,
    counts_of_splits,
    fit,
    fit_adam,
    of_classes,
    probe_of,
    selections,
)
from diffae.data.portraits.attributes import ATTRIBUTES
from probes import LinearProbe

TABLE = "section5.3_probe"


def run(context: Context, system: System) -> Iterator[Measurement]:
    test = selections(context)[2]
    fields: dict[str, int | str] = {**counts_of_splits(context), **reading_of(system)}
    if {*(names := context.dataset.attribute_names)} != {*ATTRIBUTES}:
        fields["attributes"] = f"{len(names):,}, not CelebA's 40"
    place, features = (
        Place(context, TABLE, system, fields=fields),
        context.codes.features(system, test),
    )

    def scores(place: Place) -> Callable[[Arrays, Arrays], Numbers]:
        return lambda probe, codes: _scores(place, probe_of(probe), features_of(codes), test)

    def top(probe: Arrays, codes: Arrays) -> Numbers:
        return _top(place.also(probe=SOFTMAX), probe_of(probe), features_of(codes))

    yield Measurement([fit(context, system), features], scores(place.also(probe=BINARY)))
    if of_classes(context):
        yield Measurement([fit(context, system, exclusive=True), features], top)
    if context.sizes(Sizes).adam_paper:
        adam = place.also(probe=ADAM).at(title=f"{system.title}, Adam probe")
        yield Measurement([fit_adam(context, system), features], scores(adam))


def _scores(place: Place, probe: LinearProbe, features: Tensor, test: Selection) -> Numbers:
    """Means over the attributes, then the scores of each, which are means over one."""
    names, logits = place.context.dataset.attribute_names, probe.logits(features).numpy()
    is_exclusive = of_classes(place.context)
    each = estimates_of_attributes(logits, test.labels, names, test.units, is_exclusive)
    for setting, estimates in each.items():
        yield from place.at(setting=setting).numbers(estimates)


def _top(place: Place, probe: LinearProbe, features: Tensor) -> Numbers:
    """Top-k accuracy of exclusive classes."""
    train, _, test = selections(place.context)
    logits = probe.logits(features).numpy()
    return place.numbers(estimates_of_classes(logits, test.labels, test.units, train.labels))


BENCHMARK = Benchmark(
    name="probes",
    headline=lambda context: "auroc",
    needs=frozenset({SEMANTIC}),
    random=False,
    run=run,
    sizes=Sizes,
    labelled=True,
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
            settings=("", MEAN, WEIGHTED),
            headline=("auroc", "top1"),
            headline_settings=(MEAN, WEIGHTED),
            plots=(),
            aspects=(("attributes", "auroc", MEAN),),
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
            without_settings=("", MEAN, WEIGHTED),
            order=31,
        ),
    ),
)
