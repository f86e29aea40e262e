"""What a run says on stderr at its start: what it will and will not report, and what there is to know of its data."""

from benchmarks.commands import doctor
from benchmarks.core.evaluation import Evaluation
from benchmarks.metrics.weights import NotAvailable
from diffae import cli


def announce(evaluation: Evaluation) -> None:
    """Say on stderr, before anything is computed, what the run will and will not report."""
    context = evaluation.context
    say = [
        f"data: {context.dataset.name}, {len(context.dataset)} images, {context.dataset.image_size} px"
    ]
    say.append(f"partition: {context.dataset.partition_source}")
    say += [f"left out: {line}" for line in context.dataset.left_out]
    say.append(f"systems: {', '.join(system.title for system in evaluation.systems)}")
    say += [f"not run: {title}: {reason}" for title, reason in evaluation.missing.items()]
    say += doctor.weights_report(context.weights_dir)
    say.append(
        f"perceptual distance: {context.networks.perceptual.metric_name} ({context.networks.perceptual.name})"
    )
    say.append(
        f"Frechet distance: {context.networks.features.metric_name} ({context.networks.features.name})"
    )
    try:
        say.append(f"identity: {context.networks.face.metric_name} ({context.networks.face.name})")
    except NotAvailable as reason:
        say.append(f"identity: not reported: {reason}")
    cli.say("\n".join(say))


def announce_images(evaluation: Evaluation) -> None:
    """Say what only the content of all images tells: files of an odd kind, and models that have seen them."""
    note = evaluation.context.dataset.survey.note
    say = [f"files: {note}"] if note else []
    say += [f"{title}: {text}" for title, text in evaluation.seen_in_training().items()]
    if say:
        cli.say("\n".join(say))
