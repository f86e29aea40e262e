"""A run: open systems and data, measure every benchmark, fill the run folder; or only plan it."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks import weights
from benchmarks.commands import dry_run, saved_codes
from benchmarks.commands.planned import unread
from benchmarks.commands.progress import CommandProgress
from benchmarks.core.context import Context
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner import run_folder
from benchmarks.core.runner.evaluation import Evaluation, prepare
from benchmarks.core.runner.loop import measure
from benchmarks.core.runner.request import Options
from benchmarks.core.runner.setup import comparison
from benchmarks.core.store import Store, default_root
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.runtime.precision import precision, refuse_what_cannot_be
from diffae.data.tables import alike_labels
from diffae.system import cli, distributed
from diffae.system.allocation import keep_freed_memory
from diffae.system.errors import UserError
from diffae.system.files import hash_of
from reports.page.summary import summary
from reports.records.metrics import FEATURE_NETWORKS, METRICS, published_name
from reports.records.reading import grouped, named, number_of
from reports.records.run_folder import PAGE, PICTURES, RECORDS, SAMPLES, TABLES, Run
from reports.tables.build import read

RUNS = Path("runs")  # where folders are that nobody chose


def run_or_plan(options: Options) -> None:
    """Execute `python -m benchmarks.run` with the options that were read."""
    distributed.take_gpu(options.device)
    refuse_what_cannot_be(options.precision, options.device)
    place = options.out or RUNS / "DATA-PROFILE-ID"
    saved_codes.refuse(options, place)
    keep_freed_memory()
    with precision(options.precision):
        if options.dry_run:
            plan(options)
        else:
            run(options)


def plan(options: Options) -> None:
    """Print what a run would compute. Nothing is written, and only the first image is read.

    Raises UserError if a system fails, or nothing can be measured.
    """
    evaluation = prepare(options, Store(default_root(), options.fresh))
    context = evaluation.context
    context.dataset = unread(context.dataset, is_quick=options.data is None)  # portraits are few
    if distributed.is_main():
        announce(evaluation, options.benchmarks)
        text, failed = dry_run.report(context, options.benchmarks, evaluation.systems)
        print(text)
        missing = evaluation.missing.items()
        failures = [
            named(title, str(why)) for title, why in missing if isinstance(why, SystemFailed)
        ]
        failures += [named(each.system, each.reason) for each in failed]
        if failures:
            raise UserError(f"the run would fail: {'; '.join(dict.fromkeys(failures))}")


def run(options: Options) -> None:
    """Run the benchmarks of `options`."""
    store = Store(default_root(), options.fresh)
    store.make()
    with distributed.main_first():
        evaluation = prepare(options, store)
        # while the other processes wait: they read its result from the store
        _ = evaluation.context.dataset.survey
    settings = run_folder.settings(options, evaluation)
    data, profile = evaluation.context.dataset.name, evaluation.context.profile.name
    out = options.out or RUNS / f"{data}-{profile}-{hash_of(settings)[:8]}"
    if distributed.is_main():
        announce(evaluation, options.benchmarks)
        announce_images(evaluation)
    measured = run_folder.new_run(out, evaluation, settings)
    with run_folder.recording(measured, evaluation, options) as recorder:
        with closing(CommandProgress(evaluation, options.benchmarks)) as progress:
            for _ in measure(evaluation, options.benchmarks, recorder, progress):
                pass  # the run has them
        if options.save_codes is not None:
            saved_codes.save(options.save_codes, evaluation)
    if distributed.is_main():
        print_summary(out)
    _tell_failures(measured)


def print_summary(out: Path) -> None:
    """Print the main results of a finished run on stdout, in a few lines, and where the rest is."""
    tables = len(list((out / TABLES).glob("*.md")))
    print("\n".join(map(cli.printable, summary(read([out])))))
    print(f"\nreport:  {out / PAGE}")
    rest = f"{RECORDS}, {SAMPLES}, {PICTURES}/"
    print(f"tables:  {out / TABLES / 'overview.md'} and {tables - 1} more; {rest}")


def _tell_failures(measured: Run) -> None:
    """Print on stderr what failed, and why nothing was measured.

    Raises UserError in both cases: a run that lacks numbers must not end with status 0.
    """
    failures = measured.failures
    for (system, why), alike in grouped(failures, lambda row: (row.system, row.note)).items():
        names = ", ".join(dict.fromkeys(row.benchmark for row in alike))
        word = "failed" if any(row.failed for row in alike) else "not measured"
        cli.say(cli.printable(f"{word}: {named(system, why)} ({names})"))
    if count := len(failures):
        distributed.barrier()
        if not measured.has_measured:
            raise UserError(
                f"nothing was measured, see above; {measured.folder} has the reasons too"
            )
        failed = number_of(count, "measurement")
        raise UserError(f"{failed} failed, see above; the others are in {measured.folder}")


# ----------------------------------------------------------------------------------------------
# What is said on stderr before anything is computed


def announce(evaluation: Evaluation, benchmarks: Sequence[str]) -> None:
    """Print on stderr, before anything is computed, what the run will and will not report."""
    context, dataset = evaluation.context, evaluation.context.dataset
    say = [
        f"data: {dataset.name}, {len(dataset):,} images, {dataset.image_size} px; split: {dataset.partition_source}"
    ]
    if suite := context.options.suite:
        say.append(f"suite: {suite['name']}, SHA-256 {suite['sha256']}")
    say += [f"left out: {line}" for line in dataset.left_out]
    say.append(f"systems: {', '.join(system.title for system in evaluation.systems)}")
    say += [sizes["text"]] if (sizes := comparison(context, evaluation.systems)) else []
    if fewer := [name for name in context.profile.fewer if name.partition(".")[0] in benchmarks]:
        side, task = dataset.image_size, fewer[0].partition(".")[0]
        say.append(f"fewer images of {side} px: {', '.join(fewer)}; --set {task}.pixels=0 for all")
    say += [f"not run: {named(title, str(reason))}" for title, reason in evaluation.missing.items()]
    say += [_networks(context, benchmarks), *_weights(context)]
    say += _without_labels(context, benchmarks)
    say += [f"labels: {note}"] if (note := alike_labels(context.dataset.attribute_names)) else []
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
    # those that a run uses by default and that can be fetched
    usual = [
        n for n, kind in weights.KNOWN.items() if kind.is_fetched and n not in FEATURE_NETWORKS
    ]
    absent = [n for n in usual if weights.find(n, context.choice.weights_dir) is None]
    remedy = "(`python -m benchmarks.run weights NAME` fetches; `... doctor` says what each is for)"
    return [f"missing metric weights: {', '.join(absent)} {remedy}"] if absent else []


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
