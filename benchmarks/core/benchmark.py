"""What a benchmark is, and what is required of a plug-in's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.core.context import Context
from benchmarks.core.measurement import Measurement
from benchmarks.core.profiles import BUILT_IN, PROFILES
from benchmarks.core.registry import REGISTRY, SHARED_SIZES, ours
from benchmarks.core.sizes import fault_of
from benchmarks.metrics import MetricInfo, register
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import IN_WORDS, System
from diffae.data import Dataset
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from reports.records.record import Record
from reports.records.specs import NAME, TableSpec


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark. Fields without a default are required.

    Functions are given the `Context` of the run:

        run(context, system)      yields the measurements of one system
        references(context)       yields measurements that belong to no system, such as those of real images
        beside(context, records)  yields reference measurements that depend on the measured `records`, such
                                  as the Frechet distance of as many real images
        headline(context)         the metric of the record that says why a system could not be measured,
                                  named after the networks at hand
        table       the table of that record; by default the first of `tables`, or else `name`
        title, paper    what `list` prints of a plug-in; those of ours are in core/registry.py
        needs       the capabilities that a system must have
        labelled    whether the data must have attributes
        of_images   whether the numbers are computed from decoded images; records then say how many
                    values had to be clamped
        random      whether the seed decides its numbers where all images are measured: all of them, none,
                    or which; the tests hold every row to it
        sizes       the dataclass of its settings (sizes.py); `context.sizes` gives the run's instance
        profiles    the settings that are not the defaults, by built-in profile; also in profiles/*.toml
        learns      whether it needs training images of this data: where all are test images, half of them
                    serve for it
        shared      sections of settings that it shares with other benchmarks
        tables      how its numbers are laid out; without them, in a plain table
        infos       of a plug-in: its own metrics, under the names that they have with the published
                    networks
    """

    name: str
    title: str = ""
    paper: str = ""
    table: str = ""
    headline: Callable[[Context], str]
    needs: frozenset[str]
    run: Callable[[Context, System], Iterator[Measurement]]
    labelled: bool = False
    references: Callable[[Context], Iterator[Measurement]] | None = None
    beside: Callable[[Context, Sequence[Record]], Iterator[Measurement]] | None = None
    infos: Mapping[str, MetricInfo] = field(default_factory=dict)
    of_images: bool = True
    random: bool | Callable[[Record], bool] = True
    sizes: type | None = None
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: tuple[TableSpec, ...] = ()
    shared: tuple[str, ...] = ()
    learns: bool | Callable[[Dataset], bool] = False

    def __post_init__(self) -> None:
        if not self.table:
            object.__setattr__(self, "table", self.tables[0].name if self.tables else self.name)

    @property
    def is_ours(self) -> bool:
        """Whether it is one of this package's, and none of a plug-in."""
        return self.name in REGISTRY.own

    def context_of(self, context: Context) -> Context:
        """The context of its measurements in a run."""
        profile = context.profile.including(self)
        context = replace(context, profile=profile, benchmark=self.name)
        learns = self.learns(context.dataset) if callable(self.learns) else self.learns
        return context.with_training_images() if learns else context

    def measurements(self, context: Context, system: System) -> Iterator[Measurement]:
        """The measurements of a system in a run. Raises NotAvailable if it cannot do what they need."""
        if lacking := [IN_WORDS[name] for name in sorted(self.needs - system.capabilities)]:
            raise NotAvailable(f"{system.title} cannot {' or '.join(lacking)}")
        return self.run(context.for_system(system), system)


def accepted(name: str, benchmark: object) -> Benchmark:
    """Check the benchmark of a plug-in and register its metrics. Raises UserError with the first fault."""
    if not isinstance(benchmark, Benchmark):
        raise UserError(f"{type(benchmark).__name__} is not a benchmarks.plugin.Benchmark")
    if benchmark.name != name:
        raise UserError(f"calls itself {benchmark.name!r}")
    if wrong := [s for s in benchmark.tables if not isinstance(s, TableSpec)]:
        raise UserError(f"tables are TableSpecs, not {type(wrong[0]).__name__}")
    for table in (
        benchmark.table,
        *(name for s in benchmark.tables for name in (s.name, s.source)),
    ):
        if not is_table(table):
            raise UserError(f"cannot write a table called {table!r}")
    if unknown := sorted(set(benchmark.needs) - set(IN_WORDS)):
        raise UserError(f"needs what no system has: {', '.join(unknown)}")
    if benchmark.sizes is not None and (fault := fault_of(benchmark.sizes)):
        raise UserError(fault)
    if name in SHARED_SIZES:
        raise UserError("its name is that of settings that benchmarks share")
    for profile in benchmark.profiles:
        if profile not in BUILT_IN:
            near = did_you_mean(profile, BUILT_IN)
            raise UserError(f"its profiles: no profile {profile!r}{near}")
        _ = PROFILES[profile].including(benchmark)
    register(name, benchmark.infos)
    return benchmark


def is_table(name: object) -> bool:
    """Whether a plug-in may write a table of that name: a valid file name, and none of ours."""
    return isinstance(name, str) and bool(NAME.fullmatch(name)) and name not in ours()
