"""Linear probes: what a code contains about the attributes (paper, Section 5.3 and Appendix E).

One logistic regression per attribute, all fitted jointly on the training split; the regularisation
is chosen on the validation split and the scores are taken on the test split. Where the attributes
are exclusive classes, also one multinomial logistic regression of all, by its top-1 accuracy.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.plugin import Benchmark, Cell, Context, Measurement, Record, Selection, TableSpec
from benchmarks.systems.protocol.base import SEMANTIC, System, reading_of
from benchmarks.tasks.shared import probe_fits
from benchmarks.tasks.shared.probe_fits import ADAM, MEAN, WEIGHTED, Sizes, of_classes, selections
from diffae.data.portraits.attributes import ATTRIBUTES
from probes import LinearProbe, influences, summarise, top_hits

TABLE = "section5.3_probe"
LISTED = 40  # exclusive classes with rows of their own, at most; of more only the means have rows
TOP = (1, 5)  # k of top-k accuracy


def run(context: Context, system: System) -> Iterator[Measurement]:
    train, valid, test = selections(context)
    sizes: dict[str, Any] = {"n_train": len(train), "n_valid": len(valid), "n_test": len(test)}
    if {*(names := context.dataset.attribute_names)} != {*ATTRIBUTES}:
        sizes |= {"attributes": f"{len(names):,}, not CelebA's 40"}
    cell = Cell(context, TABLE, system, fields={**sizes, **reading_of(system)})
    for images in (train, valid):  # what probes are fitted on, so that a dry run counts it
        context.codes.features(system, images)
    features = context.codes.features(system, test)

    def reduce() -> Iterator[Record]:
        ours, probe = cell.also(probe=probe_fits.BINARY), probe_fits.fit(context, system)
        yield from _scores(ours, probe, features, test)
        if of_classes(context):
            probe = probe_fits.fit(context, system, exclusive=True)
            yield from _top(cell.also(probe=probe_fits.SOFTMAX), probe, features)
        if context.sizes(Sizes).adam_paper:
            ours = cell.also(probe=ADAM).but(title=f"{system.title}, Adam probe")
            yield from _scores(ours, probe_fits.fit_adam(context, system), features, test)

    yield Measurement([], reduce, list(probe_fits.fits(context, context.sizes(Sizes).adam_paper)))


def _scores(cell: Cell, probe: LinearProbe, features: Tensor, test: Selection) -> Iterator[Record]:
    """Means over the attributes, then the scores of each, which are means over one."""
    names, logits = cell.context.dataset.attribute_names, probe.logits(features).numpy()
    summary = summarise(logits, test.labels, names)
    defined = np.array([score.name not in summary.excluded for score in summary.attributes])
    weights = np.array([score.prevalence for score in summary.attributes])
    listed = len(names) <= LISTED or not of_classes(cell.context)
    undefined = ", ".join(summary.excluded) if listed else f"{len(summary.excluded)} classes"
    notes = [f"of {len(names):,} attributes"] if len(names) > LISTED else []
    excluded = "; ".join([*notes, *([f"undefined: {undefined}"] if summary.excluded else [])])
    numbers = [
        ("auroc", summary.mean_auroc, MEAN, 1.0 * defined, excluded),
        ("auroc", summary.weighted_auroc, WEIGHTED, weights * defined, excluded),
        ("ap", summary.mean_ap, MEAN, 1.0 * defined, excluded),
        ("accuracy", summary.mean_accuracy, MEAN, np.ones(len(names)), excluded),
    ]
    for score, alone in zip(summary.attributes, np.eye(len(names)), strict=True) if listed else ():
        one_class = "" if np.isfinite(score.auroc) else "only one class in the test split"
        numbers.append(("auroc", score.auroc, score.name, alone, one_class))
        numbers.append(("ap", score.ap, score.name, alone, one_class))
        numbers.append(("accuracy", score.accuracy, score.name, alone, ""))
    moved = np.zeros((len(numbers), len(test)))
    for start in range(0, len(names), LISTED):  # the influences of 1,000 classes fill the memory
        part = slice(start, start + LISTED)
        influence = influences(logits[:, part], test.labels[:, part])
        for total, (metric, _, _, weight, _) in zip(moved, numbers, strict=True):
            total += _weighted(influence[metric], weight, part)
    for (metric, value, setting, _, note), total in zip(numbers, moved, strict=True):
        known = bool(np.isfinite(value))
        error = test.units.influences(total) if known else ()
        given: dict[str, Any] = {"setting": setting, "n": len(test), "note": note}
        yield cell.row(metric, value if known else None, error, **given)


def _weighted(influence: np.ndarray, weights: np.ndarray, part: slice) -> np.ndarray:
    """The share of some attributes in the influence [N] on a weighted mean of all.

    `influence` [N, part] is that on each of them, `weights` [A] are those of all. Weight 0 leaves
    an attribute out.
    """
    kept = weights[part] > 0
    return influence[:, kept] @ (weights[part][kept] / weights[weights > 0].sum())


def _top(cell: Cell, probe: LinearProbe, features: Tensor) -> Iterator[Record]:
    """Top-k accuracy of exclusive classes, with a note where classes have too few training images."""
    train, _, test = selections(cell.context)
    logits = probe.logits(features).numpy()
    hits = {f"top{k}": top_hits(logits, test.labels, k) for k in TOP if k < logits.shape[1]}
    few = int((train.labels.sum(axis=0) < 2).sum())
    note = f"{few} classes have fewer than two of the {len(train):,} training images" if few else ""
    yield from cell.means(test, hits, note=note)


BENCHMARK = Benchmark(
    name="probes",
    headline=lambda context: "auroc",
    needs=frozenset({SEMANTIC}),
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
