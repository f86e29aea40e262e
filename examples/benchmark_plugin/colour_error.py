"""How far the mean colour of an image moves when the image is encoded and decoded."""

from dataclasses import dataclass

from benchmarks import plugin


@dataclass(frozen=True)
class Sizes:  # the settings in the profile `quick`
    images: plugin.Count = 200  # a Count is capped by --limit
    steps: plugin.Steps = 10  # T of a system that works in steps


def run(context, system):
    sizes = context.sizes(Sizes)
    images = context.select("test", sizes.images)
    variant = plugin.Variant.of(context, system, None, sizes.steps)  # None: its own solver
    place = plugin.Place(context, "colour_error", variant, n=len(images), fields={"colour": "RGB"})

    def compute(positions, codes):  # arrays, kept in the store
        decoded = variant.decode(plugin.code_of(codes))
        shift = (decoded - images.batch(positions)).mean((2, 3)) / 2  # in [0, 1]
        return {"colour_error": shift.norm(dim=1).numpy()}

    def numbers(arrays):  # rows of the table
        yield from place.means(images, arrays)
        worst = float(arrays["colour_error"].max())
        yield from place.numbers({"colour_worst": plugin.Estimate(worst)})

    inputs, calls = [variant.codes(images)], variant.decoding
    job = place.job("colour", "decode", images, compute, rows_of=inputs, calls=calls)
    yield plugin.Measurement([job], numbers)


ERROR = plugin.MetricInfo(plugin.LOWER, "", "Distance of mean colours", "Euclidean, RGB", digits=4)
WORST = plugin.MetricInfo(plugin.LOWER, "", "The largest distance", "Euclidean, RGB", digits=4)

BENCHMARK = plugin.Benchmark(
    name="colour",
    title="how far the mean colour moves",
    table="colour_error",
    headline=lambda context: "colour_error",
    needs=frozenset({"encode", "decode"}),
    run=run,
    infos={"colour_error": ERROR, "colour_worst": WORST},
    sizes=Sizes,
    profiles={"smoke": {"images": 16, "steps": 2}},
)
