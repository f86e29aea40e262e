"""The run folder: what a run is, whose folder it is, and what is kept in it.

A folder is a run's if its `run.json` has the settings of that run: all that decides a number,
fingerprints of data, systems and metric networks too. Nothing is written into a different run's
folder, nor into a folder that is not a run's, and nothing is removed that this software did not
make.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any

from benchmarks.core import suites
from benchmarks.core.registry import specs
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.request import Options
from benchmarks.core.runner.setup import comparison, heading
from benchmarks.core.store import CHUNK
from benchmarks.runtime import provenance
from benchmarks.runtime.choices import TaskOptions
from benchmarks.systems.protocol.base import has_no_encoder
from diffae.data.dataset import Dataset
from diffae.data.partition import SPLITS
from diffae.data.transforms import Transform
from diffae.system import distributed
from diffae.system.errors import UserError
from diffae.system.files import foreign, lock_folder, writing
from diffae.system.settings import options_of
from diffae.system.whole import sweep
from reports import page
from reports.records.reading import few, part_of
from reports.records.record import Record
from reports.records.run_folder import FILES, FOLDERS, PAGE, RUN, TABLES, Run, read_notes, read_run
from reports.records.settings import settings_of
from reports.tables.build import merge, write_tables

MACHINE = ("device_name", "torch", "threads")  # what the protocol of a time says of it
ANOTHER_OUT = "or choose another --out"
MOST_PARTS = 6  # of a setting, that a line names
BETWEEN_WRITES, BETWEEN_SUMMARIES = 2.0, 10.0  # seconds

Settings = dict[str, Any]


# ----------------------------------------------------------------------------------------------
# What a run is


def settings(options: Options, evaluation: Evaluation) -> Settings:
    """What decides a run's numbers, of systems that have not been fitted yet."""
    context, dataset = evaluation.context, evaluation.context.dataset
    if not all(map(has_no_encoder, evaluation.systems)):
        dataset.refuse_unreadable()
    protocols = (*options.protocols, *options.edit_protocols)
    changed = {name: v for name, v in options.changed.items() if name != "explain"}
    parts = {
        "benchmarks": options.benchmarks,
        "systems": options.systems,
        "checkpoints": options.checkpoints,
        "weights": {system.name: system.fingerprint for system in evaluation.systems},
        "metric_networks": context.networks.describe(),
        "data": options.data or "portraits",
        "data_sha256": dataset.fingerprint,
        "crop": dataset.transform.crop,
        "profile": asdict(context.profile),
        "attributes": options.attributes,
        "seed": options.seed,
        "device": options.device,
        "precision": options.precision,
        **({"protocols": [*protocols, options.explain]} if protocols else {}),
        **({"suite": options.suite} if options.suite else {}),
        **changed,
        **dataset.transform.options,
    }
    return json.loads(json.dumps(parts))


def differences(ours: Settings, theirs: Settings) -> list[str]:
    """The names of settings that differ; of those that have parts, the first of them: "weights
    (diffae)".
    """
    names = []
    # those that only some runs have
    keys = ours.keys() | options_of(Transform) | {option.name for option in fields(TaskOptions)}
    for key in sorted(key for key in keys if ours.get(key) != theirs.get(key)):
        parts: list[str] = []
        if isinstance(ours.get(key), dict) and isinstance(theirs.get(key), dict):
            a, b = _parts(ours[key]), _parts(theirs[key])
            parts = sorted(part for part in a.keys() | b.keys() if a.get(part) != b.get(part))
        names.append(f"{key} ({', '.join(few(parts, MOST_PARTS))})" if parts else key)
    return names


def _parts(setting: Settings) -> Settings:
    """The parts of a setting; of a profile's sections their settings, as "section.name"."""
    if "sections" not in setting:
        return setting
    return {k: v for k, v in setting.items() if k != "sections"} | settings_of(setting)


# ----------------------------------------------------------------------------------------------
# Whose folder it is


