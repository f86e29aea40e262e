"""The benchmarks by name: ours and what checks a plug-in's, both of which `benchmarks.tasks` adds, and
plug-ins'; and the tables of theirs, which each benchmark brings.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from benchmarks.runtime.registry import Registry
from diffae.system.errors import UserError
from reports.records.specs import TableSpec


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


def specs(names: Iterable[str]) -> tuple[TableSpec, ...]:
    """The specs of these benchmarks. Raises UserError if two of them define a table of the same name."""
    owners: dict[str, str] = {}
    found: list[TableSpec] = []
    for benchmark in names:
        for spec in REGISTRY.get(benchmark).tables:
            if (other := owners.setdefault(spec.name, benchmark)) != benchmark:
                both = f"benchmarks {other!r} and {benchmark!r} both"
                raise UserError(f"{both} define a table {spec.name!r}; run one of them")
            found.append(spec)
    return tuple(found)


@cache
def ours() -> frozenset[str]:
    """The names that no table of a plug-in may have."""
    taken = (name for spec in specs(REGISTRY.own) for name in (spec.name, spec.source))
    return frozenset({"overview", *taken})
