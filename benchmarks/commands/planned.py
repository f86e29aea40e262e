"""What a run would compute: the jobs of its benchmarks, and what the store has of them.

No image is read: the data may be `unread`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.job import Calls, Job, SetComparison
from benchmarks.core.measurement import Measurement
from benchmarks.core.registry import REGISTRY
from benchmarks.core.store import Piece, Store
from benchmarks.runtime.calling import raised
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems.protocol.base import System
from diffae.data import Dataset
from diffae.data.dataset import Subset
from diffae.data.fingerprint import Survey, known_survey
from diffae.diffusion.scheme import find
from reports.tables.numbers import solver_name

MANY = 10_000**2  # pairs of images: to compare fewer takes seconds, of which a dry run says nothing
REAL = "real images"


class Refused(NamedTuple):
    """A benchmark and a system that cannot run, why, and whether it failed where it should have run."""

    benchmark: str
    system: str
    reason: str
    failed: bool = False


@dataclass(frozen=True)
class Planned:
    """A job, or a comparison of sets, of a benchmark, and of a system or of real images.

    chunks   of a job, and whether each is in the store. Where it is needed for two numbers of images that
             end in different chunks, it has both, and both are computed.
    """

    benchmark: str
    system: str
    job: Job | SetComparison
    chunks: dict[Piece, bool] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What is done, with T, and with the solver unless it is the paper's."""
        job = self.job
        return f"{job.title}, T = {job.steps}{_by_solver(job.system)}" if job.steps else job.title

    @property
    def units(self) -> int:
        """How many units it has in all."""
        return sum(stop - start for start, stop in self.chunks)

    @property
    def stored(self) -> int:
        """How many of its units are in the store."""
        return sum(stop - start for (start, stop), is_stored in self.chunks.items() if is_stored)

    @property
    def calls(self) -> Calls:
        """The calls of networks for the units that are not in the store."""
        return self.job.calls.times(self.units - self.stored)


def collect(
    context: Context, names: Sequence[str], systems: Sequence[System]
) -> tuple[list[Planned], list[Refused]]:
    """The jobs of these benchmarks and systems, those that several need once, at their first use; and what
    cannot run.
    """
    planned, refused = dict[str, Planned](), list[Refused]()
    for name in names:
        benchmark = REGISTRY.get(name)
        if benchmark.labelled and not context.dataset.labelled:
            why = f"{context.dataset.name} has no attributes"
            refused.append(Refused(name, "all systems", why))
            continue
        here = replace(benchmark.context_of(context), pictures=None)
        for title, measurements in _measurements(benchmark, here, systems):
            try:
                for measurement in measurements():
                    _add(planned, context.store, name, title, measurement)
            except (NotAvailable, SystemFailed) as reason:
                failed = isinstance(reason, SystemFailed)
                refused.append(Refused(name, title, str(reason), failed))
            except Exception as error:
                if benchmark.is_ours:
                    raise
                why = f"its work cannot be counted: it {raised(error)}"
                refused.append(Refused(name, title, why, failed=True))
    return [work for work in planned.values() if work.units], refused


def _add(
    planned: dict[str, Planned], store: Store, benchmark: str, system: str, measurement: Measurement
) -> None:
    """Add the jobs of a measurement, each after those that it takes, and its large comparisons."""
    for job in measurement.jobs:
        for needed in (*_inputs(job), job):
            owner = system if _is_of_system(needed) else REAL
            work = planned.setdefault(needed.folder, Planned(benchmark, owner, needed))
            work.chunks.update(store.pieces(needed))
    for comparison in measurement.comparisons:
        if comparison.samples * comparison.reference >= MANY:
            chunks = {(0, comparison.samples): False}
            planned[f"comparison {len(planned)}"] = Planned(benchmark, system, comparison, chunks)


def _measurements(
    benchmark: Benchmark, context: Context, systems: Sequence[System]
) -> Iterator[tuple[str, Callable[[], Iterator[Measurement]]]]:
    """The measurements of each system, and of real images alone, by title."""
    for system in systems:
        yield system.title, partial(benchmark.measurements, context, system)
    if benchmark.references is not None:
        yield REAL, partial(benchmark.references, context)


def _inputs(job: Job) -> Iterator[Job]:
    """The jobs that a job takes, each after those that it takes itself."""
    for needed in job.inputs:
        yield from _inputs(needed)
        yield needed


def _is_of_system(job: Job) -> bool:
    """Whether the arrays of a job depend on a system."""
    return job.system is not None or any(map(_is_of_system, job.inputs))


def _by_solver(system: System | None) -> str:
    """The solver of a system, unless it is the paper's."""
    papers = str(find("ddim"))
    name = str((system and system.solver) or papers)
    return "" if name == papers else f" by {solver_name(name)}"


def unread(dataset: Dataset, is_quick: bool) -> Dataset:
    """The data set of a dry run, whose images are not read to survey them, unless that `is_quick`."""
    survey = known_survey(dataset.source)
    if survey is None and is_quick:
        survey = dataset.source.look()
    return replace(dataset, source=_Unread(dataset.source, np.arange(len(dataset)), survey))


@dataclass(frozen=True)
class _Unread(Subset):
    """All images of a source in a dry run, which are not read to survey them: where their `survey` is not
    known, they have a fingerprint that is no other's.
    """

    survey: Survey | None

    def look(self) -> Survey:
        return self.survey or Survey("not known", len(self))
