"""What a benchmark is, and how one is run over systems that may not offer what it needs, or fail."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.core import tables
from benchmarks.core.context import Context
from benchmarks.core.plan import Work
from benchmarks.core.profiles import BUILT_IN, PROFILES
from benchmarks.core.registry import REGISTRY, SHARED_SIZES
from benchmarks.core.rows import Row, as_row
from benchmarks.core.sizes import fault_of
from benchmarks.metrics import METRICS, MetricInfo, register
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.runtime.overshoot import with_note
from benchmarks.systems.base import IN_WORDS, System
from benchmarks.systems.calling import raised
from benchmarks.systems.checked import Checked
from diffae import distributed
from diffae.cli import did_you_mean
from diffae.data.dataset import SPLITS
from diffae.errors import UserError
from reports.records import Record, record_key
from reports.specs import NAME, TableSpec


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. `run` yields a system's rows, `references` rows that belong to no system, and `beside` those that
    give a scale to rows of systems, from these: a Frechet distance is read beside that of as many real images.

    `needs` are the capabilities a system must have; `table` and `headline` (the name of a metric, as it is
    called with the networks at hand) stand for the benchmark in the row of a system that cannot run;
    `labelled` says that the data needs attributes. `plan` says what `run` would compute, for --dry-run.
    `metrics` are what it reports, by the names that they have with the published networks: what stands in for one
    where its weights are missing is in the table of metrics. `infos` are rows for that table, of a plug-in's own
    metrics. `of_images` says that its numbers are of what systems draw, so that a row tells how much of it had to be
    clamped. `shared` are sections of settings that it shares with other benchmarks. `sizes` is the dataclass of its settings
    (sizes.py), of which `context.sizes` gives the run's instance; of
    a plug-in, `profiles` has those values that are not the defaults, by name of the built-in profile. `tables` say how
    its numbers are laid out; without them in a plain table.
    """

    name: str
    title: str
    paper: str
    table: str
    headline: Callable[[Context], str]
    needs: frozenset[str]
    run: Callable[[Context, System], Iterator[Record]]
    labelled: bool = False
    references: Callable[[Context], Iterator[Record]] | None = None
    beside: Callable[[Context, Sequence[Record]], Iterator[Record]] | None = None
    plan: Callable[[Context, System], Iterator[Work]] | None = None
    metrics: tuple[str, ...] = ()
    infos: Mapping[str, MetricInfo] = field(default_factory=dict)
    of_images: bool = True
    sizes: type | None = None
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: tuple[TableSpec, ...] = ()
    shared: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        return self.name in REGISTRY.own


def accepted(name: str, found: object) -> Benchmark:
    """The benchmark of a plug-in, its metrics made known. Raises UserError if it cannot be one."""
    if not isinstance(found, Benchmark):
        raise UserError(f"{type(found).__name__} is not a benchmarks.core.base.Benchmark")
    if found.name != name:
        raise UserError(f"calls itself {found.name!r}")
    if wrong := [s for s in found.tables if not isinstance(s, TableSpec)]:
        raise UserError(f"tables are TableSpecs, not {type(wrong[0]).__name__}")
    for table in (found.table, *(name for s in found.tables for name in (s.name, s.source))):
        if not _is_table(table):
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


def rows(benchmark: Benchmark, context: Context, systems: Sequence[System]) -> Iterator[Row]:
    """All rows of a benchmark: what cannot run is a row with the reason, never left out."""
    context = replace(context, profile=context.profile.including(benchmark))
    if benchmark.labelled and context.dataset.attributes is None:
        yield not_run(
            benchmark, context, "all systems", f"{context.dataset.name} has no attributes"
        )
        return
    seen: set[str] = set()
    measured: list[Row] = []
    for system in systems:
        missing = sorted(benchmark.needs - system.capabilities)
        if missing:
            reason = f"{system.title} cannot {' or '.join(IN_WORDS[name] for name in missing)}"
            yield not_run(benchmark, context, system.title, reason)
            continue
        found = _measured(benchmark, context, system, seen)
        for row in _guarded(benchmark, context, system.title, found):
            measured.append(row)
            yield row
    found = _checked(benchmark, _scales(benchmark, context, measured), seen)
    scale = (replace(row, reference=True) for row in found)
    yield from _guarded(benchmark, context, "references", scale)


