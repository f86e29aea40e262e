"""A run: open systems and data, measure every benchmark, fill the run folder; or only plan it."""

from contextlib import closing, nullcontext
from pathlib import Path

from benchmarks.commands import announce, dry_run
from benchmarks.commands.progress import CommandProgress
from benchmarks.core.runner import run_folder
from benchmarks.core.runner.evaluation import prepare
from benchmarks.core.runner.loop import measure
from benchmarks.core.runner.request import Options
from benchmarks.core.store import Store, default_root
from benchmarks.runtime.precision import precision, refuse_what_cannot_be
from diffae.system import cli, distributed
from diffae.system.allocation import keep_freed_memory
from diffae.system.errors import UserError
from diffae.system.files import Target, refuse_outputs
from reports.page.summary import summary
from reports.records.reading import named
from reports.tables.build import read


def run_or_plan(options: Options) -> None:
    """Execute `python -m benchmarks.run` with the options that were read."""
    distributed.take_gpu(options.device)
    refuse_what_cannot_be(options.precision, options.device)
    place = options.out or run_folder.RUNS / "DATA-PROFILE-ID"
    refuse_outputs([Target("--out", place, Path.is_dir)], [options.data])
    keep_freed_memory()
    with precision(options.precision):
        if options.dry_run:
            plan(options)
        else:
            run(options)


def plan(options: Options) -> None:
    """Print what a run would compute. Nothing is written, and only the first image is read."""
    evaluation = prepare(options, Store(default_root(), options.fresh))
    if distributed.is_main():
        announce.announce(evaluation, options.benchmarks)
        print(dry_run.report(evaluation.context, options.benchmarks, evaluation.systems))


def run(options: Options) -> None:
    """Run the benchmarks of `options`."""
    store = Store(default_root(), options.fresh)
    store.make()
    with distributed.main_first():
        evaluation = prepare(options, store)
        # while the other processes wait: they read its result from the store
        _ = evaluation.context.dataset.survey
    settings = run_folder.settings(options, evaluation)
    out = options.out or run_folder.default_out(evaluation.context, settings)
    if distributed.is_main():
        announce.announce(evaluation, options.benchmarks)
        announce.announce_images(evaluation)
    with run_folder.claim(out, settings) if distributed.is_main() else nullcontext():
        distributed.barrier()
        store.sweep()
        evaluation.keep_pictures(*run_folder.folders(out, options))
        folder = run_folder.RunFolder(out, evaluation, settings, options)
        with closing(CommandProgress(evaluation, options.benchmarks)) as progress:
            for _ in measure(evaluation, options.benchmarks, folder, progress):
                pass  # the folder keeps them
    if distributed.is_main():
        print_summary(out)
    _tell_failures(folder)


def print_summary(out: Path) -> None:
    """Print the main results of a finished run on stdout, in a few lines, and where the rest is."""
    tables = len(list((out / run_folder.TABLES).glob("*.md")))
    print("\n".join(map(cli.printable, summary(read([out])))))
    print(f"\nreport:  {out / run_folder.PAGE}")
    rest = f"{run_folder.RECORDS}, {run_folder.SAMPLES}, {run_folder.PICTURES}/"
    print(f"tables:  {out / run_folder.TABLES / 'overview.md'} and {tables - 1} more; {rest}")


def _tell_failures(folder: run_folder.RunFolder) -> None:
    """Print on stderr what failed.

    Raises UserError if anything did: a run that lacks numbers must not end with status 0.
    """
    benchmarks: dict[tuple[str, str], list[str]] = {}
    for failure in folder.results.failures:
        benchmarks.setdefault((failure.system, failure.note), []).append(failure.benchmark)
    for (system, reason), names in benchmarks.items():
        cli.say(cli.printable(f"failed: {named(system, reason)} ({', '.join(names)})"))
    if count := len(folder.results.failures):
        distributed.barrier()
        failed = f"{count} measurement{'s' * (count > 1)} failed"
        raise UserError(f"{failed}, see above; the others are in {folder.out}")
