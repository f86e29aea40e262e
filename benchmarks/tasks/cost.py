"""Cost: parameters, operations, network calls and times of each system (Section 5.5).

Counts that do not depend on the machine are in records.csv. Times and memory do: they are measured
once, kept in the store, and written to `times.csv` and the table `section5.5_times` of the same
run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.measurement import Cell, Measurement
from benchmarks.core.sizes import Number, Steps
from benchmarks.core.solving import solver_of
from benchmarks.core.store import Arrays, Computation
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


def run(context: Context, system: System) -> Iterator[Measurement]:
    yield from _counts(context, system)
    yield from times(context, system)


def verbs(system: System) -> list[Verb]:
    """The operations that the system is capable of."""
    return [verb for verb in VERBS if verb.needs <= system.capabilities]


def _size(context: Context, system: System) -> int:
    """The side of the images that the system gets."""
    return system.image_size or context.dataset.image_size


def _once(
    cell: Cell,
    system: System,
    what: str,
    verb: Verb,
    steps: int | None,
    counted: Callable[[counting.Work], Mapping[str, float]],
    batch: int = 1,
) -> Computation:
    """What `counted` finds of the operation on `batch` grey images.

    Costs do not depend on the content of the images.
    """
    size = _size(cell.context, system)

    def compute(_: np.ndarray) -> Arrays:
        images = torch.zeros(batch, 3, size, size)
        code = system.encode(images, 1) if ENCODE in system.capabilities else Code()
        work = partial(verb.run, system, images, code, steps or 1)
        return {name: np.array([value]) for name, value in counted(work).items()}

    more = {"verb": verb.name, "steps": steps, "image_size": size}
    found = cell.computation(what, f"{what}: {verb.name}", None, compute, 1, **more)
    return replace(found, steps=steps)


# ----------------------------------------------------------------------------------------------
# Counts that do not depend on the machine


def _counts(context: Context, system: System) -> Iterator[Measurement]:
    """Parameters of each network and of all, operations of each verb, and its network calls."""
    flops = "convolutions and matrix products, 2 per multiply-add, one step (T = 1)"
    fields = {"image_size": _size(context, system), "batch_size": 1, "flops": flops}
    cell, parts = Cell(context, TABLE, system, split="", fields=fields), system.networks()

    def parameters() -> Iterator[Record]:
        for part, network in parts.items():
            yield cell.row("parameters", float(counting.parameters([network])), setting=part, n=1)
        if parts:
            total = float(counting.parameters(parts.values()))
            yield cell.row("parameters", total, setting="total", n=1)
        else:
            none, note = cell.but(fields={}), f"{system.title} names no networks"
            yield none.row("parameters", None, setting="total", n=1, note=note)

    def operations(work: counting.Work) -> dict[str, float]:
        return {"flops": counting.flops(work)}

    def called(work: counting.Work) -> dict[str, float]:
        return {"calls": counting.network_calls(work, parts.values())}

    yield Measurement([], parameters)
    for verb in verbs(system):
        found = _once(cell, system, "flops", verb, 1, operations)
        row = partial(cell.row, "gflops", setting=verb.name, n=1)
        yield Measurement([found], lambda found, row=row: [row(int(found["flops"][0]) / 1e9)])
    for verb in verbs(system) if parts else ():
        for steps in verb.steps(system, context.sizes(Sizes).steps):
            found = _once(cell, system, "calls", verb, steps, called)
            taken: dict[str, Any] = {"steps": steps, "solver": solver_of(system, steps)}
            row = partial(cell.row, "network_calls", setting=verb.name, n=1, **taken)
            yield Measurement([found], lambda found, row=row: [row(float(found["calls"][0]))])


# ----------------------------------------------------------------------------------------------
# Times and memory on this machine


def times(context: Context, system: System) -> Iterator[Measurement]:
    """Images per second and peak memory of each verb, measured once on this machine."""
    sizes, on_gpu = context.sizes(Sizes), context.device.type == "cuda"
    setup = {
        "device_name": counting.device_name(context.device),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "batch_size": str(sizes.batch),
        "repeats": str(sizes.repeats),
        "memory": "allocated on the device" if on_gpu else "resident set of the process",
    }

    def measured(work: counting.Work) -> dict[str, float]:
        with undivided(system):
            seconds = counting.median_seconds(work, sizes.repeats, context.device)
            peak = counting.peak_memory(work, context.device)
        return {"images_per_second": sizes.batch / seconds, "peak_memory": peak}

    for verb in verbs(system):
        (steps,) = verb.steps(system, (sizes.timed_steps,))
        taken: dict[str, Any] = {"steps": steps, "solver": solver_of(system, steps)}
        cell = Cell(
            context, TIMES, system, setting=verb.name, split="", fields={**setup, "steps": steps}
        )
        found = _once(cell, system, "times", verb, steps, measured, sizes.batch)
        row = partial(cell.row, n=sizes.batch, of_machine=True, **taken)
        yield Measurement([found], partial(_of_machine, row))


def _of_machine(row: Callable[..., Record], found: Arrays) -> Iterator[Record]:
    for metric, (value,) in found.items():
        if np.isfinite(value):
            yield row(metric, float(value))
        else:
            yield row(metric, None, note="not measured on this platform")


BENCHMARK = Benchmark(
    name="cost",
    table=TABLE,
    headline=lambda context: "parameters",
    needs=frozenset(),
    run=run,
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
            plots=(),
            order=120,
        ),
    ),
)
