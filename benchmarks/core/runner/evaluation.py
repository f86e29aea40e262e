"""The runner: for each benchmark, system and measurement it makes a record of each number.

    for measurement in benchmark.run(context, system):
        arrays = store.read_all(measurement.jobs)
        for place, metric, estimate in measurement.numbers(*arrays):
            yield make_record(place, metric, estimate)

Where a system does not offer what a benchmark needs, or fails, a record gives the reason.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, is_table
from benchmarks.core.context import Context
from benchmarks.core.measurement import Measurement, Place
from benchmarks.core.profiles import Profile
from benchmarks.core.registry import REGISTRY, SHARED_SIZES
from benchmarks.core.runner.request import Options
from benchmarks.core.runner.setup import DataSizes, open_data
from benchmarks.core.sizes import steps_of
from benchmarks.core.store import CHUNK, Store
from benchmarks.metrics.protocols.printed import fields_of
from benchmarks.runtime.calling import (
    Arrays,
    Batches,
    images_together,
    notes_on_clamped,
    raised,
    without_counts,
)
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems import precision_guard
from benchmarks.systems.of_run import Missing, load_systems
from benchmarks.systems.protocol.base import HERE, System, has_no_encoder
from benchmarks.systems.protocol.checked import Checked
from diffae.data import Dataset
from diffae.data.partition import HALVED, SPLITS
from diffae.system import distributed
from diffae.system.errors import UserError
from reports.records.estimate import Estimate
from reports.records.metrics import METRICS
from reports.records.published import attach
from reports.records.reading import named
from reports.records.record import Record, record_key
from reports.records.run_folder import IMAGES, PICTURES

EMPTY: Mapping[str, str] = {}
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
                side = system.image_size or self.context.dataset.image_size
                system.batches = Batches.from_option(batch_size, device, side)
        lengths = sorted({length for system in self.systems for length in system.lengths or ()})
        for keep in self.context.options.keep if lengths else ():
            if keep not in lengths:
                raise UserError(f"--keep {keep}: choose among {', '.join(map(str, lengths))}")

    def keep_pictures(self, out: Path, single_images: bool) -> None:
        """Keep pictures in a run folder, and reconstructions as single files if they are wanted."""
        self.context.pictures = out / PICTURES
        self.context.images = out / IMAGES if single_images else None

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
        context, guard = self.context, precision_guard
        if context.precision == guard.EXACT:
            return
        steps = fewest_and_most(context.profile, tasks)
        for system in [system for system in self.systems if not has_no_encoder(system)]:
            images = _first_images(context, system, guard.IMAGES)
            of_run = context.seed, context.device, context.precision
            failure = guard.failure(system, images, *of_run, steps)
            if reason := distributed.agree(failure):
                say(f"not run: {named(system.title, reason)}")
                self._drop(system, SystemFailed(reason))

    def _drop(self, system: System, failure: SystemFailed) -> None:
        self.systems.remove(system)
        self.missing[system.title] = failure

    def records(self, name: str) -> Iterator[Record]:
        """All records of one benchmark, with one for each missing system that gives the reason."""
        run = BenchmarkRun(REGISTRY.get(name), self.context)
        yield from run.records(self.systems)
        for title, reason in self.missing.items():
            yield run.not_run(title, reason)
        yield from run.without_network()

    def seen_in_training(self) -> dict[str, str]:
        """Notes, by title, on systems whose checkpoint was trained on test images of this data set."""
        remarks = {system.title: _remark(system, self.context, "test") for system in self.systems}
        return {title: remark for title, remark in remarks.items() if remark}


def prepare(options: Options, store: Store) -> Evaluation:
    """Load the systems and open the data. Raises UserError where one of them cannot be had."""
    loaded, missing = load_systems(options.systems, options.checkpoints, options.device)
    return Evaluation(make_context(options, open_data(options, loaded), store), loaded, missing)


def make_context(options: Options, dataset: Dataset, store: Store) -> Context:
    return Context(
        dataset=dataset,
        profile=options.profile.at_side(dataset.image_size),
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
    """All records of a benchmark: what cannot run is a record with the reason, never left out."""
    return BenchmarkRun(benchmark, context).records(systems)


def make_record(
    place: Place,
    metric: str,
    estimate: Estimate,
    notes_on_value: Iterable[str] = (),
    is_reference: bool = False,
) -> Record:
    """The record of an estimate at its place, with the metric's direction and unit and the published number
    that belongs beside it.

    A value that is not a finite number becomes no value, and the note says what it was. The note also
    contains what the estimate says of itself, and `notes_on_value` where there is a value. Raises TypeError
    if the number is not an `Estimate`.
    """
    context, variant = place.context, place.variant
    if not isinstance(estimate, Estimate):
        kind = type(estimate).__name__
        raise TypeError(
            f"{metric} of {context.benchmark} is of type {kind}: give Estimate(value, n=...)"
        )
    notes = [place.note, estimate.why, *estimate.notes]
    if estimate.value is not None and not math.isfinite(estimate.value):
        kind = "not a number" if math.isnan(estimate.value) else "infinite"
        notes.insert(0, f"the value is {kind}")
        estimate = replace(estimate, value=None, influences=(), error=None)
    if estimate.value is not None:
        notes += notes_on_value
    metric_info = METRICS[metric]
    record = Record(
        context.benchmark,
        place.table,
        place.system_title,
        context.dataset.name,
        place.split,
        place.setting,
        variant.steps if variant else place.steps,
        metric,
        estimate,
        direction=metric_info.direction,
        unit=metric_info.unit,
        protocol=place.protocol_id,
        note="; ".join(filter(None, notes)),
        reference=place.reference or is_reference,
        solver=variant.solver if variant else place.solver,
        calls=variant.calls if variant else None,
        measured_by=place.protocol,
        of_machine=place.of_machine,
    )
    return attach(record, record.measured_by, fields_of)


class BenchmarkRun:
    """One benchmark of a run: an obstacle or a failure is a record with the reason."""

    def __init__(self, benchmark: Benchmark, context: Context):
        self.benchmark = benchmark
        self.context = benchmark.context_of(context)
        self.is_ours = benchmark.is_ours
        self.keys: set[str] = set()  # of the numbers of a plug-in
        # systems and methods whose clamping has been noted
        self.noted: set[tuple[str, str]] = set()

    def records(self, systems: Sequence[System]) -> Iterator[Record]:
        """Its records of these systems, then its reference records."""
        dataset = self.context.dataset
        if self.benchmark.labelled and not dataset.labelled:
            yield self.not_run("all systems", NotAvailable(f"{dataset.name} has no attributes"))
            return
        measured: list[Record] = []
        for system in systems:
            for record in self._guarded(system.title, self._of_system(system)):
                measured.append(record)
                yield record
        yield from self._guarded("references", self._references(measured))

    def _of_system(self, system: System) -> Iterator[Record]:
        """A system's records, with notes on whether it was trained on their images, and whether it is random."""
        context, trial = self.context, ""
        measurements = self.benchmark.measurements(context, system)
        if isinstance(system, Checked):
            trial = system.try_on(partial(_first_images, context, system))
        remarks = {split: _remark(system, context, split) for split in SPLITS}
        for measurement in measurements:
            yield from self._records(measurement, system.reference, remarks, trial)

    def _references(self, measured: Sequence[Record]) -> Iterator[Record]:
        """The reference records: the benchmark's own, and those that depend on what was measured."""
        benchmark, context = self.benchmark, self.context
        measurements = list[Iterable[Measurement]]()
        if benchmark.references is not None:
            measurements.append(benchmark.references(context))
        if benchmark.beside is not None:
            measurements.append(benchmark.beside(context, measured))
        for measurement in chain(*measurements):
            yield from self._records(measurement, True)

    def _records(
        self,
        measurement: Measurement,
        is_reference: bool,
        remarks: Mapping[str, str] = EMPTY,
        trial: str = "",
    ) -> Iterator[Record]:
        """A record of each number of a measurement.

        Where there is a value, its note says which files are odd, the remark on its split, what came of a
        trial of the system, and in places how many values of the images behind it lay outside their range.
        """
        if not isinstance(measurement, Measurement):
            raise TypeError(f"yielded {type(measurement).__name__}, not a Measurement")
        arrays = self.context.store.read_all(measurement.jobs)
        notes = [self.context.dataset.survey.note]
        for place, metric, estimate in measurement.numbers(*map(without_counts, arrays)):
            if not self.is_ours:
                self._check(place, metric)
            halved = HALVED if place.context.dataset.partition_source == HALVED else ""
            on_value = [*notes, *self._on_clamped(place, estimate, arrays)]
            on_value += [remarks.get(place.split, ""), trial, halved]
            yield make_record(place, metric, estimate, on_value, is_reference)

    def _on_clamped(
        self, place: Place, estimate: Estimate, arrays: Sequence[Arrays]
    ) -> Iterator[str]:
        """The notes on values that were clamped, for a number of images; sizes of codes have no error."""
        if not self.benchmark.of_images or estimate.value is None or estimate.error is None:
            return
        own = (place.system and place.system.range) or HERE
        for method, note in notes_on_clamped(arrays, own, place.unclamped):
            key = (place.system_title, method)
            if place.unclamped or key not in self.noted:
                yield note
            if not place.unclamped:
                self.noted.add(key)

    def _check(self, place: Place, metric: str) -> None:
        """Raise ValueError for a number of a plug-in that belongs to another's table, or has been there: it
        would spoil all tables.
        """
        if place.context.benchmark != self.benchmark.name or not is_table(place.table):
            raise ValueError(f"yielded a number for the table {place.table!r}")
        key = record_key(make_record(place, metric, Estimate(None)))
        if key in self.keys:
            raise ValueError(f"yielded two numbers for one place ({metric})")
        self.keys.add(key)

    def _guarded(self, title: str, records: Iterator[Record]) -> Iterator[Record]:
        """The records, and where they end early one that says why: a system failed, or the benchmark of a
        plug-in did.

        Errors that are the user's, and those of our own benchmarks, go through.
        """
        given: list[Record] = []
        try:
            for record in records:
                given.append(record)
                yield record
            return
        except (NotAvailable, SystemFailed) as reason:
            last = self.not_run(title, reason)
        except (UserError, distributed.Stopped):
            raise
        except Exception as error:
            if self.is_ours:
                raise
            failure = SystemFailed(f"benchmark {self.benchmark.name!r} {raised(error)}")
            if distributed.world() > 1:  # the others may not have failed: this one cannot go on
                raise UserError(str(failure)) from error
            last = self.not_run(title, failure)
        # under a setting of its own if its cell has a number already
        is_taken = record_key(last) in map(record_key, given)
        yield replace(last, setting="the rest") if is_taken else last

    # Records of what was not measured --------------------------------------------------------------

    def not_run(self, system: str, reason: NotAvailable | SystemFailed) -> Record:
        """The record of what could not run, or failed where it should have: no value, and why."""
        place = Place(self.context, self.benchmark.table, title=system, split="")
        nothing = Estimate(None, why=str(reason))
        try:
            record = make_record(place, self.benchmark.headline(self.context), nothing)
        except Exception:  # a plug-in that cannot say which metric stands for it
            if self.is_ours:
                raise
            names = self.benchmark.name, self.benchmark.table, system, self.context.dataset.name
            record = Record(*names, "", "", None, "", nothing, note=nothing.why)
        return replace(record, failed=isinstance(reason, SystemFailed))

    def without_network(self) -> Iterator[Record]:
        """A record for each number of the table of the suite whose network has no weights here: how to get them."""
        sources = {spec.name: spec.source for spec in self.benchmark.tables}
        tables: dict[str, str] = {}  # by metric
        for table in self.context.options.suite.get("content", {}).get("table", ()):
            if table["name"] in sources:
                tables |= dict.fromkeys(table["metrics"], sources[table["name"]])
        for metric, source in tables.items():
            if reason := self.context.networks.lacking(METRICS[metric].network):
                place = Place(self.context, source, title="all systems", split="", reference=True)
                yield make_record(place, metric, Estimate(None, why=reason))


def fewest_and_most(profile: Profile, tasks: Iterable[str]) -> list[int]:
    """The smallest and the largest T in the settings of these tasks."""
    sections = [profile.sections.get(name) for name in (*SHARED_SIZES, *tasks)]
    steps = [T for sizes in sections if sizes is not None for _, _, T in steps_of(sizes)]
    return sorted({min(steps), max(steps)})


def _remark(system: System, context: Context, split: str) -> str:
    """The note on a system whose checkpoint was trained on images of this split; "" if it was not."""
    seen = system.trained_on
    return "" if seen is None else seen.remark(context.dataset, split)


def _first_images(context: Context, system: System, count: int) -> Tensor:
    selection = context.select("test", count).seen_by(system)
    return selection.batch(np.arange(len(selection)))