def claim(out: Path, ours: Settings) -> IO[str]:
    """Make `out` this run's folder, locked while the file returned is open.

    Raises UserError if it holds a different run or anything else, or if a process runs in it.
    """
    with writing(out, ANOTHER_OUT):
        _refuse_another(out, ours)
        out.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(out, "running")
        _refuse_another(out, ours)  # which a process that has ended meanwhile may have left
        if os.path.lexists(out / RUN):
            for folder in (out, *(out / name for name in FOLDERS)):
                sweep(folder.glob("*.partial"))
    return lock


def _refuse_another(out: Path, ours: Settings) -> None:
    is_foreign = foreign(out)  # before the run's own file is looked for, which may be written now
    if os.path.lexists(out / RUN):
        if names := differences(ours, part_of(_notes_of(out), "settings")):
            differ = f"its {', '.join(names)} differ"
            raise UserError(f"--out {out}: holds a different run ({differ}); choose another folder")
    elif is_foreign:
        raise UserError(f"--out {out}: exists and is not a run folder; choose another")
    for name in FILES:
        if (out / name).exists() and not (out / name).is_file():
            raise UserError(f"{out / name}: not a file; move it away {ANOTHER_OUT}")
    for name in FOLDERS:
        if os.path.lexists(out / name) and not (out / name).is_dir():
            raise UserError(f"{out / name}: not a folder; move it away {ANOTHER_OUT}")


def _notes_of(out: Path) -> dict[str, Any]:
    """The content of the run.json of our run in this folder."""
    try:
        return read_notes(out / RUN)
    except UserError as reason:
        raise UserError(f"{reason}; choose another --out (work is kept in the store)") from None


# ----------------------------------------------------------------------------------------------
# What is kept in it


def new_run(folder: Path | None, evaluation: Evaluation, ours: Settings) -> Run:
    """A run of these settings, without numbers; `folder` is None if it is not to be written."""
    tables = specs(ours["benchmarks"])
    tables = suites.tables(tables, ours["suite"]) if "suite" in ours else tables
    notes = {
        "titles": {system.name: system.title for system in evaluation.systems},
        "comparison": comparison(evaluation.context, evaluation.systems),
    }
    folder = folder or Path("these results")
    return Run(folder, settings=ours, table_specs=tables, notes=notes)


@contextmanager
def recording(
    run: Run, evaluation: Evaluation, options: Options, in_memory: bool = False
) -> Iterator["Recorder"]:
    """Within the block the run can be measured, and its folder is its own unless it is `in_memory`."""
    writes = distributed.is_main() and not in_memory
    with claim(run.folder, run.settings) if writes else nullcontext():
        distributed.barrier()
        evaluation.context.store.sweep()
        if not in_memory:
            evaluation.keep_pictures(run.folder, options.save_images)
            # when commands have worked on this run so far, each from `started` to `until`: a run that
            # is killed is resumed, and a finished one is read from the store
            is_resumed = (run.folder / RUN).exists() and not options.fresh
            before = _notes_of(run.folder).get("invocations", []) if is_resumed else []
            run.notes |= _about(evaluation, options) | {"invocations": [*before, {}]}
        yield Recorder(run, evaluation, writes)


