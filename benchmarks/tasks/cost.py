"""Cost: parameters, operations and network calls of each system, and how long they take here (Section 5.5).

What anybody would count alike is in records.csv. Times and memory belong to a machine: they are measured once,
kept in the store, and go to `times.csv` and the table `section5.5_times` beside the others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work
from benchmarks.core.plan import network_calls as network_calls_of
from benchmarks.core.sizes import Number, Steps
from benchmarks.core.solving import solver_of
from benchmarks.core.store import Arrays
from benchmarks.metrics import counting
from benchmarks.systems.base import (
    DECODE,
    ENCODE,
    SAMPLE_LATENTS,
    SEMANTIC,
    STOCHASTIC,
    Code,
    System,
)
from benchmarks.systems.checked import undivided
from reports.records import Record
from reports.specs import TableSpec

TABLE, TIMES = "section5.5_cost", "section5.5_times"


@dataclass(frozen=True)
class Sizes:
    """
    steps         T that network calls are counted at
    batch         images at a time when it is timed
    timed_steps   T when it is timed
    repeats       timed repetitions
    """

    steps: tuple[Steps, ...] = (10, 20)
    batch: Number = 8
    timed_steps: Steps = 10
    repeats: Number = 3


@dataclass(frozen=True)
class Verb:
    """Something that a system does with images N x 3 x S x S and their code, perhaps in T steps."""

    name: str
    needs: frozenset[str]
    stepwise: bool
    run: Callable[[System, Tensor, Code, int], object]


VERBS = (
    Verb(
        "encode, semantic",
        frozenset({SEMANTIC}),
        False,
        lambda system, images, code, steps: system.encode_semantic(images),
    ),
    Verb(
        "encode, stochastic",
        frozenset({ENCODE, STOCHASTIC}),
        True,
        lambda system, images, code, steps: system.encode_stochastic(images, code.semantic, steps),
    ),
    Verb(
        "decode",
        frozenset({ENCODE, DECODE}),
        True,
        lambda system, images, code, steps: system.decode(code, steps),
    ),
    Verb(
        "sample, semantic",
        frozenset({SAMPLE_LATENTS}),
        True,
        lambda system, images, code, steps: system.sample_latents(range(len(images)), 0, steps),
    ),
)


def run(context: Context, system: System) -> Iterator[Record]:
    yield from _parameters(context, system)
    for verb in verbs(system):
        yield _record(context, system, "gflops", operations(context, system, verb) / 1e9, verb.name)
    if system.networks():
        for verb in verbs(system):
            for steps in _all_steps(context, system, verb):
                calls = network_calls(context, system, verb, steps)
                yield _record(context, system, "network_calls", calls, verb.name, steps)
    yield from times(context, system)


def verbs(system: System) -> list[Verb]:
    """What the system is capable of."""
    return [verb for verb in VERBS if verb.needs <= system.capabilities]


def _all_steps(context: Context, system: System, verb: Verb) -> Sequence[int | None]:
    return context.sizes(Sizes).steps if system.iterative and verb.stepwise else (None,)


def _size(context: Context, system: System) -> int:
    """The side of the images that the system is given."""
    return system.image_size or context.dataset.image_size


def _work(
    context: Context, system: System, verb: Verb, batch: int, steps: int | None
) -> Callable[[], object]:
    """The verb on `batch` grey images: nothing here depends on what they show."""
    size = _size(context, system)
    images = torch.zeros(batch, 3, size, size)
    code = system.encode(images, 1) if ENCODE in system.capabilities else Code()
    return partial(verb.run, system, images, code, steps or 1)


# ----------------------------------------------------------------------------------------------
# What anybody would count alike


def _parameters(context: Context, system: System) -> Iterator[Record]:
    parts = system.networks()
    if not parts:
        note = f"{system.title} names no networks"
        yield _record(context, system, "parameters", None, "total", note=note)
        return
    for part, network in parts.items():
        yield _record(context, system, "parameters", counting.parameters([network]), part)
    yield _record(context, system, "parameters", counting.parameters(parts.values()), "total")


def operations(context: Context, system: System, verb: Verb) -> int:
    """Floating-point operations for one image and one step, from the store."""

    def compute() -> Arrays:
        return {"flops": np.array(counting.flops(_work(context, system, verb, 1, 1)))}

    key = context.codes.key("flops", system, None) | {
        "verb": verb.name,
        "image_size": _size(context, system),
    }
    return int(context.store.once(key, compute)["flops"])


def network_calls(context: Context, system: System, verb: Verb, steps: int | None) -> int:
    """Network calls for one batch, counted, from the store."""

    def compute() -> Arrays:
        work = _work(context, system, verb, 1, steps)
        return {"calls": np.array(counting.network_calls(work, system.networks().values()))}

    key = context.codes.key("calls", system, None) | {"verb": verb.name, "steps": steps}
    return int(context.store.once(key, compute)["calls"])


def _record(
    context: Context,
    system: System,
    metric: str,
    value: float | None,
    setting: str,
    steps: int | None = None,
    note: str = "",
) -> Record:
    protocol = context.protocol(
        "cost",
        image_size=_size(context, system),
        batch_size=1,
        flops="convolutions and matrix products, 2 per multiply-add, one step (T = 1)",
    )
    return context.record(
        "cost",
        TABLE,
        system.title,
        metric,
        None if value is None else float(value),
        setting=setting,
        steps=steps,
        solver=solver_of(system, steps),
        split="",
        n=1,
        protocol=None if value is None else protocol,
        note=note,
    )


# ----------------------------------------------------------------------------------------------
# What belongs to this machine


def machine(context: Context) -> dict[str, str]:
    """What a time depends on besides the work."""
    return {
        "device_name": counting.device_name(context.device),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
    }


def times(context: Context, system: System) -> Iterator[Record]:
    """Images per second and peak memory of each verb, measured once on this machine."""
    sizes = context.sizes(Sizes)
    for verb in verbs(system):
        steps = sizes.timed_steps if system.iterative and verb.stepwise else None
        setup = machine(context) | {
            "batch_size": str(sizes.batch),
            "repeats": str(sizes.repeats),
        }
        measured = _measure(context, system, verb, steps, setup)
        protocol = context.protocol("cost", **setup, steps=steps, memory=_memory(context))
        for metric, value in measured.items():
            yield context.record(
                "cost",
                TIMES,
                system.title,
                metric,
                float(value) if np.isfinite(value) else None,
                setting=verb.name,
                steps=steps,
                solver=solver_of(system, steps),
                split="",
                n=sizes.batch,
                protocol=protocol,
                note="" if np.isfinite(value) else "not measured on this platform",
                of_machine=True,
            )


def _memory(context: Context) -> str:
    on_gpu = context.device.type == "cuda"
    return "allocated on the device" if on_gpu else "resident set of the process"


def _measure(
    context: Context, system: System, verb: Verb, steps: int | None, setup: dict[str, str]
) -> Arrays:
    sizes = context.sizes(Sizes)

    def compute() -> Arrays:
        work = _work(context, system, verb, sizes.batch, steps)
        with undivided(system):
            seconds = counting.median_seconds(work, sizes.repeats, context.device)
            return {
                "images_per_second": np.array(sizes.batch / seconds),
                "peak_memory": np.array(counting.peak_memory(work, context.device)),
            }

    key = context.codes.key("times", system, None) | setup | {"verb": verb.name, "steps": steps}
    return context.store.once(key | {"image_size": _size(context, system)}, compute)


def plan(context: Context, system: System) -> Iterator[Work]:
    """The timed repetitions, each with one that does not count and one that is watched for memory."""
    sizes = context.sizes(Sizes)
    networks = {"encode, semantic": "encoder", "sample, semantic": "latent"}
    for verb in verbs(system):
        steps = sizes.timed_steps if system.iterative and verb.stepwise else None
        calls = Calls(**{networks.get(verb.name, "decoder"): network_calls_of(system, steps)})
        yield Work(f"time: {verb.name}", (sizes.repeats + 2) * sizes.batch, calls, steps)


TABLES = (
    TableSpec(
        name=TABLE,
        title="Section 5.5: cost",
        caption="Parameters, operations (2 per multiply-add) and network calls; no times.",
        source=TABLE,
        rows=("setting", "steps"),
        setting_header="of",
        columns=("system",),
        metrics=("parameters", "gflops", "network_calls"),
        panels=True,
        headline=("parameters",),
        headline_settings=("total",),
        order=110,
    ),
    TableSpec(
        name=TIMES,
        title="Section 5.5: times",
        caption="Measured on this machine, once; another machine and another run give other numbers.",
        source=TIMES,
        rows=("setting", "steps"),
        setting_header="of",
        columns=("system",),
        metrics=("images_per_second", "peak_memory"),
        panels=True,
        order=120,
    ),
)

BENCHMARK = Benchmark(
    name="cost",
    title="parameters, operations, network calls, and times",
    paper="Section 5.5",
    table=TABLE,
    headline=lambda context: "parameters",
    needs=frozenset(),
    run=run,
    plan=plan,
    sizes=Sizes,
    metrics=("parameters", "gflops", "network_calls", "images_per_second", "peak_memory"),
    of_images=False,
    tables=TABLES,
)
