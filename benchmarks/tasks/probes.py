"""Linear probes: what a code knows of the attributes (paper, Section 5.3 and Appendix E).

One logistic regression an attribute, all fitted jointly on the training split; its regularisation is chosen
on the validation split and its scores are taken on the test split.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.base import Benchmark
from benchmarks.core.context import Context, Selection
from benchmarks.core.plan import Calls, Work, semantic_codes
from benchmarks.core.store import Arrays, digest
from benchmarks.metrics.weights import NotAvailable
from benchmarks.systems.base import SEMANTIC, System
from probes import LinearProbe, fit_adam_paper, fit_best, influences, summarise
from reports.records import Record
from reports.uncertainty import UNKNOWN

TABLE = "section5.3_probe"
GRID = (1e-2, 1e-1, 1.0, 10.0)
ADAM = "Adam 1e-3, batch 32, 9375 steps (the authors', without their flips)"
MEAN, WEIGHTED = "mean", "prevalence-weighted mean"


def selections(context: Context) -> tuple[Selection, Selection, Selection]:
    """Training, validation and test images of the probes."""
    profile = context.profile
    train = context.select("train", profile.probe_train)
    valid = context.select("valid", profile.probe_valid)
    test = context.select("test", profile.probe_test)
    for split in (train, valid, test):
        if not len(split):
            raise NotAvailable(f"{context.dataset.name} has no images in its {split.split} split")
    return train, valid, test


def fit(context: Context, system: System) -> LinearProbe:
    """The probe of a system's semantic code, with the C that does best on the validation split."""
    train, valid, _ = selections(context)
    data = {
        "features": context.semantic(system, train),
        "labels": torch.from_numpy(train.labels),
        "valid_features": context.semantic(system, valid),
        "valid_labels": torch.from_numpy(valid.labels),
    }
    try:
        return _kept(
            context, {"probe": "L-BFGS", "grid": GRID}, data, lambda: fit_best(**data, grid=GRID)[0]
        )
    except ValueError as error:
        raise NotAvailable(f"{context.dataset.name}: {error}") from None


def fit_adam(context: Context, system: System) -> LinearProbe:
    """The paper's classifier of a system's semantic code, which also edits images."""
    train, _, _ = selections(context)
    features, labels = context.semantic(system, train), torch.from_numpy(train.labels)
    return _kept(
        context,
        {"probe": ADAM, "seed": context.seed},
        {"features": features, "labels": labels},
        lambda: fit_adam_paper(features, labels, seed=context.seed),
    )


def _kept(
    context: Context,
    settings: dict[str, object],
    data: dict[str, Tensor],
    fitted: Callable[[], LinearProbe],
) -> LinearProbe:
    """A fit from the store, filed under its settings and the data that it was made from."""

    def compute() -> Arrays:
        return {name: tensor.numpy() for name, tensor in asdict(fitted()).items()}

    key = {"work": "probe"} | settings
    key |= {name: digest(tensor.numpy()) for name, tensor in data.items()}
    arrays = context.store.once(key, compute)
    return LinearProbe(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def run(context: Context, system: System) -> Iterator[Record]:
    train, valid, test = selections(context)
    features = context.semantic(system, test)
    sizes = {"n_train": len(train), "n_valid": len(valid), "n_test": len(test)}

    probe = fit(context, system)
    protocol = context.protocol("probes", probe=f"joint L-BFGS, C of {GRID} by validation", **sizes)
    yield from _records(context, probe, features, test, protocol, system.title)
    if context.profile.probe_adam_paper:
        probe = fit_adam(context, system)
        protocol = context.protocol("probes", probe=ADAM, **sizes)
        title = f"{system.title}, Adam probe"
        yield from _records(context, probe, features, test, protocol, title)


def _records(
    context: Context,
    probe: LinearProbe,
    features: Tensor,
    test: Selection,
    protocol: str,
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
    """Influence [N] on the weighted mean of attributes, of that [N, A] on each; weight 0 leaves one out."""
    kept = weights > 0
    return influence[:, kept] @ (weights[kept] / weights[kept].sum())


def plan_fit(context: Context, system: System) -> Iterator[Work]:
    """What `fit` would compute."""
    parts = selections(context)
    for selection in parts:
        yield semantic_codes(system, selection.split, len(selection))
    what = f"fit: joint L-BFGS, C of {len(GRID)} values; {_means(context)}"
    yield Work(what, len(parts[0]), Calls(), shared=what)


def _means(context: Context) -> str:
    return f"{len(context.dataset.attribute_names)} attributes, {MEAN} and {WEIGHTED}"


def plan(context: Context, system: System) -> Iterator[Work]:
    yield from plan_fit(context, system)
    if context.profile.probe_adam_paper:
        train, _, _ = selections(context)
        yield Work(f"fit: Adam, 9,375 steps of 32; {_means(context)}", len(train), Calls())


BENCHMARK = Benchmark(
    name="probes",
    title="AUROC, AP and accuracy of linear probes for every attribute",
    paper="Section 5.3, Appendix E",
    table=TABLE,
    headline=lambda context: "auroc",
    needs=frozenset({SEMANTIC}),
    run=run,
    plan=plan,
    labelled=True,
    metrics=("auroc", "ap", "accuracy"),
)
