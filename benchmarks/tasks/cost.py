"""Cost: parameters, operations, network calls and times of each system (Section 5.5).

Counts that do not depend on the machine are in records.csv. Times and memory do: they are measured
once, kept in the store, and written to `times.csv` and the table `section5.5_times` of the same
run.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.measurement import Cell, Measurement, solver_of
from benchmarks.metrics import counting
from benchmarks.plugin import Arrays, Benchmark, Code, Context, Number, Record, Steps, System
from benchmarks.systems.protocol import base
from benchmarks.systems.protocol.checked import undivided
from reports.records.estimate import Estimate
from reports.records.specs import TableSpec

Counted = Callable[[counting.Work], Mapping[str, float]]
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
    """An operation of a system s on images x [N, 3, S, S] and their code, in T steps if `iterative`."""

    name: str
    needs: set[str]
    run: Callable[[System, Tensor, Code, int], object]
    iterative: bool = True


VERBS = (
    Verb("encode, semantic", {base.SEMANTIC}, lambda s, x, code, T: s.encode_semantic(x), False),
    Verb(
        "encode, stochastic",
        {base.ENCODE, base.STOCHASTIC},
        lambda s, x, code, T: s.encode_stochastic(x, code.semantic, T),
    ),
    Verb("decode", {base.ENCODE, base.DECODE}, lambda s, x, code, T: s.decode(code, T)),
    Verb(
        "sample, semantic",
        {base.SAMPLE_LATENTS},
        lambda s, x, code, T: s.sample_latents(range(len(x)), 0, T),
    ),
)


def run(context: Context, system: System) -> Iterator[Measurement]:
    """Parameters of each network and of all; of each verb operations, network calls, and times."""
    sizes, flops = context.sizes(Sizes), "convolutions and matrix products, 2 per multiply-add"
    fields = {"batch_size": 1, "flops": f"{flops}, one step (T = 1)"}
    fields |= {"image_size": system.image_size or context.dataset.image_size}
    cell, networks = Cell(context, TABLE, system, split="", fields=fields), system.networks()

    def operations(work: counting.Work) -> Mapping[str, float]:
        return {"gflops": counting.flops(work) / 1e9}

    def called(work: counting.Work) -> Mapping[str, float]:
        return {"network_calls": float(counting.network_calls(work, networks.values()))}

    yield Measurement([], partial(_parameters, cell, system))
    can = frozenset() if base.has_no_encoder(system) else system.capabilities
    verbs = [verb for verb in VERBS if verb.needs <= can]
    for verb in verbs:
        yield _measured(cell, "flops", verb, 1, operations)
    for verb in verbs if networks else ():
        for steps in sizes.steps if verb.iterative and system.iterative else (None,):
            yield _measured(cell, "calls", verb, steps, called)
    for verb in verbs:
        yield _timed(context, system, verb, sizes)


def _parameters(cell: Cell, system: System) -> Iterator[Record]:
    parts = system.networks()
    counted = {part: [network] for part, network in parts.items()}
    if parts:
        counted["total"] = [*parts.values()]
    for part, networks in counted.items():
        count = {"parameters": float(counting.parameters(networks))}
        yield cell.record("parameters", counting.estimates(count, 1)["parameters"], setting=part)
    if not parts:
        missing = Estimate(None, n=1, why=f"{system.title} names no networks")
        yield cell.but(fields={}).record("parameters", missing, setting="total")


def _measured(
    cell: Cell, work: str, verb: Verb, T: int | None, counted: Counted, batch: int = 1
) -> Measurement:
    """The numbers that `counted` gives of the operation on `batch` grey images.

    Costs do not depend on the content of the images.
    """
    system = cell.system or System()
    side = system.image_size or cell.context.dataset.image_size
    at_one_step = work == "flops"
    steps, solver = (None, "") if at_one_step else (T, solver_of(system, T))

    def compute(_: np.ndarray) -> Arrays:
        images = torch.zeros(batch, 3, side, side)
        code = system.encode(images, 1) if base.ENCODE in system.capabilities else Code()
        call = partial(verb.run, system, images, code, T or 1)
        return {name: np.array([value]) for name, value in counted(call).items()}

    def reduce(costs: Arrays) -> Iterator[Record]:
        numbers = {metric: float(value) for metric, (value,) in costs.items()}
        place = {"setting": verb.name, "steps": steps, "solver": solver}
        for metric, cost in counting.estimates(numbers, batch).items():
            yield cell.record(metric, cost, of_machine=cell.table == TIMES, **place)

    settings = {"verb": verb.name, "steps": T, "image_size": side}
    computation = cell.computation(work, f"{work}: {verb.name}", None, compute, 1, **settings)
    return Measurement([replace(computation, steps=T)], reduce)


def _timed(context: Context, system: System, verb: Verb, sizes: Sizes) -> Measurement:
    """Images per second and peak memory of a verb, measured once on this machine."""
    steps = sizes.timed_steps if verb.iterative and system.iterative else None
    on_gpu = context.device.type == "cuda"
    setup = {
        "device_name": counting.device_name(context.device),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "batch_size": str(sizes.batch),
        "repeats": str(sizes.repeats),
        "memory": "allocated on the device" if on_gpu else "resident set of the process",
        "steps": steps,
    }
    cell = Cell(context, TIMES, system, setting=verb.name, split="", fields=setup)

    def measured(work: counting.Work) -> Mapping[str, float]:
        with undivided(system):
            seconds = counting.median_seconds(work, sizes.repeats, context.device)
            peak = counting.peak_memory(work, context.device)
        return {"images_per_second": sizes.batch / seconds, "peak_memory": peak}

    return _measured(cell, "times", verb, steps, measured, sizes.batch)


BENCHMARK = Benchmark(
    name="cost",
    headline=lambda context: "parameters",
    needs=frozenset(),
    random=False,
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
