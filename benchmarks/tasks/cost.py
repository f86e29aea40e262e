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

from benchmarks.core.job import Arrays, Calls
from benchmarks.core.measurement import Measurement, Numbers, Place, Variant
from benchmarks.core.sizes import Number
from benchmarks.metrics import counting
from benchmarks.plugin import Benchmark, Code, Context, Estimate, Steps, System, TableSpec
from benchmarks.runtime.calling import Batches
from benchmarks.systems.protocol import base
from benchmarks.systems.protocol.checked import divided

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
# How often an image calls networks, by the name of the verb.
CALLS: Mapping[str, Callable[[Variant], Calls]] = {
    "encode, semantic": lambda variant: Calls(encoder=1),
    "encode, stochastic": lambda variant: Calls(decoder=variant.encoding.decoder),
    "decode": lambda variant: variant.decoding,
    "sample, semantic": lambda variant: Calls(latent=variant.decoding.decoder),
}


def run(context: Context, system: System) -> Iterator[Measurement]:
    """Parameters of each network and of all; of each verb operations, network calls, and times."""
    sizes, flops = context.sizes(Sizes), "convolutions and matrix products, 2 per multiply-add"
    size, networks = system.image_size or context.dataset.image_size, system.networks()
    place = Place(context, TABLE, system, split="")
    place = place.also(batch_size=1, flops=f"{flops}, one step (T = 1)", image_size=size)

    def operations(work: counting.Work) -> Mapping[str, float]:
        return {"gflops": counting.flops(work) / 1e9}

    def called(work: counting.Work) -> Mapping[str, float]:
        return {"network_calls": float(counting.network_calls(work, networks.values()))}

    yield Measurement([], partial(_parameters, place, system))
    can = frozenset() if base.has_no_encoder(system) else system.capabilities
    verbs = [verb for verb in VERBS if verb.needs <= can]
    for verb in verbs:
        yield _measured(place, "flops", verb, operations)
    for verb in verbs if networks else ():
        for steps in sizes.steps if verb.iterative and system.iterative else (None,):
            yield _measured(place.at(steps=steps), "calls", verb, called)
    for verb in verbs:
        yield _timed(context, system, verb, sizes)


def _parameters(place: Place, system: System) -> Numbers:
    parts = system.networks()
    counted = {part: [network] for part, network in parts.items()}
    if parts:
        counted["total"] = [*parts.values()]
    for part, networks in counted.items():
        count = {"parameters": float(counting.parameters(networks))}
        yield from place.at(setting=part).numbers(counting.estimates(count, 1))
    if not parts:
        missing = Estimate(None, n=1, why=f"{system.title} names no networks")
        yield from place.at(setting="total", fields={}).numbers({"parameters": missing})


def _measured(
    place: Place, work: str, verb: Verb, counted: Counted, batch: int = 1, times: int = 1
) -> Measurement:
    """The numbers that `counted` gives of the operation on `batch` grey images, which it does so many times.

    Costs do not depend on the content of the images.
    """
    variant = Variant(place.context, place.system or System(), place.steps)
    place = place.at(setting=verb.name, solver=variant.solver)
    system, has_code = variant.system, base.ENCODE in variant.system.capabilities
    side = system.image_size or place.context.dataset.image_size

    def compute(_: np.ndarray) -> Arrays:
        images = torch.zeros(batch, 3, side, side)
        code = system.encode(images, 1) if has_code else Code()
        call = partial(verb.run, system, images, code, variant.T)
        return {name: np.array([value]) for name, value in counted(call).items()}

    def numbers(costs: Arrays) -> Numbers:
        values = {metric: float(value) for metric, (value,) in costs.items()}
        return place.numbers(counting.estimates(values, batch))

    calls, title = CALLS[verb.name](variant).times(times), f"{work}: {verb.name}"
    calls += replace(variant, steps=1).encoding if has_code else Calls()
    job = place.job(work, title, None, compute, count=1, calls=calls.times(batch), T=place.steps)
    return Measurement([replace(job, steps=place.steps)], numbers)


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
    place = Place(context, TIMES, system, split="", steps=steps, fields=setup, of_machine=True)

    def measured(work: counting.Work) -> Mapping[str, float]:
        with divided(system, Batches()):
            seconds = counting.median_seconds(work, sizes.repeats, context.device)
            peak = counting.peak_memory(work, context.device)
        return {"images_per_second": sizes.batch / seconds, "peak_memory": peak}

    # the first time does not count, and the last one is for the peak
    return _measured(place, "times", verb, measured, sizes.batch, times=sizes.repeats + 2)


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
