"""Linear probes: what a code contains about the attributes (paper, Section 5.3 and Appendix E).

One logistic regression per attribute, all fitted jointly on the training split; the regularisation
is chosen on the validation split and the scores are taken on the test split.
"""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work
from benchmarks.core.rows import Protocol
from benchmarks.core.selection import Selection
from benchmarks.systems.protocol.base import SEMANTIC, System, reading_of
from benchmarks.tasks.shared.probe_fits import (
    ADAM,
    GRID,
    MEAN,
    WEIGHTED,
    Sizes,
    fit,
    fit_adam,
    means,
    plan_fit,
    selections,
)
from probes import LinearProbe, influences, summarise
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import UNKNOWN

TABLE = "section5.3_probe"


def run(context: Context, system: System) -> Iterator[Record]:
    train, valid, test = selections(context)
    features = context.codes.features(system, test)
    sizes = {"n_train": len(train), "n_valid": len(valid), "n_test": len(test)}
    reading = reading_of(system)

    probe = fit(context, system)
    protocol = context.protocol(
        "probes", probe=f"joint L-BFGS, C of {GRID} by validation", **sizes, **reading
    )
    yield from _records(context, probe, features, test, protocol, system.title)
    if context.sizes(Sizes).adam_paper:
        probe = fit_adam(context, system)
        protocol = context.protocol("probes", probe=ADAM, **sizes, **reading)
        title = f"{system.title}, Adam probe"
        yield from _records(context, probe, features, test, protocol, title)


def _records(
    context: Context,
    probe: LinearProbe,
    features: Tensor,
    test: Selection,
    protocol: Protocol,
    title: str,
) -> Iterator[Record]:
    names, logits = context.dataset.attribute_names, probe.logits(features).numpy()
    summary = summarise(logits, test.labels, names)
    influence = influences(logits, test.labels)
    excluded = f"undefined: {', '.join(summary.excluded)}" if summary.excluded else ""

    def row(metric: str, value: float, setting: str, moved: np.ndarray, note: str = "") -> Record:
        known = np.isfinite(value)
        return context.record(
            "probes",
            TABLE,
            title,
            metric,
            value if known else None,
            setting=setting,
            uncertainty=test.uncertainty(moved) if known else UNKNOWN,
            n=len(test),
            protocol=protocol,
            note=note,
        )

    defined = np.array([score.name not in summary.excluded for score in summary.attributes])
    weights = np.array([score.prevalence for score in summary.attributes])
    for metric, value, setting, weight in (
        ("auroc", summary.mean_auroc, MEAN, 1.0 * defined),
        ("auroc", summary.weighted_auroc, WEIGHTED, weights * defined),
        ("ap", summary.mean_ap, MEAN, 1.0 * defined),
        ("accuracy", summary.mean_accuracy, MEAN, np.ones(len(names))),
    ):
        yield row(metric, value, setting, _weighted(influence[metric], weight), excluded)
    for column, score in enumerate(summary.attributes):
        one_class = "" if np.isfinite(score.auroc) else "only one class in the test split"
        yield row("auroc", score.auroc, score.name, influence["auroc"][:, column], one_class)
        yield row("ap", score.ap, score.name, influence["ap"][:, column], one_class)
        yield row("accuracy", score.accuracy, score.name, influence["accuracy"][:, column])


def _weighted(influence: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Influence [N] on the weighted mean of attributes, from that [N, A] on each.

    Weight 0 leaves an attribute out.
    """
    kept = weights > 0
    return influence[:, kept] @ (weights[kept] / weights[kept].sum())


def plan(context: Context, system: System) -> Iterator[Work]:
    yield from plan_fit(context, system)
    if context.sizes(Sizes).adam_paper:
        train, _, _ = selections(context)
        yield Work(f"fit: Adam, 9,375 steps of 32; {means(context)}", len(train), Calls())


BENCHMARK = Benchmark(
    name="probes",
    table=TABLE,
    headline=lambda context: "auroc",
    needs=frozenset({SEMANTIC}),
    run=run,
    plan=plan,
    sizes=Sizes,
    labelled=True,
    tables=(
        TableSpec(
            name=TABLE,
            title="Section 5.3: linear probes",
            caption="Linear classifiers of the attributes on each code, scored on held-out images.",
            rows=("system",),
            columns=("metric", "setting"),
            metrics=("auroc", "ap", "accuracy"),
            settings=("", MEAN, WEIGHTED),
            headline=("auroc",),
            headline_settings=(MEAN, WEIGHTED),
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
