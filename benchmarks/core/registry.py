"""The benchmarks by name: ours and what checks a plug-in's, both of which `benchmarks.tasks` adds, and plug-ins'."""

from collections.abc import Iterable
from typing import Any

from benchmarks.runtime.registry import Registry


def _line(benchmark: Any) -> str:
    return f"{benchmark.title} ({benchmark.paper})"


REGISTRY = Registry("benchmark", "diffae.benchmarks", {}, line=_line)


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """The benchmarks of these names, each once, or of "all". Raises UserError for an unknown name."""
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name != "all":
            REGISTRY.require(name)
    return tuple(REGISTRY.usable()) if "all" in found else found


# The settings of what several benchmarks share, by section of a profile; a benchmark's own are `Benchmark.sizes`.
SHARED_SIZES: dict[str, str] = {}
