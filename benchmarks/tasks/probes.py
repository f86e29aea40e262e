"""Linear probes: what a code contains about the attributes (paper, Section 5.3 and Appendix E).

One logistic regression per attribute, all fitted jointly on the training split; the regularisation
is chosen on the validation split and the scores are taken on the test split. Where the attributes
are exclusive classes, also one multinomial logistic regression of all, by its top-1 accuracy.
"""

from collections.abc import Iterator

from torch import Tensor

from benchmarks.metrics.codes.probes import (
    MEAN,
    WEIGHTED,
    estimates_of_attributes,
    estimates_of_classes,
)
from benchmarks.plugin import Benchmark, Cell, Context, Measurement, Record, Selection, TableSpec
from benchmarks.systems.protocol.base import SEMANTIC, System, reading_of
from benchmarks.tasks.shared import probe_fits
from benchmarks.tasks.shared.probe_fits import ADAM, Sizes, counts_of_splits, of_classes, selections
from diffae.data.portraits.attributes import ATTRIBUTES
from probes import LinearProbe

TABLE = "section5.3_probe"


def run(context: Context, system: System) -> Iterator[Measurement]:
    train, valid, test = selections(context)
    fields: dict[str, int | str] = {**counts_of_splits(context), **reading_of(system)}
    if {*(names := context.dataset.attribute_names)} != {*ATTRIBUTES}:
        fields["attributes"] = f"{len(names):,}, not CelebA's 40"
    cell = Cell(context, TABLE, system, fields=fields)
    for images in (train, valid):  # what probes are fitted on, so that a dry run counts it
        context.codes.features(system, images)
    features = context.codes.features(system, test)

    def reduce() -> Iterator[Record]:
        probe = probe_fits.fit(context, system)
        yield from _scores(cell.also(probe=probe_fits.BINARY), probe, features, test)
        if of_classes(context):
            probe = probe_fits.fit(context, system, exclusive=True)
            yield from _top(cell.also(probe=probe_fits.SOFTMAX), probe, features)
        if context.sizes(Sizes).adam_paper:
            adam = cell.also(probe=ADAM).but(title=f"{system.title}, Adam probe")
            yield from _scores(adam, probe_fits.fit_adam(context, system), features, test)

    yield Measurement([], reduce, list(probe_fits.fits(context, context.sizes(Sizes).adam_paper)))


def _scores(cell: Cell, probe: LinearProbe, features: Tensor, test: Selection) -> Iterator[Record]:
    """Means over the attributes, then the scores of each, which are means over one."""
    names, logits = cell.context.dataset.attribute_names, probe.logits(features).numpy()
    is_exclusive = of_classes(cell.context)
    each = estimates_of_attributes(logits, test.labels, names, test.units, is_exclusive)
    for setting, estimates in each.items():
        yield from cell.records(estimates, setting=setting)


def _top(cell: Cell, probe: LinearProbe, features: Tensor) -> Iterator[Record]:
    """Top-k accuracy of exclusive classes."""
    train, _, test = selections(cell.context)
    logits = probe.logits(features).numpy()
    yield from cell.records(estimates_of_classes(logits, test.labels, test.units, train.labels))


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
