"""The harness: benchmarks of decodable representations. Start with `python -m benchmarks.run --help`."""

from benchmarks.registry import Registry

REGISTRY = Registry(
    "benchmark",
    "diffae.benchmarks",
    {
        "reconstruction": "benchmarks.reconstruction:BENCHMARK",
        "probes": "benchmarks.probes:BENCHMARK",
        "identity": "benchmarks.identity:BENCHMARK",
        "interpolation": "benchmarks.interpolation:BENCHMARK",
        "fewshot": "benchmarks.fewshot:BENCHMARK",
        "unconditional": "benchmarks.unconditional:BENCHMARK",
        "variation": "benchmarks.variation:BENCHMARK",
        "denoising": "benchmarks.denoising:BENCHMARK",
        "memorisation": "benchmarks.memorisation:BENCHMARK",
        "cost": "benchmarks.cost:BENCHMARK",
    },
    accept="benchmarks.base:accepted",
)
