"""Announcements of a run on stderr: its data and systems, and what it can and cannot measure."""

from collections.abc import Sequence

from benchmarks import weights
from benchmarks.core.context import Context
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.runtime.errors import NotAvailable
from diffae.system import cli
from reports.records.metrics import FEATURE_NETWORKS, METRICS, published_name
from reports.records.reading import named


def announce(evaluation: Evaluation, benchmarks: Sequence[str]) -> None:
    """Print on stderr, before anything is computed, what the run will and will not report."""
    context, dataset = evaluation.context, evaluation.context.dataset
    say = [
        f"data: {dataset.name}, {len(dataset):,} images, {dataset.image_size} px; split: {dataset.partition_source}"
    ]
    say += [f"left out: {line}" for line in dataset.left_out]
    say.append(f"systems: {', '.join(system.title for system in evaluation.systems)}")
    say += [f"not run: {named(title, str(reason))}" for title, reason in evaluation.missing.items()]
    say += [_networks(context, benchmarks), *_weights(context)]
    say += _without_labels(context, benchmarks)
    cli.say("\n".join(say))


def _networks(context: Context, benchmarks: Sequence[str]) -> str:
    """The available metric networks by their metrics, and the metric that each stand-in replaces."""
    names = [context.networks.perceptual.metric_name]
    names += [network.metric_name for network in context.networks.features]
    try:
        if "identity" in benchmarks:
            names.append(context.networks.face.metric_name)
        absent = ""
    except NotAvailable as reason:
        absent = f"; no identity: {reason}"
    return f"metrics: {', '.join(_stands_for(name, names) for name in names)}{absent}"


def _stands_for(metric: str, measured: Sequence[str]) -> str:
    published = published_name(metric)
    return metric if published in measured else f"{metric} (in place of {METRICS[published].label})"


def _weights(context: Context) -> list[str]:
    """One line on the weights that are missing, or left out, and what to do about it."""
    if context.choice.stand_ins:
        return ["metric weights: only those that packages hold (--stand-ins)"]
    absent = [name for name in weights.KNOWN if _is_missed(name, context)]
    how = "(`python -m benchmarks.run weights NAME` fetches; `... doctor` says what each is for)"
    return [f"missing metric weights: {', '.join(absent)} {how}"] if absent else []


def _is_missed(name: str, context: Context) -> bool:
    """Whether weights that a run uses by default, and that can be fetched, are not here."""
    usual = weights.KNOWN[name].is_fetched and name not in FEATURE_NETWORKS
    return usual and weights.find(name, context.choice.weights_dir) is None


def _without_labels(context: Context, benchmarks: Sequence[str]) -> list[str]:
    """The benchmarks that need labels when the data has none."""
    labelled = [name for name in benchmarks if REGISTRY.get(name).labelled]
    if context.dataset.labelled or not labelled:
        return []
    others = [name for name in benchmarks if name not in labelled]
    measured = f"; measured: {', '.join(others)}" if others else ""
    return [f"the images have no labels, which {', '.join(labelled)} need{measured}"]


def announce_images(evaluation: Evaluation) -> None:
    """Print what only reading all images shows: files of an unusual kind, and models trained on them."""
    note = evaluation.context.dataset.survey.note
    say = [f"files: {note}"] if note else []
    say += [f"{title}: {text}" for title, text in evaluation.seen_in_training().items()]
    if say:
        cli.say("\n".join(say))
