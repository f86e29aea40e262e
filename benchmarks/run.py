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
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from diffae import cli

if __name__ == "__main__":
    cli.quit_on_signals()

import numpy as np
import torch

from benchmarks import REGISTRY
from benchmarks.commands import doctor, dry_run
from benchmarks.commands.options import (
    Missing,
    Options,
    load_systems,
    open_data,
    parse,
    refuse_data_and_out_in_one,
)
from benchmarks.core import run_folder
from benchmarks.core.base import failed, not_run, rows
from benchmarks.core.context import Context
from benchmarks.core.precision import precision, refuse_override
from benchmarks.core.run_folder import PICTURES, TABLES, Results
from benchmarks.core.store import Store, default_root
from benchmarks.systems.base import System, SystemFailed
from diffae import distributed
from diffae.data import Dataset
from diffae.errors import UserError
from reports.records import Record

FIT_BATCH = 512  # at least so many images at a time, if there are


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {"list": doctor.list_everything, "doctor": doctor.examine}
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
    loaded, missing = load_systems(options)
    context = _context(options, open_data(options, loaded))
    if distributed.is_main():
        doctor.announce(context, loaded, missing)
        dry_run.print_report(context, options.benchmarks, loaded)


def run(options: Options) -> Path:
    """Run what was asked for and return the run folder."""
    refuse_data_and_out_in_one(options.data, options.out or run_folder.RUNS / "DATA-PROFILE-ID")
    Store(default_root()).make()
    loaded, missing = load_systems(options)
    with distributed.main_first():
        context = _context(options, open_data(options, loaded))
        _ = context.dataset.survey  # now, while the others wait: they find what this one kept
    settings = run_folder.settings(options, context, loaded)
    out = options.out or run_folder.default_out(context, settings)
    context.pictures = out / PICTURES
    if distributed.is_main():
        doctor.announce(context, loaded, missing)
        doctor.announce_images(context, loaded)
    with run_folder.claim(out, settings) if distributed.is_main() else nullcontext():
        distributed.barrier()
        context.store.sweep()
        results = Results(out, context, settings, loaded, options.arguments)
        _fit_systems(context, loaded, missing)
        for name in options.benchmarks:
            results.extend(name, _benchmark_rows(name, context, loaded, missing))
        results.finish()
    if distributed.is_main():
        print((out / TABLES / "overview.md").read_text(encoding="utf-8"))
        print(f"tables: {out / TABLES}")
    _tell_failures(context, out)
    return out


def _context(options: Options, dataset: Dataset) -> Context:
    return Context(
        dataset=dataset,
        profile=options.profile,
        seed=options.seed,
        device=torch.device(options.device),
        store=Store(default_root(), options.fresh),
        pictures=Path(),
        weights_dir=options.weights_dir,
        allow_unknown_weights=options.allow_unknown_weights,
        attributes=options.attributes,
        precision=options.precision,
    )


def _benchmark_rows(
    name: str, context: Context, loaded: list[System], missing: Missing
) -> Iterator[Record]:
    benchmark = REGISTRY.get(name)
    yield from rows(benchmark, context, loaded)
    for title, reason in missing.items():
        row = failed if isinstance(reason, SystemFailed) else not_run
        yield row(benchmark, context, title, str(reason))


def _fit_systems(context: Context, loaded: list[System], missing: Missing) -> None:
    """Show training images to the systems that learn from them, a batch at a time; one that fails is missing."""
    selection = context.select("train", context.profile.fit_images)
    parts = np.array_split(np.arange(len(selection)), max(1, len(selection) // FIT_BATCH))
    for system in [system for system in loaded if system.learns_from_data]:
        try:
            system.fit(selection.batch(part) for part in parts)
        except SystemFailed as failure:
            loaded.remove(system)
            missing[system.title] = failure


def _tell_failures(context: Context, out: Path) -> None:
    """Say on stderr what failed. Raises UserError if anything did: a run without its numbers is no success."""
    benchmarks: dict[tuple[str, str], list[str]] = {}
    for failure in context.failures:
        benchmarks.setdefault((failure.system, failure.reason), []).append(failure.benchmark)
    for (system, reason), names in benchmarks.items():
        cli.say(cli.printable(f"failed: {system}: {reason} ({', '.join(names)})"))
    if context.failures:
        distributed.barrier()
        count = len(context.failures)
        raise UserError(
            f"{count} measurement{'s' * (count > 1)} failed, see above; the others are in {out}"
        )


if __name__ == "__main__":
    cli.run(main)
