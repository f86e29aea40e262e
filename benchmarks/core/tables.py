"""The tables of benchmarks; each benchmark brings the specs of its own."""

from collections.abc import Iterable
from functools import cache

from benchmarks.core.registry import REGISTRY
from diffae.system.errors import UserError
from reports.records.specs import TableSpec


def specs(names: Iterable[str]) -> tuple[TableSpec, ...]:
    """The specs of these benchmarks. Raises UserError if two of them define a table of the same name."""
    owners: dict[str, str] = {}
    found: list[TableSpec] = []
    for benchmark in names:
        for spec in REGISTRY.get(benchmark).tables:
            if (other := owners.setdefault(spec.name, benchmark)) != benchmark:
                raise UserError(
                    f"benchmarks {other!r} and {benchmark!r} both define a table {spec.name!r}; run one of them"
                )
            found.append(spec)
    return tuple(found)


@cache
def ours() -> frozenset[str]:
    """The names that no table of a plug-in may have."""
    taken = (name for spec in specs(REGISTRY.own) for name in (spec.name, spec.source))
    return frozenset({"overview", *taken})
