"""The state of a run: its systems and its context, for the command and for Python."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.core.context import Context
from benchmarks.core.registry import REGISTRY
from benchmarks.core.rows import Row
from benchmarks.core.runner import precision_guard
from benchmarks.core.runner.request import Options
from benchmarks.core.runner.rows import BenchmarkRun
from benchmarks.core.runner.setup import DataSizes, Missing, load_systems, open_data
from benchmarks.core.store import CHUNK, Store
from benchmarks.runtime.calling import Batches, images_together
from benchmarks.runtime.errors import SystemFailed
from benchmarks.systems.protocol.base import System
from benchmarks.systems.protocol.checked import Checked
from diffae.data import Dataset
from reports.records.reading import named

FIT_BATCH = 512  # at least so many images at a time, if there are


@dataclass
class Evaluation:
    """The systems that are measured, the context, and why other systems are `missing`, by title.

    `deviations` are how far systems deviate from float32, by name (precision_guard.py).
    """

    context: Context
    systems: list[System]
    missing: Missing = field(default_factory=dict)
    deviations: dict[str, precision_guard.Deviations] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked, device = self.context.batch_size, self.context.device
        self.context.store.together = max(1, images_together(asked, device) // CHUNK)
        for system in self.systems:
            if isinstance(system, Checked):
                system.batches = Batches.of(asked)

    def keep_pictures(self, pictures: Path, images: Path | None) -> None:
        """Keep pictures in a folder, and reconstructions as single files in another unless it is None."""
        self.context = replace(self.context, pictures=pictures, images=images)

    def fit(self) -> None:
        """Fit the systems that learn from training images, batch by batch. A system that fails
        becomes missing.
        """
        selection = self.context.select("train", self.context.sizes(DataSizes).fit_images)
        parts = np.array_split(np.arange(len(selection)), max(1, len(selection) // FIT_BATCH))
        for system in [system for system in self.systems if system.learns_from_data]:
            try:
                seen = selection.seen_by(system)
                system.fit(seen.batch(part) for part in parts)
            except SystemFailed as failure:
                self._drop(system, failure)

    def guard(self, tasks: Sequence[str], say: Callable[[str], None]) -> None:
        """Compare each system in the run's precision with float32. A system that deviates too far
        becomes missing.
        """
        name = self.context.precision
        if name == precision_guard.EXACT:
            return
        for system in list(self.systems):
            try:
                found = precision_guard.measured(self.context, system, tasks)
                self.deviations[system.name] = found
                precision_guard.refuse_beyond(found, system, name)
                say(f"{system.title} in {name} deviates: {precision_guard.summary(found)}")
            except SystemFailed as failure:
                say(f"not run: {named(system.title, str(failure))}")
                self._drop(system, failure)

    def _drop(self, system: System, failure: SystemFailed) -> None:
        self.systems.remove(system)
        self.missing[system.title] = failure

    def rows(self, name: str) -> Iterator[Row]:
        """All rows of one benchmark, with a row for each missing system that gives the reason."""
        measurement = BenchmarkRun(REGISTRY.get(name), self.context)
        yield from measurement.rows(self.systems)
        for title, reason in self.missing.items():
            yield measurement.not_run(title, str(reason), isinstance(reason, SystemFailed))

    def seen_in_training(self) -> dict[str, str]:
        """Notes, by title, on systems whose checkpoint was trained on test images of this data set."""
        return {
            system.title: said
            for system in self.systems
            if system.trained_on is not None
            and (said := system.trained_on.remark(self.context.dataset, "test"))
        }


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
