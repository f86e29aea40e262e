"""The benchmarks by name: ours, which `benchmarks.tasks` adds, and those of plug-ins."""

from typing import Any

from benchmarks.runtime.registry import Registry


def _line(benchmark: Any) -> str:
    return f"{benchmark.title} ({benchmark.paper})"


REGISTRY = Registry(
    "benchmark", "diffae.benchmarks", {}, line=_line, accept="benchmarks.core.benchmark:accepted"
)

# The settings of what several benchmarks share, by section of a profile; a benchmark's own are `Benchmark.sizes`.
SHARED_SIZES: dict[str, str] = {}
