"""What a benchmark is, and how one is run over systems that may not offer what it needs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.context import Context
from benchmarks.metrics.weights import NotAvailable
from benchmarks.plan import Work
from benchmarks.systems.base import IN_WORDS, System
from reports.records import Record


@dataclass(frozen=True)
class Seen:
    """A metric that looks through a pretrained network: the name of its weights in `metrics.weights.KNOWN`,
    its own name with them, and what is reported without them."""

    weight: str
    metric: str
    instead: str


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. `run` yields a system's rows, `references` rows that belong to no system.

    `needs` are the capabilities a system must have; `table` and `headline` (the name of a metric, as it is
    called with the networks at hand) stand for the benchmark in the row of a system that cannot run;
    `labelled` says that the data needs attributes. `plan` says what `run` would compute, for --dry-run.
    `metrics` can always be measured; `seen` depends on the weights that are here. `doctor` prints both.
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
    plan: Callable[[Context, System], Iterator[Work]] | None = None
    metrics: tuple[str, ...] = ()
    seen: Seen | None = None


def rows(benchmark: Benchmark, context: Context, systems: Sequence[System]) -> Iterator[Record]:
    """All rows of a benchmark: what cannot run is a row with the reason, never left out."""
    if benchmark.labelled and context.dataset.attributes is None:
        yield not_run(
            benchmark, context, "all systems", f"{context.dataset.name} has no attributes"
        )
        return
    for system in systems:
        missing = sorted(benchmark.needs - system.capabilities)
        if missing:
            reason = f"{system.title} cannot {' or '.join(IN_WORDS[name] for name in missing)}"
            yield not_run(benchmark, context, system.title, reason)
            continue
        try:
            for row in benchmark.run(context, system):
                yield replace(row, reference=row.reference or system.reference)
        except NotAvailable as reason:
            yield not_run(benchmark, context, system.title, str(reason))
    if benchmark.references is not None:
        yield from (replace(row, reference=True) for row in benchmark.references(context))


def not_run(benchmark: Benchmark, context: Context, system: str, reason: str) -> Record:
    """The row of a benchmark that a system could not run: no value, and why."""
    metric = benchmark.headline(context)
    return context.record(
        benchmark.name, benchmark.table, system, metric, None, split="", note=reason
    )
