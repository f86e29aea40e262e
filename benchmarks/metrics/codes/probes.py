"""Scores of linear probes by their logits, and what guesses score that know nothing of the images."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mode

from benchmarks.metrics.codes.data import Floats, LabelColumns
from benchmarks.metrics.codes.errors import ALL_SAME, undefined
from benchmarks.metrics.group import Group
from benchmarks.metrics.units import Units
from probes import influences, summarise, top_hits
from probes.scores import Summary
from reports.records.estimate import Estimate

MEAN, WEIGHTED = "mean", "prevalence-weighted mean"
LISTED = 40  # exclusive classes with estimates of their own, at most; of more there are only means
TOP = (1, 5)  # k of top-k accuracy
ONE_CLASS = "only one class in the test split"
NO_BOTH = "no attribute has both values in the test split"
CHANCE = "chance"  # the row of guesses
LEAST_SHARE = 1e-9  # so that logits are finite
Bools = NDArray[np.bool_]


def mean_auroc(logits: Floats, labels: Bools, names: Sequence[str], units: Units) -> Estimate:
    """The mean AUROC of the attributes [n, A] that have both values."""
    summary = summarise(logits, labels, names)
    defined = np.isfinite([score.auroc for score in summary.attributes])
    if not defined.any():
        return undefined(NO_BOTH)
    influence = influences(logits, labels)["auroc"][:, defined].mean(1)
    return Estimate(summary.mean_auroc, units.influences(influence), n=len(units))


def estimates_of_attributes(
    logits: Floats, labels: Bools, names: Sequence[str], units: Units, exclusive: bool = False
) -> dict[str, dict[str, Estimate]]:
    """AUROC, average precision and accuracy, by setting: means over attributes, and each attribute alone
    unless they are many `exclusive` classes.
    """
    listed = len(names) <= LISTED or not exclusive
    summary = summarise(logits, labels, names)
    defined = np.array([score.name not in summary.excluded for score in summary.attributes])
    shares = np.array([score.prevalence for score in summary.attributes])
    numbers = [  # setting, metric, value, weights of the attributes
        (MEAN, "auroc", summary.mean_auroc, 1.0 * defined),
        (WEIGHTED, "auroc", summary.weighted_auroc, shares * defined),
        (MEAN, "ap", summary.mean_ap, 1.0 * defined),
        (MEAN, "accuracy", summary.mean_accuracy, np.ones(len(names))),
    ]
    for score, alone in zip(summary.attributes, np.eye(len(names)), strict=True) if listed else ():
        numbers.append((score.name, "auroc", score.auroc, alone))
        numbers.append((score.name, "ap", score.ap, alone))
        numbers.append((score.name, "accuracy", score.accuracy, alone))
    totals = np.zeros((len(numbers), len(units)))
    for start in range(0, len(names), LISTED):  # influences of 1,000 classes fill the memory
        part = slice(start, start + LISTED)
        of_part = influences(logits[:, part], labels[:, part])
        for total, (_, metric, _, weights) in zip(totals, numbers, strict=True):
            total += _weighted(of_part[metric], weights, part)
    note = _excluded(summary, names, listed)
    estimates: dict[str, dict[str, Estimate]] = {}
    for (setting, metric, value, _), total in zip(numbers, totals, strict=True):
        about = note if setting in (MEAN, WEIGHTED) else ""
        estimate = undefined(about or ONE_CLASS)
        if np.isfinite(value):
            notes = (about,) if about else ()
            estimate = Estimate(value, units.influences(total), n=len(units), notes=notes)
        estimates.setdefault(setting, {})[metric] = estimate
    return estimates


def means_over_attributes(
    logits: Floats, labels: Bools, names: Sequence[str], units: Units
) -> dict[str, Estimate]:
    """The means over attributes of AUROC, average precision and accuracy."""
    return estimates_of_attributes(logits, labels, names, units, exclusive=True)[MEAN]


def _excluded(summary: Summary, names: Sequence[str], listed: bool) -> str:
    """A note of how many attributes there are, if many, and of those without AUROC."""
    notes = [f"of {len(names):,} attributes"] if len(names) > LISTED else []
    if summary.excluded:
        classes = f"{len(summary.excluded)} classes"
        notes.append(f"undefined: {', '.join(summary.excluded) if listed else classes}")
    return "; ".join(notes)


def _weighted(influence: Floats, weights: Floats, part: slice) -> Floats:
    """The share of some attributes in the influence [N] on a weighted mean of all.

    `influence` [N, part] is that on each of them, `weights` [A] are those of all. Weight 0 leaves
    an attribute out.
    """
    kept = weights[part] > 0
    return influence[:, kept] @ (weights[part][kept] / weights[weights > 0].sum())


def estimates_of_classes(
    logits: Floats, labels: Bools, units: Units, training_labels: Bools
) -> dict[str, Estimate]:
    """Top-k accuracy of exclusive classes, with a note where classes have too few training images."""
    few = int((training_labels.sum(axis=0) < 2).sum())
    images = f"{len(training_labels):,} training images"
    notes = (f"{few} classes have fewer than two of the {images}",) if few else ()
    hits = {f"top{k}": top_hits(logits, labels, k) for k in TOP if k < logits.shape[1]}
    return {name: replace(units.mean(values), notes=notes) for name, values in hits.items()}


# ----------------------------------------------------------------------------------------------
# Guesses


def guesses(value: float, n: int, is_scored: bool) -> Estimate:
    """What guesses score on any labels, where there are labels that systems are scored on."""
    return Estimate(value, n=n) if is_scored else undefined(ALL_SAME)


def guessed_logits(labels: Bools) -> Floats:
    """The same logits for all images [n, A]: those of the shares of the attributes in the labels."""
    share = np.clip(labels.mean(axis=0), LEAST_SHARE, 1 - LEAST_SHARE)
    return np.broadcast_to(np.log(share / (1 - share)), labels.shape)


def most_frequent(labels: LabelColumns, units: Units) -> Estimate:
    """The mean over labels of the accuracy of the most frequent value; of binary labels, whose
    accuracy is balanced, a half.
    """
    if not labels.names:
        return undefined(ALL_SAME)
    columns = zip(labels.values.T, labels.kinds, strict=True)
    hits = np.mean([_guessed(column, kind) for column, kind in columns], axis=0)
    mean = replace(units.mean(hits), scores=None)
    return Estimate(mean.value, n=mean.n) if {*labels.kinds} == {"binary"} else mean


def _guessed(column: Floats, kind: str) -> Floats:
    """What the most frequent value scores on each image: of binary labels balanced, a half."""
    return np.full(len(column), 0.5) if kind == "binary" else column == mode(column).mode


# AUROC and average precision are also metrics of codes and labels (`invariant.linear`).
GROUPS = (
    Group(("accuracy",), "logits and labels", means_over_attributes),
    Group(("top1", "top5"), "logits and labels", estimates_of_classes),
)
