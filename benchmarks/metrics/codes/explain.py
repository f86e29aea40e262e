"""Why a number of codes differs between protocols, as protocols/explain.py has it for images."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.metrics.codes.data import Codes, Found
from benchmarks.metrics.codes.schema import Protocol
from benchmarks.metrics.codes.table import NUMBERS, fields, measure
from benchmarks.metrics.protocols.explain import Explained, cause, changes, difference
from diffae.system.errors import UserError


@dataclass(frozen=True)
class Case:
    """A number of codes under a protocol that defines it."""

    metric: str
    protocol: Protocol

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """All that it depends on, by "section.field"."""
        return fields(self.metric, self.protocol)

    @property
    def key(self) -> tuple[Any, ...]:
        return self.metric, *self.fields.items()


Watched = Callable[[Sequence[Case]], Iterable[Case]]


def explained(
    codes: Codes,
    protocols: Sequence[Protocol],
    seed: int,
    left_out: Container[str] = (),
    watched: Watched = iter,
) -> Iterator[Explained[Case, Found]]:
    """Each number but those `left_out` under each protocol that defines it, with the causes of its
    difference from the first. `watched` iterates over what is computed.
    """
    names = [name for name in NUMBERS if name not in left_out]
    asked = [Case(name, one) for name in names for one in protocols if one.defines(name)]
    first = {case.metric: case for case in asked if case.protocol is protocols[0]}
    ways = [list(changes(first.get(case.metric, case), case.protocol)) for case in asked]
    every = [*asked, *(step.after for way in ways for step in way)]
    known: dict[tuple[Any, ...], Found] = {}
    reasons: dict[tuple[Any, ...], str] = {}
    for case in watched(list({case.key: case for case in every}.values())):
        try:
            known[case.key] = measure(case.metric, codes, case.protocol, seed)
        except UserError as error:
            reasons[case.key] = str(error)
    for case, way in zip(asked, ways, strict=True):
        moved = difference(first.get(case.metric, case), case, known)
        causes = tuple(cause(step, known, known) for step in way)
        yield Explained(case, known.get(case.key), reasons.get(case.key, ""), moved, causes)