def _scales(benchmark: Benchmark, context: Context, measured: Sequence[Row]) -> Iterator[Record]:
    """The rows that give a scale: of the benchmark, and to what was measured."""
    if benchmark.references is not None:
        yield from benchmark.references(context)
    if benchmark.beside is not None:
        yield from benchmark.beside(context, measured)


def _measured(
    benchmark: Benchmark, context: Context, system: System, seen: set[str]
) -> Iterator[Row]:
    """A system's rows, with what was clamped in the images behind them, whether it was trained on these, and whether it
    is random."""
    overshoot, said = context.store.overshoot, ""
    if isinstance(system, Checked):
        system.overshoot = overshoot
        said = system.unsteady(context.dataset.image_size)
    found = _checked(benchmark, benchmark.run(context.of(system), system), seen)
    known = system.trained_on
    seen_of = {} if known is None else {s: known.remark(context.dataset, s) for s in SPLITS}
    for row in overshoot.told(found) if benchmark.of_images else found:
        row = replace(row, reference=row.reference or system.reference)
        if row.value is not None:
            row = with_note(with_note(row, seen_of.get(row.split, "")), said)
        yield row


def _guarded(
    benchmark: Benchmark, context: Context, title: str, found: Iterator[Row]
) -> Iterator[Row]:
    """The rows, and where they end early one that says why: a system failed, or the benchmark of a plug-in did.

    Errors that are the user's, and those of our own benchmarks, go through.
    """
    measured: set[str] = set()
    try:
        for row in found:
            measured.add(record_key(row))
            yield row
    except NotAvailable as obstacle:
        yield _apart(not_run(benchmark, context, title, str(obstacle)), measured)
    except SystemFailed as failure:
        yield _apart(failed(benchmark, context, title, str(failure)), measured)
    except (UserError, distributed.Stopped):
        raise
    except Exception as error:
        if benchmark.is_ours:
            raise
        reason = f"benchmark {benchmark.name!r} {raised(error)}"
        if (
            distributed.world() > 1
        ):  # the other processes may not have failed: this one cannot go on
            raise UserError(reason) from error
        yield _apart(failed(benchmark, context, title, reason), measured)


def _apart(row: Row, measured: set[str]) -> Row:
    """The row that says why others are missing, under a setting of its own if its cell has a number already."""
    return replace(row, setting="the rest") if record_key(row) in measured else row


def _checked(benchmark: Benchmark, found: Iterator[Record], seen: set[str]) -> Iterator[Row]:
    """The rows, if those of a plug-in are rows of its own and none twice; else they would spoil all tables."""
    if benchmark.is_ours:
        yield from map(as_row, found)
        return
    for record in found:
        if not isinstance(record, Record):
            raise TypeError(f"yielded {type(record).__name__}, not a Record")
        if record.benchmark != benchmark.name or not _is_table(record.table):
            raise ValueError(f"yielded a row of {record.benchmark!r} for {record.table!r}")
        if (key := record_key(record)) in seen:
            raise ValueError(f"yielded two rows for one number ({record.metric})")
        seen.add(key)
        yield as_row(record)


def _is_table(name: object) -> bool:
    """Whether a plug-in may write a table of that name: fit for a file's name, and none of ours."""
    return isinstance(name, str) and bool(NAME.fullmatch(name)) and name not in tables.ours()


def failed(benchmark: Benchmark, context: Context, system: str, reason: str) -> Row:
    """The row of what should have run and did not."""
    return replace(not_run(benchmark, context, system, reason), failed=True)


def not_run(benchmark: Benchmark, context: Context, system: str, reason: str) -> Row:
    """The row of a benchmark that a system could not run: no value, and why."""
    metric = _headline(benchmark, context)
    if metric not in METRICS:
        name, dataset = benchmark.name, context.dataset.name
        return Row(name, benchmark.table, system, dataset, "", "", None, "", None, note=reason)
    return context.record(
        benchmark.name, benchmark.table, system, metric, None, split="", note=reason
    )


def _headline(benchmark: Benchmark, context: Context) -> str:
    """The metric that stands for the benchmark; "" for a plug-in that cannot say it."""
    try:
        return benchmark.headline(context)
    except Exception:
        if benchmark.is_ours:
            raise
        return ""
