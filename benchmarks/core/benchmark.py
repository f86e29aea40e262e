"""What a benchmark is, and what is required of a plug-in's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.core import tables
from benchmarks.core.context import Context
from benchmarks.core.plan import Work
from benchmarks.core.profiles import BUILT_IN, PROFILES
from benchmarks.core.registry import REGISTRY, SHARED_SIZES
from benchmarks.core.sizes import fault_of
from benchmarks.metrics import MetricInfo, register
from benchmarks.systems.protocol.base import IN_WORDS, System
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from reports.records.record import Record
from reports.records.specs import NAME, TableSpec


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark. `run` yields a system's rows, `references` rows that belong to no system, and
    `beside` those that give a scale to rows of systems, from these: a Frechet distance is read
    beside that of as many real images.

    `title` and `paper` are a plug-in's line in `list`; those of ours are in tasks/__init__.py.
    `needs` are the capabilities a system must have; `table` and `headline` (the name of a metric,
    as it is called with the networks at hand) stand for the benchmark in the row of a system that
    cannot run; `labelled` says that the data needs attributes. `plan` says what `run` would
    compute, for --dry-run. `infos` are rows of a plug-in's own metrics for the table of metrics, where
    each has the name that it has with the published network. `of_images` says that its
    numbers are of what systems draw, so that a row tells how much of it had to be clamped. `shared`
    are sections of settings that it shares with other benchmarks. `sizes` is the dataclass of its
    settings (sizes.py), of which `context.sizes` gives the run's instance; of a plug-in, `profiles`
    has those values that are not the defaults, by name of the built-in profile. `tables` say how
    its numbers are laid out; without them in a plain table.
    """

    name: str
    title: str = ""
    paper: str = ""
    table: str
    headline: Callable[[Context], str]
    needs: frozenset[str]
    run: Callable[[Context, System], Iterator[Record]]
    labelled: bool = False
    references: Callable[[Context], Iterator[Record]] | None = None
    beside: Callable[[Context, Sequence[Record]], Iterator[Record]] | None = None
    plan: Callable[[Context, System], Iterator[Work]] | None = None
    infos: Mapping[str, MetricInfo] = field(default_factory=dict)
    of_images: bool = True
    sizes: type | None = None
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: tuple[TableSpec, ...] = ()
    shared: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        return self.name in REGISTRY.own

    def lacking(self, system: System) -> str:
        """What the system cannot do and the benchmark needs, in words; "" if nothing."""
        return " or ".join(IN_WORDS[name] for name in sorted(self.needs - system.capabilities))


def accepted(name: str, found: object) -> Benchmark:
    """Check the benchmark of a plug-in and register its metrics. Raises UserError with the first fault."""
    if not isinstance(found, Benchmark):
        raise UserError(f"{type(found).__name__} is not a benchmarks.plugin.Benchmark")
    if found.name != name:
        raise UserError(f"calls itself {found.name!r}")
    if wrong := [s for s in found.tables if not isinstance(s, TableSpec)]:
        raise UserError(f"tables are TableSpecs, not {type(wrong[0]).__name__}")
    for table in (found.table, *(name for s in found.tables for name in (s.name, s.source))):
        if not is_table(table):
            raise UserError(f"cannot write a table called {table!r}")
    if unknown := sorted(set(found.needs) - set(IN_WORDS)):
        raise UserError(f"needs what no system has: {', '.join(unknown)}")
    if found.sizes is not None and (fault := fault_of(found.sizes)):
        raise UserError(fault)
    if name in SHARED_SIZES:
        raise UserError("its name is that of settings that benchmarks share")
    for profile in found.profiles:
        if profile not in BUILT_IN:
            raise UserError(
                f"its profiles: no profile {profile!r}{did_you_mean(profile, BUILT_IN)}"
            )
        _ = PROFILES[profile].including(found)
    register(name, found.infos)
    return found


def is_table(name: object) -> bool:
    """Whether a plug-in may write a table of that name: a valid file name, and none of ours."""
    return isinstance(name, str) and bool(NAME.fullmatch(name)) and name not in tables.ours()
