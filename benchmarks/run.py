"""Measure decodable representations: every table of the paper from one command.

    python -m benchmarks.run all                          the packaged models on the portraits
    python -m benchmarks.run all --ckpt DIR --data DIR    your model on your data
    python -m benchmarks.run reconstruction probes        only these benchmarks
    python -m benchmarks.run list                         benchmarks, systems, data sets, profiles
    python -m benchmarks.run all --dry-run                what would be computed, and how long it would take
    python -m benchmarks.run doctor                       which weights are here, and where others go

Results are in --out: records.csv (one row a number), influences.npz (what each number's uncertainty is made
of), run.json (protocols, versions, hashes), tables/ and pictures/. The same command goes on where a killed run
stopped. Progress is on stderr, results on stdout.
"""

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from diffae import cli

if __name__ == "__main__":
    cli.quit_on_signals()

from benchmarks.commands import doctor, dry_run, listing
from benchmarks.commands.options import parse
from benchmarks.core import run_folder
from benchmarks.core.evaluation import prepare
from benchmarks.core.precision import precision, refuse_override
from benchmarks.core.run_folder import PICTURES, TABLES, RunFolder
from benchmarks.core.setup import Options, refuse_data_and_out_in_one
from benchmarks.core.store import Store, default_root
from diffae import distributed
from diffae.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {"list": listing.list_everything, "doctor": doctor.examine}
    if arguments[:1] and arguments[0] in commands:
        commands[arguments[0]](arguments[1:])
        return
    distributed.init()
    options = parse(arguments, __doc__)
    refuse_override(options.precision)
    with precision(options.precision):
        if options.dry_run:
            plan(options)
        else:
            run(options)


def plan(options: Options) -> None:
    """Say what a run would compute. Nothing is written, and no image but the first is read."""
    evaluation = prepare(options, Store(default_root(), options.fresh))
    if distributed.is_main():
        doctor.announce(evaluation)
        dry_run.print_report(evaluation.context, options.benchmarks, evaluation.systems)


def run(options: Options) -> Path:
    """Run what was asked for and return the run folder."""
    refuse_data_and_out_in_one(options.data, options.out or run_folder.RUNS / "DATA-PROFILE-ID")
    store = Store(default_root(), options.fresh)
    store.make()
    with distributed.main_first():
        evaluation = prepare(options, store)
        _ = evaluation.context.dataset.survey  # while the others wait: they find what this one kept
    settings = run_folder.settings(options, evaluation)
    out = options.out or run_folder.default_out(evaluation.context, settings)
    evaluation.context = replace(evaluation.context, pictures=out / PICTURES)
    if distributed.is_main():
        doctor.announce(evaluation)
        doctor.announce_images(evaluation)
    with run_folder.claim(out, settings) if distributed.is_main() else nullcontext():
        distributed.barrier()
        store.sweep()
        folder = RunFolder(out, evaluation, settings, options.arguments)
        evaluation.fit()
        for name in options.benchmarks:
            folder.take(name, evaluation.rows(name))
        folder.finish()
    if distributed.is_main():
        print((out / TABLES / "overview.md").read_text(encoding="utf-8"))
        print(f"tables: {out / TABLES}")
    _tell_failures(folder)
    return out


def _tell_failures(folder: RunFolder) -> None:
    """Say on stderr what failed. Raises UserError if anything did: a run without its numbers is no success."""
    benchmarks: dict[tuple[str, str], list[str]] = {}
    for failure in folder.failures:
        benchmarks.setdefault((failure.system, failure.reason), []).append(failure.benchmark)
    for (system, reason), names in benchmarks.items():
        cli.say(cli.printable(f"failed: {system}: {reason} ({', '.join(names)})"))
    if folder.failures:
        distributed.barrier()
        count = len(folder.failures)
        raise UserError(
            f"{count} measurement{'s' * (count > 1)} failed, see above; the others are in {folder.out}"
        )


if __name__ == "__main__":
    cli.run(main)
