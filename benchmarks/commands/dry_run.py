"""`--dry-run`: what a run would compute, how often it would call each network, and how long that would take.

The jobs of all benchmarks are listed, with what the store has of them. Times are an extrapolation: each
network is called on a small batch, and its seconds for an image are multiplied by the number of calls.
Nothing is written. Portraits that are not in the cache are not drawn; of other data only the names, the
labels and the first image are read, so that nothing counts as stored while its fingerprint is not known.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from functools import partial

import numpy as np
import torch

from benchmarks.commands.planned import REAL, Planned, Refused, collect
from benchmarks.core.context import Context
from benchmarks.core.job import Calls
from benchmarks.metrics import counting
from benchmarks.metrics.sets import kernel
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems import precision_guard
from benchmarks.systems.protocol import base
from benchmarks.systems.protocol.base import System
from diffae.data.partition import SPLITS
from diffae.system import cli
from reports.records.reading import grouped, named
from reports.tables.numbers import duration

BATCH = {"cpu": 4, "cuda": 64}
FEW = 2_000  # images of either side, by the time of whose comparison that of more is told
WIDTH, INDENT = 100, "  "  # characters of a line, and before the jobs of a benchmark and system
JOB = 56  # characters of the name of a job, which is the first column of LINE
LINE = "{:<57}{:>8}{:>8}{:>18}{:>9}"
HEADERS = ("", "units", "stored", "decoder calls", "time")

Costs = Mapping[str, float]  # seconds of a call for one image on this device, by field of `Calls`


# ----------------------------------------------------------------------------------------------
# The report


def report(
    context: Context, names: tuple[str, ...], systems: list[System]
) -> tuple[str, list[Refused]]:
    """A table of the work, with totals, and what cannot run; and what of this failed."""
    cli.say("timing one batch of every network")
    planned, refused = collect(context, names, systems)
    real = _metric_costs(context)
    if any(work.job.pairs for work in planned):
        real["pairs"] = _pair_cost(context)
    costs: dict[str, Costs] = {REAL: real}
    for system in systems:
        costs[system.title] = real
        try:
            calls = dict(_system_calls(context, system))
            costs[system.title] = real | {n: _seconds(context, call) for n, call in calls.items()}
        except SystemFailed as failure:
            refused.append(Refused("all benchmarks", system.title, str(failure), failed=True))
    lines = [*_about(context), LINE.format(*HEADERS)]
    for (benchmark, title), of_system in grouped(
        planned, lambda work: (work.benchmark, work.system)
    ).items():
        lines.append(f"{benchmark}, {title}")
        for alike in grouped(of_system, lambda work: work.title).values():
            lines += _lines_of(alike, costs)
    seconds = sum(_time(work, costs) for work in planned)
    about = (_total(planned, seconds), _about_times(context), *_not_run(refused))
    lines += ["", *map(_wrapped, about)]
    failed = [each for each in refused if each.failed]
    return "\n".join(map(str.rstrip, lines)), failed or (refused if not planned else [])


def _about(context: Context) -> list[str]:
    """The data, its splits, and the changes to the profile."""
    data, profile = context.dataset, context.profile
    splits = ", ".join(f"{name} {len(data.indices(name)):,}" for name in SPLITS)
    crop = data.transform.crop
    lines = (
        f"data: {data.name}, {len(data):,} images, {data.image_size} px, crop {crop}",
        f"splits: {splits} ({data.partition_source})",
        f"profile: {profile.title}; seed {context.seed}",
    )
    return [*map(_wrapped, lines), ""]


def _lines_of(alike: Sequence[Planned], costs: Mapping[str, Costs]) -> list[str]:
    """The line of some work of one title, and lines before it if the title is long."""
    title = f"{len(alike)} x {alike[0].title}" if len(alike) > 1 else alike[0].title
    *first, last = textwrap.wrap(title, JOB, initial_indent=INDENT, subsequent_indent=2 * INDENT)
    units, stored = sum(work.units for work in alike), sum(work.stored for work in alike)
    counts = _count(units), _count(stored), _calls_of(alike, "decoder")
    seconds = sum(_time(work, costs) for work in alike)
    time = _took(seconds) if seconds else ""
    return [*first, LINE.format(last, *counts, time)]


def _time(work: Planned, costs: Mapping[str, Costs]) -> float:
    """The seconds of the calls and comparisons of some work."""
    seconds, counts = costs[work.system], asdict(work.calls) | {"pairs": work.job.pairs}
    return sum(count * seconds.get(name, 0.0) for name, count in counts.items())


def _not_run(refused: Sequence[Refused]) -> Iterator[str]:
    """A line for each system and reason, with the benchmarks that it concerns."""
    for (title, reason, failed), alike in grouped(refused, lambda each: each[1:]).items():
        word = "failed" if failed else "not run"
        yield f"{word}: {named(title, reason)} ({', '.join(each.benchmark for each in alike)})"


def _total(planned: Sequence[Planned], seconds: float) -> str:
    """The calls of each network and the time of all work."""
    counts = {f.name: _calls_of(planned, f.name, "{:,}".format) for f in fields(Calls)}
    calls = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return f"total: {calls or 'no'} calls, {_took(seconds)}; what is stored takes neither"


def _about_times(context: Context) -> str:
    return (
        f"times: extrapolated from one batch of {BATCH[context.device.type]} on {context.device}, and for pairs of "
        f"images from a kernel distance of {FEW:,}; fits, searches and Frechet distances are not counted"
    )


def _count(count: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 10 * size:
            return f"{count / size:,.0f} {unit}"
    return f"{count:,}" if count else ""


def _calls_of(
    planned: Iterable[Planned], network: str, text_of: Callable[[int], str] = _count
) -> str:
    """The calls of a network, if there are any; "at most" so many where their number depends on the data."""
    calling = [work for work in planned if getattr(work.calls, network)]
    count = text_of(sum(getattr(work.calls, network) for work in calling)) if calling else ""
    return f"at most {count}" if any(work.job.at_most for work in calling) else count


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent=INDENT, break_long_words=False)


def _took(seconds: float) -> str:
    return "< 1 s" if seconds < 1 else duration(seconds)


# ----------------------------------------------------------------------------------------------
# One call of each network, timed


def _metric_costs(context: Context) -> dict[str, float]:
    size = context.dataset.image_size
    images = torch.rand(BATCH[context.device.type], 3, size, size) * 2 - 1
    costs = {
        "features": _seconds(context, lambda: context.codes.embed(images)),
        "perceptual": _seconds(context, lambda: context.networks.perceptual(images, -images)),
    }
    with suppress(NotAvailable):
        costs["face"] = _seconds(context, lambda: context.networks.face(images))
    return costs


def _pair_cost(context: Context) -> float:
    """The seconds of comparing two images, in a kernel distance of FEW and FEW by its first features."""
    draw, dim = np.random.default_rng(0), context.networks.features[0].dim
    features = (draw.random((FEW, dim), np.float32) for _ in range(2))
    sides = [Side.of(x, blocks_of(FEW), device=context.device) for x in features]
    between = partial(kernel.between, *sides)
    return counting.median_seconds(lambda: between().whole(), 2, context.device) / FEW**2


def _system_calls(context: Context, system: System) -> Iterator[tuple[str, Callable[[], object]]]:
    """One call of each network of the system; a system that must be fitted first is not timed."""
    if system.learns_from_data or base.has_no_encoder(system):
        return
    batch, size = BATCH[context.device.type], system.image_size or context.dataset.image_size
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


def _seconds(context: Context, call: Callable[[], object]) -> float:
    """The median time of two calls, for one image."""
    return counting.median_seconds(call, 2, context.device) / BATCH[context.device.type]
