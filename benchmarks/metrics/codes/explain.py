"""Why a metric of codes differs between protocols, as protocols/explain.py has it for images."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from benchmarks.metrics.codes.data import Codes
from benchmarks.metrics.codes.schema import CodeProtocol
from benchmarks.metrics.codes.table import NUMBERS, estimates, fields
from benchmarks.metrics.protocols.explain import Explained, cause, changes, difference
from benchmarks.metrics.protocols.library import Value
from diffae.system.files import hash_of
from reports.records.estimate import Estimate


@dataclass(frozen=True)
class CodeCase:
    """A metric of codes under a protocol that defines it."""

    metric: str
    protocol: CodeProtocol

    @cached_property
    def fields(self) -> Mapping[str, Value]:
        """All that it depends on, by "section.field"."""
        return fields(self.metric, self.protocol)

    @cached_property
    def key(self) -> str:
        return f"{self.metric}.{hash_of(self.fields)[:12]}"

    def changed(self, field: str, value: Value) -> "CodeCase":
        """The metric under a protocol with another value of "section.field"."""
        return replace(self, protocol=self.protocol.changed(field, value))


Watched = Callable[[Sequence[CodeCase]], Iterable[CodeCase]]


def explained(
    codes: Codes,
    protocols: Sequence[CodeProtocol],
    seed: int,
    left_out: Container[str] = (),
    watched: Watched = iter,
) -> Iterator[Explained[CodeCase]]:
    """Each metric but those `left_out` under each protocol that defines it, with the causes of its
    difference from the first. `watched` iterates over what is computed.
    """
    names = [name for name in NUMBERS if name not in left_out]
    cases = [CodeCase(name, p) for name in names for p in protocols if p.defines(name)]
    first = {case.metric: case for case in cases if case.protocol is protocols[0]}
    paths = [list(changes(first.get(case.metric, case), case)) for case in cases]
    with_steps = [*cases, *(step.after for path in paths for step in path)]
    by_key = {case.key: case for case in with_steps}
    estimate_of = _estimates(by_key, codes, seed, watched)
    defined = {key: e for key, e in estimate_of.items() if e.value is not None}
    for case, path in zip(cases, paths, strict=True):
        moved = difference(first.get(case.metric, case), case, defined)
        causes = tuple(cause(step, defined, defined) for step in path)
        yield Explained(case, estimate_of[case.key], moved, causes)


def _estimates(
    cases: Mapping[str, CodeCase], codes: Codes, seed: int, watched: Watched
) -> dict[str, Estimate]:
    """The estimate of each case by its key; those that share their work are computed with the first."""
    each: dict[str, Estimate] = {}
    for case in watched(list(cases.values())):
        if case.key not in each:
            together = [CodeCase(name, case.protocol) for name in NUMBERS[case.metric].metrics]
            shared = [other for other in together if other.key in cases]
            by_name = estimates([c.metric for c in shared], codes, case.protocol, seed)
            each |= {other.key: by_name[other.metric] for other in shared}
    return each
