"""An example benchmark: how far an image's mean colour moves when it is encoded and decoded."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.plugin import (
    LOWER,
    Arrays,
    Benchmark,
    Context,
    Count,
    Margin,
    Measurement,
    MetricInfo,
    Steps,
    System,
    Variant,
    code_of,
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


def run(context: Context, system: System) -> Iterator[Measurement]:
    """Yield one measurement per system: a mean over images.

    `compute` takes positions of images and their codes, and gives a score of each, which the store keeps.
    """
    sizes = context.sizes(Sizes)
    images = context.select("test", sizes.images)
    variant = Variant.of(context, system, None, sizes.steps)

    def compute(positions: np.ndarray, codes: Arrays) -> Arrays:
        output = variant.decode(code_of(codes))
        moved = (output - images.batch(positions)).mean((2, 3)) / 2  # of [-1, 1], in [0, 1]
        return {"colour_error": moved.norm(dim=1).numpy()}

    codes, calls = variant.codes(images), variant.decoding
    yield variant.scores("colour_error", images, compute, calls, [codes], colour="mean, RGB")


BENCHMARK = Benchmark(
    name="colour",
    title="how far the mean colour moves",
    paper="none",
    table="colour_error",
    headline=lambda context: "colour_error",
    needs=frozenset({"encode", "decode"}),
    run=run,
    infos={"colour_error": METRIC},
    sizes=Sizes,
    profiles={"smoke": {"images": 16, "steps": 2}, "paper": {"images": 30_000, "steps": 100}},
)
