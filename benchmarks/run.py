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

import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from diffae import cli

if __name__ == "__main__":
    cli.quit_on_signals()

import numpy as np
import torch

from benchmarks import REGISTRY, doctor, dry_run
from benchmarks.base import not_run, rows
from benchmarks.context import Context
from benchmarks.options import Options, load_systems, open_data, parse
from benchmarks.precision import precision
from benchmarks.store import Store, default_root
from benchmarks.systems.base import System
from diffae import distributed
from diffae.data import Dataset
from diffae.errors import UserError
from diffae.files import write_whole, writing
from diffae.lock import foreign, lock_folder
from reports.records import Record, write_records
from reports.tables import write_tables
from reports.uncertainty import write_uncertainties

RECORDS, INFLUENCES, RUN = "records.csv", "influences.npz", "run.json"
TABLES, PICTURES = "tables", "pictures"
FIT_BATCH = 512  # at least so many images at a time, if there are
ANOTHER_OUT = "or choose another --out"
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "scikit-learn",
    "scipy",
    "numpy",
    "pandas",
    "lpips",
    "piq",
)


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {"list": doctor.list_everything, "doctor": doctor.examine}
    if arguments[:1] and arguments[0] in commands:
        commands[arguments[0]](arguments[1:])
        return
    distributed.init()
    options = parse(arguments, __doc__)
    with precision(options.precision):
        run(options)


def run(options: Options) -> Path:
    """Run what was asked for and return the run folder."""
    loaded, missing = load_systems(options)
    with distributed.main_first():
        dataset = open_data(options, loaded)
    settings = _settings(options, dataset)
    out = options.out or _default_out(options, dataset, settings)
    context = Context(
        dataset=dataset,
        profile=options.profile,
        seed=options.seed,
        device=torch.device(options.device),
        store=Store(default_root()),
        pictures=out / PICTURES,
        weights_dir=options.weights_dir,
        allow_unknown_weights=options.allow_unknown_weights,
        attributes=options.attributes,
        precision=options.precision,
    )
    if distributed.is_main():
        doctor.announce(context, loaded, missing)
    if options.dry_run:
        if distributed.is_main():
            dry_run.print_report(context, options.benchmarks, loaded)
        return out
    with _claim(out, settings) if distributed.is_main() else nullcontext():
        distributed.barrier()
        context.store.sweep()
        _fit_systems(context, loaded)
        results = Results(out, context, settings, loaded)
        for name in options.benchmarks:
            results.extend(name, _benchmark_rows(name, context, loaded, missing))
    if distributed.is_main():
        print((out / TABLES / "overview.md").read_text(encoding="utf-8"))
        print(f"tables: {out / TABLES}")
    return out


def _benchmark_rows(
    name: str, context: Context, loaded: list[System], missing: dict[str, str]
) -> Iterator[Record]:
    benchmark = REGISTRY.get(name)
    yield from rows(benchmark, context, loaded)
    for title, reason in missing.items():
        yield not_run(benchmark, context, title, reason)


def _fit_systems(context: Context, loaded: list[System]) -> None:
    """Show training images to the systems that learn from them, a batch at a time."""
    selection = context.select("train", context.profile.fit_images)
    parts = np.array_split(np.arange(len(selection)), max(1, len(selection) // FIT_BATCH))
    for system in loaded:
        if type(system).fit is not System.fit:
            system.fit(selection.batch(part) for part in parts)


class Results:
    """The run folder: rewritten, whole, after every row that may take long, so it can be used at any time."""

    def __init__(self, out: Path, context: Context, settings: dict[str, Any], loaded: list[System]):
        self.out, self.context, self.settings = out, context, settings
        self.weights = {system.name: system.fingerprint for system in loaded}
        self.seen = doctor.seen_in_training(context, loaded)
        self.records: list[Record] = []
        self.seconds: dict[str, float] = {}

    def extend(self, name: str, new: Iterator[Record]) -> None:
        """Take a benchmark's rows as they come; write records.csv as they come and tables at the end."""
        cli.say(f"== {name}")
        start = time.monotonic()
        for record in new:
            self.records.append(record)
            if distributed.is_main():
                with writing(self.out, ANOTHER_OUT):
                    write_records(self.out / RECORDS, self.records)
        self.seconds[name] = round(time.monotonic() - start, 1)
        cli.say(f"== {name}: {self.seconds[name]:.0f} s")
        if distributed.is_main():
            self._write_summary()

    def _write_summary(self) -> None:
        """Write run.json, influences.npz and the tables."""
        with writing(self.out, ANOTHER_OUT):
            self._write_run()
            write_uncertainties(self.out / INFLUENCES, self.context.uncertainties)
            write_tables(
                self.records,
                self.out / TABLES,
                title=f"{self.context.dataset.name}, profile {self.context.profile.name}",
                context={
                    "data": self.context.dataset.name,
                    "profile": self.context.profile.name,
                    "seed": str(self.context.seed),
                },
            )

    def _write_run(self) -> None:
        content = self.settings | {
            "weights": self.weights,
            "seen_in_training": self.seen,
            "seconds": self.seconds,
            "protocols": self.context.protocols,
            "versions": {name: version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "processes": distributed.world(),
            "threads": torch.get_num_threads(),
        }
        _write_json(self.out / RUN, content)


# ----------------------------------------------------------------------------------------------
# The run folder


def _settings(options: Options, dataset: Dataset) -> dict[str, Any]:
    """What a run folder is for. Another run's folder is never written over."""
    return {
        "settings": {
            "benchmarks": list(options.benchmarks),
            "systems": list(options.systems),
            "checkpoints": options.checkpoints,
            "data": options.data or "portraits",
            "data_sha256": dataset.fingerprint,
            "crop": dataset.transform.crop,
            "profile": json.loads(json.dumps(asdict(options.profile))),
            "attributes": list(options.attributes),
            "seed": options.seed,
            "device": options.device,
            "precision": options.precision,
        }
    }


def _default_out(options: Options, dataset: Dataset, settings: dict[str, Any]) -> Path:
    import hashlib

    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Path("runs") / f"{dataset.name}-{options.profile.name}-{digest}"


def _claim(out: Path, settings: dict[str, Any]) -> IO[str]:
    """Make `out` this run's folder, locked while the file returned is open.

    Raises UserError if it holds another run or anything else, or if another process runs in it.
    """
    note = out / RUN
    if note.is_file():
        ours, theirs = settings["settings"], _settings_in(note)
        differing = sorted(key for key in ours if ours[key] != theirs.get(key))
        if differing:
            raise UserError(
                f"--out {out}: holds another run (its {', '.join(differing)} differ); choose another folder"
            )
    elif out.exists() and (not out.is_dir() or foreign(out)):
        raise UserError(f"--out {out}: exists and is not a run folder; choose another")
    with writing(out, ANOTHER_OUT):
        out.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(out, "running")
        for leftover in out.rglob("*.partial"):
            leftover.unlink()
        if not note.is_file():
            _write_json(note, settings)
    return lock


def _settings_in(note: Path) -> dict[str, Any]:
    try:
        return json.loads(note.read_text(encoding="utf-8")).get("settings", {})
    except ValueError:
        raise UserError(f"{note}: damaged; choose another --out, finished work is kept") from None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_whole(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


if __name__ == "__main__":
    cli.run(main)
