"""Cost: parameters, operations, network calls and times of each system (Section 5.5).

Counts that do not depend on the machine are in records.csv. Times and memory do: they are measured
once, kept in the store, and written to `times.csv` and the table `section5.5_times` of the same
run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work, network_calls
from benchmarks.core.sizes import Number, Steps
from benchmarks.core.solving import solver_of
from benchmarks.core.store import Arrays
from benchmarks.metrics import counting
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    SAMPLE_LATENTS,
    SEMANTIC,
    STOCHASTIC,
    Code,
    System,
)
from benchmarks.systems.protocol.checked import undivided
from reports.records.record import Record
from reports.records.specs import TableSpec

TABLE, TIMES = "section5.5_cost", "section5.5_times"


@dataclass(frozen=True)
class Sizes:
    """
    steps         T at which network calls are counted
    batch         images at a time in the timed calls
    timed_steps   T of the timed calls
    repeats       timed repetitions
    """

    steps: tuple[Steps, ...] = (10, 20)
    batch: Number = 8
    timed_steps: Steps = 10
    repeats: Number = 3


@dataclass(frozen=True)
class Verb:
    """An operation of a system on images N x 3 x S x S and their code, perhaps in T steps."""

    name: str
    needs: frozenset[str]
    network: str  # of `Calls`
    run: Callable[[System, Tensor, Code, int], object]

    def steps(self, system: System, steps: Sequence[int]) -> Sequence[int | None]:
        """The values of T to measure; for an encoder, which takes no steps, only one."""
        return steps if system.iterative and self.network != "encoder" else (None,)


VERBS = (
    Verb(
        "encode, semantic",
        frozenset({SEMANTIC}),
        "encoder",
        lambda system, images, code, steps: system.encode_semantic(images),
    ),
    Verb(
        "encode, stochastic",
        frozenset({ENCODE, STOCHASTIC}),
        "decoder",
        lambda system, images, code, steps: system.encode_stochastic(images, code.semantic, steps),
    ),
    Verb(
        "decode",
        frozenset({ENCODE, DECODE}),
        "decoder",
        lambda system, images, code, steps: system.decode(code, steps),
    ),
    Verb(
        "sample, semantic",
        frozenset({SAMPLE_LATENTS}),
        "latent",
        lambda system, images, code, steps: system.sample_latents(range(len(images)), 0, steps),
    ),
)


def run(context: Context, system: System) -> Iterator[Record]:
    yield from _counts(context, system)
    yield from times(context, system)


def verbs(system: System) -> list[Verb]:
    """The operations that the system is capable of."""
    return [verb for verb in VERBS if verb.needs <= system.capabilities]


def _size(context: Context, system: System) -> int:
    """The side of the images that the system gets."""
    return system.image_size or context.dataset.image_size


def _once(
    context: Context,
    system: System,
    what: str,
    verb: Verb,
    steps: int | None,
    counted: Callable[[counting.Work], Mapping[str, float]],
    batch: int = 1,
    **setup: str,
) -> Arrays:
    """What `counted` finds of the operation on `batch` grey images, from the store.

    Costs do not depend on the content of the images. `setup` is what else they depend on.
    """
    size = _size(context, system)

    def compute() -> Arrays:
        images = torch.zeros(batch, 3, size, size)
        code = system.encode(images, 1) if ENCODE in system.capabilities else Code()
        work = partial(verb.run, system, images, code, steps or 1)
        return {name: np.array(value) for name, value in counted(work).items()}

    key = {"verb": verb.name, "steps": steps, "image_size": size}
    return context.store.once(context.codes.key(what, system, None) | setup | key, compute)


# ----------------------------------------------------------------------------------------------
# Counts that do not depend on the machine


def _counts(context: Context, system: System) -> Iterator[Record]:
    """Parameters of each network and of all, operations of each verb, and its network calls."""
    protocol = context.protocol(
        "cost",
        image_size=_size(context, system),
        batch_size=1,
        flops="convolutions and matrix products, 2 per multiply-add, one step (T = 1)",
    )
    record = partial(context.record, "cost", TABLE, system.title, split="", n=1)
    row, parts = partial(record, protocol=protocol), system.networks()
    for part, network in parts.items():
        yield row("parameters", float(counting.parameters([network])), setting=part)
    if parts:
        yield row("parameters", float(counting.parameters(parts.values())), setting="total")
    else:
        note = f"{system.title} names no networks"
        yield record("parameters", None, setting="total", note=note)
    for verb in verbs(system):
        found = _once(
            context, system, "flops", verb, 1, lambda work: {"flops": counting.flops(work)}
        )
        yield row("gflops", int(found["flops"]) / 1e9, setting=verb.name)

    def called(work: counting.Work) -> dict[str, float]:
        return {"calls": counting.network_calls(work, parts.values())}

    for verb in verbs(system) if parts else ():
        for steps in verb.steps(system, context.sizes(Sizes).steps):
            calls = float(_once(context, system, "calls", verb, steps, called)["calls"])
            solver = solver_of(system, steps)
            yield row("network_calls", calls, setting=verb.name, steps=steps, solver=solver)


# ----------------------------------------------------------------------------------------------
# Times and memory on this machine


def times(context: Context, system: System) -> Iterator[Record]:
    """Images per second and peak memory of each verb, measured once on this machine."""
    sizes = context.sizes(Sizes)
    setup = {
        "device_name": counting.device_name(context.device),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "batch_size": str(sizes.batch),
        "repeats": str(sizes.repeats),
    }
    on_gpu = context.device.type == "cuda"
    memory = "allocated on the device" if on_gpu else "resident set of the process"

    def measured(work: counting.Work) -> dict[str, float]:
        with undivided(system):
            seconds = counting.median_seconds(work, sizes.repeats, context.device)
            peak = counting.peak_memory(work, context.device)
        return {"images_per_second": sizes.batch / seconds, "peak_memory": peak}

    for verb in verbs(system):
        (steps,) = verb.steps(system, (sizes.timed_steps,))
        protocol = context.protocol("cost", **setup, steps=steps, memory=memory)
        found = _once(context, system, "times", verb, steps, measured, sizes.batch, **setup)
        for metric, value in found.items():
            known = np.isfinite(value)
            yield context.record(
                "cost",
                TIMES,
                system.title,
                metric,
                float(value) if known else None,
                setting=verb.name,
                steps=steps,
                solver=solver_of(system, steps),
                split="",
                n=sizes.batch,
                protocol=protocol,
                note="" if known else "not measured on this platform",
                of_machine=True,
            )


def plan(context: Context, system: System) -> Iterator[Work]:
    """The timed repetitions, and for each operation a run for warming up and one that measures memory."""
    sizes = context.sizes(Sizes)
    for verb in verbs(system):
        (steps,) = verb.steps(system, (sizes.timed_steps,))
        calls = Calls(**{verb.network: network_calls(system, steps)})
        yield Work(f"time: {verb.name}", (sizes.repeats + 2) * sizes.batch, calls, steps)


BENCHMARK = Benchmark(
    name="cost",
    table=TABLE,
    headline=lambda context: "parameters",
    needs=frozenset(),
    run=run,
    plan=plan,
    sizes=Sizes,
    of_images=False,
    tables=(
        TableSpec(
            name=TABLE,
            title="Section 5.5: cost",
            caption="Parameters, operations (2 per multiply-add) and network calls; no times.",
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
            caption="Measured once on this machine: a different machine, or a second run, gives different numbers.",
            rows=("setting", "steps"),
            setting_header="of",
            columns=("system",),
            metrics=("images_per_second", "peak_memory"),
            panels=True,
            order=120,
        ),
    ),
)