class Recorder:
    """Adds records to a run as they come, and writes its folder if it `writes`.

    The files can be used at any time: each is rewritten whole.
    """

    def __init__(self, run: Run, evaluation: Evaluation, writes: bool):
        self.run, self.evaluation, self.writes = run, evaluation, writes
        self.seconds: dict[str, float] = {}  # that each benchmark took
        self._summarised, self._has_new = time.monotonic(), False  # of what `_write_summary` writes
        self._unread = False  # whether no tables could be made of the folder
        self._write({"seconds": self.seconds, "complete": False})

    def add(self, record: Record) -> None:
        """Add a record, and write records.csv if it was not written in the last few seconds."""
        self.run.add(record)
        self._has_new = True
        if time.monotonic() - self._written > BETWEEN_WRITES:
            self._write({})

    @contextmanager
    def benchmark(self, name: str) -> Iterator[None]:
        """Within the block a benchmark is measured; at its end records.csv is written, and the tables unless
        they were made a few seconds ago.
        """
        start = time.monotonic()
        try:
            yield
            self.seconds[name] = round(time.monotonic() - start, 1)
        finally:  # also what an interrupted benchmark has measured
            self._write({})
        self._has_new = True
        if time.monotonic() - self._summarised > BETWEEN_SUMMARIES:
            self.summarise()

    def summarise(self) -> None:
        """Write the tables and what else is made of all records, if there are new ones."""
        if self._has_new and self.writes:
            with writing(self.run.folder, ANOTHER_OUT):
                self._write_summary()
        self._summarised, self._has_new = time.monotonic(), False

    def finish(self) -> None:
        """Write into run.json that the run is complete, what failed, and the weights (of fitted
        systems too); then write the page.

        Raises UserError where no page can be made of the folder; its numbers are on the disk by
        then.
        """
        run = self.run
        fitted = {system.name: system.fingerprint for system in self.evaluation.systems}
        failed = [
            {"benchmark": row.benchmark, "system": row.system, "reason": row.note}
            | ({} if row.failed else {"obstacle": True})
            for row in run.failures
        ]
        ending = {"weights": fitted, "failed": failed, "ended": provenance.now(), "complete": True}
        self._write(ending)
        if self.writes:
            try:
                with writing(run.folder / PAGE, ANOTHER_OUT):
                    page.write(run.folder / PAGE, [run.folder])
            except UserError as reason:
                missing = f"{PAGE} and {TABLES}/" if self._unread else PAGE
                raise UserError(f"{run.folder}: complete except for {missing}: {reason}") from None

    def _write(self, changes: dict[str, Any]) -> None:
        """Write records.csv, and run.json with these changes: it says that the run is not complete
        until it has ended.
        """
        notes = self.run.notes
        notes |= changes
        if self.writes:
            notes["invocations"][-1] = {"started": notes["started"], "until": provenance.now()}
            with writing(self.run.folder, ANOTHER_OUT):
                self.run.write()
        self._written = time.monotonic()

    def _write_summary(self) -> None:
        """Write influences.npz, samples.csv, times.csv and the tables."""
        run, context = self.run, self.evaluation.context
        run.write_details(context.dataset.name_of)
        try:
            merged = merge([read_run(run.folder, finished=False)])
        except UserError:  # too large, or without rows: `finish` says so if it stays so
            self._unread = True
            return
        self._unread = False
        title, facts = heading(context)
        write_tables(merged.tables_of(merged.rows), run.folder / TABLES, title, facts)
        if run.times:
            machine = {name: str(run.times[0].measured_by[name]) for name in MACHINE}
            times = merged.tables_of(merged.times)[1:]  # the first is the overview
            write_tables(times, run.folder / TABLES, title, machine)


def enlarged(dataset: Dataset) -> dict[str, int]:
    """How many images are smaller than the size of the comparison, for run.json; empty if not known."""
    small = dataset.enlarged
    if small is None:
        return {}
    return {"images": int(small.sum()), "of": len(dataset), "size": dataset.image_size}


def _about(evaluation: Evaluation, options: Options) -> dict[str, Any]:
    """The entries of run.json on the systems, the images, the code and the machine."""
    context, systems = evaluation.context, evaluation.systems
    batch_size = context.batch_size or context.networks.batches.images or CHUNK
    return {
        "models": {system.name: dict(system.describe()) for system in systems},
        "hub": {system.name: system.origin for system in systems if system.origin},
        "images": {split: len(context.dataset.indices(split)) for split in SPLITS},
        "enlarged": {} if options.native else enlarged(context.dataset),
        "seen_in_training": evaluation.seen_in_training(),
        "precision": context.precision,
        "started": provenance.now(),
        **provenance.describe(options.arguments, context.device, batch_size),
    }
