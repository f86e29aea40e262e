"""The harness: benchmarks of decodable representations. Start with `python -m benchmarks.run --help`."""

from benchmarks.core import moved
from benchmarks.core.registry import Registry

moved.install()

REGISTRY = Registry(
    "benchmark",
    "diffae.benchmarks",
    {
        "reconstruction": "benchmarks.tasks.reconstruction:BENCHMARK",
        "probes": "benchmarks.tasks.probes:BENCHMARK",
        "identity": "benchmarks.tasks.identity:BENCHMARK",
        "interpolation": "benchmarks.tasks.interpolation:BENCHMARK",
        "fewshot": "benchmarks.tasks.fewshot.fewshot:BENCHMARK",
        "unconditional": "benchmarks.tasks.unconditional:BENCHMARK",
        "variation": "benchmarks.tasks.variation:BENCHMARK",
        "denoising": "benchmarks.tasks.denoising:BENCHMARK",
        "memorisation": "benchmarks.tasks.memorisation:BENCHMARK",
        "cost": "benchmarks.tasks.cost:BENCHMARK",
    },
    accept="benchmarks.core.base:accepted",
)
