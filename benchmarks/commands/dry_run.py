"""`--dry-run`: what a run would compute, how long it would take here, and how much it would store.

The `plan` of every benchmark is added up. Times are an extrapolation: each network is called on a
small batch, and its seconds per image are multiplied by the number of calls. Nothing is written.
Portraits are counted, not drawn; of other data only the names, the labels and the first image are
read.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial

import numpy as np
import torch
from tabulate import tabulate

from benchmarks.core.context import Context
from benchmarks.core.job import Calls, SetComparison, Job
from benchmarks.core.measurement import Measurement
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner import precision_guard
from benchmarks.metrics import counting
from benchmarks.metrics.sets import kernel
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from benchmarks.runtime.calling import raised
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems.protocol import base
from benchmarks.systems.protocol.base import System
from diffae.data.dataset import SPLITS
from diffae.system import cli
from reports.records.reading import named
from reports.tables.numbers import duration

Work = None  # TEMPORARY
BATCH = {"cpu": 4, "cuda": 64}
FEW = 2_000  # images of either side, by the time of whose comparison that of more is told
WIDTH = 100  # characters of a line
HEADERS = ("benchmark", "system", "work", "images", "calls", "TFLOP", "time", "GB")
WIDTHS = (14, 14, 24, *[None] * 5)  # of the columns of names
ALIGNED = (*["left"] * 3, *["right"] * 5)


@dataclass(frozen=True)
class Cost:
    """Cost of one call for one image: seconds on this device, and FLOP (2 x multiply-accumulates)."""

    seconds: float = 0.0
    flops: float = 0.0


Costs = dict[str, Cost]  # by field of `Calls`


def report(context: Context, names: tuple[str, ...], systems: list[System]) -> str:
    """The plan as tables: work, totals, and what cannot run."""
    cli.say("timing one batch of every network")
    planned, refused = collect(context, names, systems)
    real = _metric_costs(context)
    if any(work.calls.pairs for *_, work in planned):
        real["pairs"] = _pair_cost(context)
    costs = {}
    for system in systems:
        try:
            own = {name: _cost(context, call) for name, call in _system_calls(context, system)}
            costs[system.title] = real | own
        except SystemFailed as failure:
            costs[system.title] = real
            refused.append(("all benchmarks", system.title, str(failure)))
    rows, total = [], _Total()
    for benchmark, title, work in planned:
        total.add(work, costs[title])
        what = f"{work.what}, T = {work.steps}" if work.steps else work.what
        cells = _Total().add(work, costs[title]).cells()
        shown = "real images" if work.real else title
        rows.append([benchmark, shown, what, f"{work.images:,}", *cells])
    rows.append(["total", "", "", "", *total.cells()])
    table = tabulate(
        rows, HEADERS, "simple", disable_numparse=True, colalign=ALIGNED, maxcolwidths=WIDTHS
    )
    counts = asdict(total.calls.of_networks).items()
    calls = ", ".join(f"{name} {count:,}" for name, count in counts if count) or "none"
    kept = _amount(total.bytes / 1e9) or 0
    lines = [
        f"not run: {benchmark}: {named(title, reason)}" for benchmark, title, reason in refused
    ]
    lines += [
        f"calls: {calls}; TFLOP: 10^12 multiplications and additions; GB: kept in the store",
        f"times: extrapolated from one batch of {_batch(context)} on {context.device}, and for pairs of "
        f"images from a kernel distance of {FEW:,}; fitting of probes and Frechet distances is not counted",
        f"about {_took(total.seconds)} in all, and {kept} GB are kept",
    ]
    return "\n".join([*map(_wrapped, _about(context)), table, *map(_wrapped, lines)])


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False)


def _about(context: Context) -> list[str]:
    """The data, its splits, and the changes to the profile."""
    data, profile = context.dataset, context.profile
    splits = ", ".join(f"{name} {len(data.indices(name)):,}" for name in SPLITS)
    crop = data.transform.crop
    return [
        f"data: {data.name}, {len(data):,} images, {data.image_size} px, crop {crop}",
        f"splits: {splits} ({data.partition_source})",
        f"profile: {profile.title}; seed {context.seed}",
        "",
    ]


@dataclass(frozen=True)
class Planned:
    """A job, or a comparison of sets, and the benchmark and the system (or real images) that it is for."""

    benchmark: str
    system: str
    job: Job | SetComparison


def collect(
    context: Context, names: Sequence[str], systems: Sequence[System]
) -> tuple[list[Planned], list[tuple[str, str, str]]]:
    """The jobs of all benchmarks and systems, those that several need only once, at their first use.

    Also what cannot run, as (benchmark, system, reason).
    """
    planned, refused = list[Planned](), list[tuple[str, str, str]]()
    for name in names:
        benchmark = REGISTRY.get(name)
        profile = context.profile.including(benchmark)
        here = replace(context, profile=profile, benchmark=name, pictures=None)
        for system in systems:
            try:
                if benchmark.labelled and not context.dataset.labelled:
                    raise NotAvailable(f"{context.dataset.name} has no attributes")
                if lacks := benchmark.lacking(system):
                    raise NotAvailable(f"{system.title} cannot {lacks}")
                for measurement in benchmark.run(here.for_system(system), system):
                    planned += _jobs_of(name, system.title, measurement)
            except (NotAvailable, SystemFailed) as reason:
                refused.append((name, system.title, str(reason)))
            except Exception as error:
                if benchmark.is_ours:
                    raise
                reason = f"its work cannot be counted: it {raised(error)}"
                refused.append((name, system.title, reason))
    return _distinct(planned), refused


def _jobs_of(benchmark: str, title: str, measurement: Measurement) -> Iterator[Planned]:
    """The jobs of a measurement, each after those that it takes, and its comparisons."""
    for job in measurement.jobs:
        for needed in (*_inputs(job), job):
            yield Planned(benchmark, title if needed.system else "real images", needed)
    for comparison in measurement.comparisons:
        yield Planned(benchmark, title, comparison)


def _inputs(job: Job) -> Iterator[Job]:
    """The jobs that a job takes, each after those that it takes itself."""
    for needed in job.inputs:
        yield from _inputs(needed)
        yield needed


def _distinct(planned: Iterable[Planned]) -> list[Planned]:
    """The jobs, those of one key once, with the largest number of units that is asked for."""
    first: dict[object, Planned] = {}
    for number, part in enumerate(planned):
        key = part.job.folder if isinstance(part.job, Job) else number
        before = first.setdefault(key, part)
        if isinstance(part.job, Job) and isinstance(before.job, Job):
            if (part.job.count or 1) > (before.job.count or 1):
                first[key] = replace(before, job=part.job)
    return list(first.values())


class _Total:
    """Sums of calls, FLOP, seconds and bytes."""

    def __init__(self) -> None:
        self.calls, self.flops, self.seconds, self.bytes = Calls(), 0.0, 0.0, 0

    def add(self, work: Work, costs: Costs) -> "_Total":
        calls = work.calls.times(work.images)
        self.calls = self.calls.plus(calls)
        for name, cost in costs.items():
            self.flops += getattr(calls, name) * cost.flops
            self.seconds += getattr(calls, name) * cost.seconds
        self.bytes += work.images * work.bytes
        return self

    def cells(self) -> list[str]:
        """Calls, TFLOP, time and GB stored, as cells of a table."""
        calls = _count(sum(astuple(self.calls.of_networks)))
        time = _took(self.seconds) if self.seconds else ""
        return [calls, _amount(self.flops / 1e12), time, _amount(self.bytes / 1e9)]


def _count(count: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 10 * size:
            return f"{count / size:,.0f} {unit}"
    return f"{count:,}" if count else ""


def _amount(number: float) -> str:
    """A number with two digits; empty if it is zero."""
    if not number:
        return ""
    return "< 0.01" if number < 0.01 else cli.plain(number, 2)


def _took(seconds: float) -> str:
    return "< 1 s" if seconds < 1 else duration(seconds)


# ----------------------------------------------------------------------------------------------
# One call of each network, timed


def _batch(context: Context) -> int:
    return BATCH[context.device.type]


def _metric_costs(context: Context) -> Costs:
    size = context.dataset.image_size
    images = torch.rand(_batch(context), 3, size, size) * 2 - 1
    costs = {
        "features": _cost(context, lambda: context.codes.embed(images)),
        "perceptual": _cost(context, lambda: context.networks.perceptual(images, -images)),
    }
    with suppress(NotAvailable):
        costs["face"] = _cost(context, lambda: context.networks.face(images))
    return costs


def _pair_cost(context: Context) -> Cost:
    """The seconds of comparing two images, in a kernel distance of FEW and FEW by its first features."""
    draw, dim = np.random.default_rng(0), context.networks.features[0].dim
    features = (draw.random((FEW, dim), np.float32) for _ in range(2))
    sides = [Side.of(x, blocks_of(FEW), device=context.device) for x in features]
    between = partial(kernel.between, *sides)
    return Cost(counting.median_seconds(lambda: between().whole(), 2, context.device) / FEW**2)


def _system_calls(context: Context, system: System) -> Iterator[tuple[str, Callable[[], object]]]:
    """One call of each network of the system; a system that must be fitted first is not counted."""
    if system.learns_from_data or base.has_no_encoder(system):
        return
    batch, size = _batch(context), system.image_size or context.dataset.image_size
    images = torch.rand(batch, 3, size, size) * 2 - 1
    indices = list(range(batch))
    if base.SEMANTIC in system.capabilities:
        yield "encoder", lambda: system.encode_semantic(images)
    elif base.ENCODE in system.capabilities and base.STOCHASTIC not in system.capabilities:
        yield "encoder", lambda: system.encode(images, 1)
    if (
        base.DECODE in system.capabilities
        and {base.ENCODE, base.SEMANTIC, base.SAMPLE_LATENTS} & system.capabilities
    ):
        code = precision_guard.any_code(system, images, 1, seed=0)
        yield "decoder", lambda: system.decode(code, 1)
    if base.SAMPLE_LATENTS in system.capabilities:
        yield "latent", lambda: system.sample_latents(indices, 0, 1)


def _cost(context: Context, call: Callable[[], object]) -> Cost:
    """The cost of one call for one image: its operations, and the median time of two calls."""
    batch = _batch(context)
    operations = counting.flops(call)
    return Cost(counting.median_seconds(call, 2, context.device) / batch, operations / batch)
