"""The example benchmark as plug-ins of 0.7 were written: `run` yields rows, and `plan` the work."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.plugin import (
    LOWER,
    Arrays,
    Benchmark,
    Calls,
    Context,
    Count,
    Margin,
    MetricInfo,
    Record,
    Steps,
    System,
    Work,
    codes,
    network_calls,
)

METRIC = MetricInfo(
    LOWER,
    "",
    "Distance of mean colours in [0, 1]",
    "Euclidean, RGB",
    label="colour error",
    digits=4,
    margin=Margin(0.0005, "half a unit of the third digit"),
)


@dataclass(frozen=True)
class Sizes:
    """The settings, changed by `--set colour.images=500`; the defaults are those of profile `quick`.

    images   images that are encoded and decoded; a Count is capped by --limit
    steps    T of systems that work in steps
    """

    images: Count = 200
    steps: Steps = 10


def run(context: Context, system: System) -> Iterator[Record]:
    """Yield one row per system.

    Expensive work is a function of positions, and is stored under a key with everything that decides it.
    """
    sizes = context.sizes(Sizes)
    selection = context.select("test", sizes.images)
    steps = sizes.steps if system.iterative else None

    def compute(positions: np.ndarray) -> Arrays:
        images = selection.batch(positions)
        code = context.codes.full(system, selection, positions, steps or 1)
        output = system.decode(code, steps or 1).cpu()
        moved = (output - images).mean((2, 3)) / 2  # of [-1, 1], in [0, 1]
        return {"error": moved.norm(dim=1).numpy()}

    key = context.codes.key("colour-by-rows", system, selection) | {"steps": steps}
    errors = context.store.array(key, len(selection), compute, "error")
    yield context.record(
        "colour-by-rows",
        "colour_by_rows",
        system.title,
        "colour_by_rows",
        selection.units.mean(errors),
        steps=steps,
        protocol=context.protocol("colour-by-rows", n=len(selection), decoding_steps=steps),
    )


def plan(context: Context, system: System) -> Iterator[Work]:
    """The work of `run` in network calls, for --dry-run."""
    sizes = context.sizes(Sizes)
    count = len(context.select("test", sizes.images))
    steps = sizes.steps if system.iterative else None
    yield codes(system, "test", count, steps)
    yield Work("decode", count, Calls(decoder=network_calls(system, steps)), steps)


BENCHMARK = Benchmark(
    name="colour-by-rows",
    title="how far the mean colour moves",
    paper="none",
    table="colour_by_rows",
    headline=lambda context: "colour_by_rows",
    needs=frozenset({"encode", "decode"}),
    run=run,
    plan=plan,
    infos={"colour_by_rows": METRIC},
    sizes=Sizes,
    profiles={"smoke": {"images": 16, "steps": 2}, "paper": {"images": 30_000, "steps": 100}},
)
