"""The state of a run, its systems and its context, and all rows of each benchmark, over systems that may
not offer what it needs, or fail. For the command and for Python.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, is_table
from benchmarks.core.context import Context, with_note
from benchmarks.core.measurement import Measurement
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner import precision_guard
from benchmarks.core.runner.request import Options
from benchmarks.core.runner.setup import DataSizes, Missing, load_systems, open_data
from benchmarks.core.store import CHUNK, Store
from benchmarks.runtime.calling import Batches, images_together, raised
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems.protocol.base import System, has_no_encoder
from benchmarks.systems.protocol.checked import Checked
from diffae.data import Dataset
from diffae.data.dataset import SPLITS
from diffae.system import distributed
from diffae.system.errors import UserError
from reports.records.estimate import Estimate
from reports.records.metrics import METRICS
from reports.records.reading import named
from reports.records.record import Record, record_key
from reports.records.run_folder import IMAGES, PICTURES

FIT_BATCH = 512  # at least so many images at a time, if there are


@dataclass
class Evaluation:
    """The systems that are measured, the context, and why other systems are `missing`, by title."""

    context: Context
    systems: list[System]
    missing: Missing = field(default_factory=dict)

    def __post_init__(self) -> None:
        batch_size, device = self.context.batch_size, self.context.device
        self.context.store.together = max(1, images_together(batch_size, device) // CHUNK)
        for system in self.systems:
            if isinstance(system, Checked):
                system.batches = Batches.from_option(batch_size)
        lengths = sorted({length for system in self.systems for length in system.lengths or ()})
        for keep in self.context.options.keep if lengths else ():
            if keep not in lengths:
                raise UserError(f"--keep {keep}: choose among {', '.join(map(str, lengths))}")

    def keep_pictures(self, out: Path, single_images: bool) -> None:
        """Keep pictures in a run folder, and reconstructions as single files if they are wanted."""
        images = out / IMAGES if single_images else None
        self.context = replace(self.context, pictures=out / PICTURES, images=images)

    def fit(self) -> None:
        """Fit the systems that learn from training images, batch by batch. A system that fails
        becomes missing.
        """
        selection = self.context.select("train", self.context.sizes(DataSizes).fit_images)
        parts = np.array_split(np.arange(len(selection)), max(1, len(selection) // FIT_BATCH))
        for system in [system for system in self.systems if system.learns_from_data]:
            try:
                images = selection.seen_by(system)
                system.fit(images.batch(part) for part in parts)
            except SystemFailed as failure:
                self._drop(system, failure)

    def guard(self, tasks: Sequence[str], say: Callable[[str], None]) -> None:
        """Compare each system in the run's precision with float32. A system that is too far from it
        becomes missing.
        """
        if self.context.precision == precision_guard.EXACT:
            return
        for system in [system for system in self.systems if not has_no_encoder(system)]:
            try:
                precision_guard.check(self.context, system, tasks)
            except SystemFailed as failure:
                say(f"not run: {named(system.title, str(failure))}")
                self._drop(system, failure)

    def _drop(self, system: System, failure: SystemFailed) -> None:
        self.systems.remove(system)
        self.missing[system.title] = failure

    def rows(self, name: str) -> Iterator[Record]:
        """All rows of one benchmark, with a row for each missing system that gives the reason."""
        run = BenchmarkRun(REGISTRY.get(name), self.context)
        yield from run.rows(self.systems)
        for title, reason in self.missing.items():
            yield run.not_run(title, str(reason), isinstance(reason, SystemFailed))
        yield from run.without_network()

    def seen_in_training(self) -> dict[str, str]:
        """Notes, by title, on systems whose checkpoint was trained on test images of this data set."""
        remarks: dict[str, str] = {}
        for system in self.systems:
            if system.trained_on is not None:
                remarks[system.title] = system.trained_on.remark(self.context.dataset, "test")
        return {title: remark for title, remark in remarks.items() if remark}


def prepare(options: Options, store: Store) -> Evaluation:
    """Load the systems and open the data. Raises UserError where one of them cannot be had."""
    loaded, missing = load_systems(options)
    return Evaluation(make_context(options, open_data(options, loaded), store), loaded, missing)


def make_context(options: Options, dataset: Dataset, store: Store) -> Context:
    return Context(
        dataset=dataset,
        profile=options.profile,
        seed=options.seed,
        device=torch.device(options.device),
        store=store,
        pictures=None,
        choice=options.networks,
        precision=options.precision,
        batch_size=options.batch_size,
        options=options,
    )


# ----------------------------------------------------------------------------------------------
# One benchmark


def rows(benchmark: Benchmark, context: Context, systems: Sequence[System]) -> Iterator[Record]:
    """All rows of a benchmark: what cannot run is a row with the reason, never left out."""
    return BenchmarkRun(benchmark, context).rows(systems)


def _first_images(context: Context, system: System, count: int) -> Tensor:
    selection = context.select("test", count).seen_by(system)
    return selection.batch(np.arange(len(selection)))


class BenchmarkRun:
    """One benchmark of a run: an obstacle or a failure is a row with the reason."""

    def __init__(self, benchmark: Benchmark, context: Context):
        self.benchmark = benchmark
        profile = context.profile.including(benchmark)
        self.context = replace(context, profile=profile, benchmark=benchmark.name)
        self.keys: set[str] = set()  # of the numbers of a plug-in

    def rows(self, systems: Sequence[System]) -> Iterator[Record]:
        """Its rows of these systems, then its reference rows."""
        dataset = self.context.dataset
        if self.benchmark.labelled and not dataset.labelled:
            yield self.not_run("all systems", f"{dataset.name} has no attributes")
            return
        measured: list[Record] = []
        for system in systems:
            if lacks := self.benchmark.lacking(system):
                yield self.not_run(system.title, f"{system.title} cannot {lacks}")
                continue
            for row in self._guarded(system.title, self._of(system)):
                measured.append(row)
                yield row
        references = (replace(row, reference=True) for row in self._references(measured))
        yield from self._guarded("references", references)

    def not_run(self, system: str, reason: str, failed: bool = False) -> Record:
        """The row of what could not run, or `failed` where it should have: no value, and why."""
        names = self.benchmark.name, self.benchmark.table, system
        nothing = Estimate(None, why=reason)
        try:
            metric = self.benchmark.headline(self.context)
            row = self.context.record(*names, metric, nothing, split="")
        except Exception:  # a plug-in that cannot say which metric stands for it
            if self.benchmark.is_ours:
                raise
            dataset = self.context.dataset.name
            row = Record(*names, dataset, "", "", None, "", nothing, note=reason)
        return replace(row, failed=True) if failed else row

    def without_network(self) -> Iterator[Record]:
        """A row for each number of the table of the suite whose network has no weights here: how to get them."""
        sources = {spec.name: spec.source for spec in self.benchmark.tables}
        tables: dict[str, str] = {}  # by metric
        for table in self.context.options.suite.get("content", {}).get("table", ()):
            if table["name"] in sources:
                tables |= dict.fromkeys(table["metrics"], sources[table["name"]])
        for metric, source in tables.items():
            if reason := self.context.networks.lacking(METRICS[metric].network):
                where = self.benchmark.name, source, "all systems", metric
                row = self.context.record(*where, Estimate(None, why=reason), split="")
                yield replace(row, reference=True)

    def _of(self, system: System) -> Iterator[Record]:
        """A system's rows, with notes on whether it was trained on their images, and whether it is random."""
        context, trial = self.context, ""
        if isinstance(system, Checked):
            system.overshoot = context.store.overshoot
            trial = system.try_on(partial(_first_images, context, system))
        data, seen = context.dataset, system.trained_on
        remarks = {} if seen is None else {split: seen.remark(data, split) for split in SPLITS}
        for row in self._rows(self.benchmark.run(context.for_system(system), system)):
            row = replace(row, reference=row.reference or system.reference)
            if row.value is not None:
                row = with_note(with_note(row, remarks.get(row.split, "")), trial)
            yield row

    def _references(self, measured: Sequence[Record]) -> Iterator[Record]:
        """The reference rows: the benchmark's own, and those that depend on what was measured."""
        if self.benchmark.references is not None:
            yield from self._rows(self.benchmark.references(self.context))
        if self.benchmark.beside is not None:
            yield from self._rows(self.benchmark.beside(self.context, measured))

    def _rows(self, measurements: Iterator[Record | Measurement]) -> Iterator[Record]:
        """The rows of measurements, each with a note on values outside [-1, 1] in the images behind it;
        rows of a plug-in that computes them itself have one on all images so far.
        """
        overshoot = self.context.store.overshoot  # counts what the systems make and the store reads
        overshoot.counts.clear()
        for measurement in measurements:
            if isinstance(measurement, Measurement):
                overshoot.counts.clear()
                arrays = measurement.arrays(self.context.store)
                note = overshoot.note()
                rows = measurement.reduce(*arrays)
            else:
                rows, note = [measurement], overshoot.note()
            for row in rows:
                self._check(row)
                is_of_images = self.benchmark.of_images and row.value is not None
                yield with_note(row, note) if is_of_images else row

    def _check(self, row: Record) -> None:
        """Raise an error if a row of a plug-in is none of its own, or the second one for its number: it
        would spoil all tables.
        """
        if self.benchmark.is_ours:
            return
        if not isinstance(row, Record):
            raise TypeError(f"yielded {type(row).__name__}, not a Record")
        if row.benchmark != self.benchmark.name or not is_table(row.table):
            raise ValueError(f"yielded a row of {row.benchmark!r} for {row.table!r}")
        if (key := record_key(row)) in self.keys:
            raise ValueError(f"yielded two rows for one number ({row.metric})")
        self.keys.add(key)

    def _guarded(self, title: str, rows: Iterator[Record]) -> Iterator[Record]:
        """The rows, and where they end early one that says why: a system failed, or the benchmark
        of a plug-in did.

        Errors that are the user's, and those of our own benchmarks, go through.
        """
        keys: set[str] = set()
        try:
            for row in rows:
                keys.add(record_key(row))
                yield row
            return
        except NotAvailable as obstacle:
            last = self.not_run(title, str(obstacle))
        except SystemFailed as failure:
            last = self.not_run(title, str(failure), failed=True)
        except (UserError, distributed.Stopped):
            raise
        except Exception as error:
            if self.benchmark.is_ours:
                raise
            reason = f"benchmark {self.benchmark.name!r} {raised(error)}"
            if distributed.world() > 1:  # the others may not have failed: this one cannot go on
                raise UserError(reason) from error
            last = self.not_run(title, reason, failed=True)
        # under a setting of its own if its cell has a number already
        yield replace(last, setting="the rest") if record_key(last) in keys else last
