"""Why a metric differs between protocols: its ingredients changed one at a time.

From `plain` to another protocol the fields that differ are changed one after the other, in the
order in which they are applied. What a change does depends on the changes before it; the sum of all
is exactly the difference between the two protocols.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.metrics import METRICS as METRICS_TABLE
from benchmarks.metrics.protocols.cases import Case, Measured, Networks
from benchmarks.metrics.protocols.schema import METRICS, Protocol
from diffae.system.files import read_toml

WORDS = read_toml(Path(__file__).with_name("words.toml"))


def in_words(field: str, value: Any) -> str:
    """A field's value in words; `field` is "section.name"."""
    name = field.partition(".")[2]
    if name == "batch":
        return "a mean over images" if value == 1 else f"a mean over batches of {value}"
    key = str(value).lower() if isinstance(value, bool) else value
    return WORDS.get(name, {}).get(key, f"{name} {value}")


@dataclass(frozen=True)
class Step:
    """One ingredient changed: its field, both values, and the metric before and after."""

    field: str
    old: Any
    new: Any
    before: Case
    after: Case

    def __str__(self) -> str:
        return f"{in_words(self.field, self.new)} instead of {in_words(self.field, self.old)}"


def steps(start: Case, end: Protocol) -> Iterator[Step]:
    """From a case to the same metric under another protocol, one field at a time."""
    wanted, case = Case(start.metric, end), start
    for name, old in start.fields.items():
        new = wanted.fields[name]
        if new != old:
            section, _, key = name.partition(".")
            changed = replace(getattr(case.protocol, section), **{key: new})
            after = Case(case.metric, replace(case.protocol, **{section: changed}))
            yield Step(name, old, new, case, after)
            case = after


@dataclass(frozen=True)
class Cause:
    """A change of ingredients in words, and how far it moved the metric; None if it is not known."""

    text: str
    difference: float | None

    def is_small(self, case: Case) -> bool:
        """Whether it is below half a unit of the last digit that is printed."""
        return abs(self.difference or 0.0) < 0.5 * 10.0 ** -(METRICS_TABLE[case.metric].digits or 4)


@dataclass(frozen=True)
class Explained:
    """A metric under a protocol: its number, or the reason why there is none; its difference from
    the same metric under `plain`, and the causes that printed digits show, the largest first.
    """

    case: Case
    found: Measured | None
    reason: str
    difference: float | None
    causes: tuple[Cause, ...]


def needed(start: Protocol, protocols: Sequence[Protocol], networks: Networks) -> list[Case]:
    """Every case that explaining takes and that has its networks, each computation once."""
    every: dict[str, Case] = {}
    for metric in METRICS:
        if getattr(start, metric) is None:
            continue
        first = Case(metric, start)
        for case in (first, *(s.after for s in _all_steps(first, protocols))):
            every.setdefault(case.key, case)
    return [case for case in every.values() if not networks.lacking(case)]


def _all_steps(first: Case, protocols: Sequence[Protocol]) -> Iterator[Step]:
    for protocol in protocols:
        if getattr(protocol, first.metric) is not None:
            yield from steps(first, protocol)


def explain(
    start: Protocol,
    protocols: Sequence[Protocol],
    networks: Networks,
    number: Callable[[Case], Measured],
) -> list[Explained]:
    """Each metric under each protocol, by metric, those nearest to `start` last.

    `number` gives the number of a case of `needed`.
    """
    found: list[Explained] = []
    known: dict[str, Measured] = {c.key: number(c) for c in needed(start, protocols, networks)}
    for metric in METRICS:
        if getattr(start, metric) is None:
            continue
        first = Case(metric, start)
        lines = [
            _explained(first, protocol, known, networks)
            for protocol in protocols
            if getattr(protocol, metric) is not None
        ]
        found += sorted(lines, key=lambda line: -abs(line.difference or 0))
    return found


def _explained(
    first: Case, protocol: Protocol, known: dict[str, Measured], networks: Networks
) -> Explained:
    case = Case(first.metric, protocol)
    if case.key not in known:
        return Explained(case, None, networks.lacking(case), None, ())
    here = known[case.key]
    if here.reason:
        return Explained(case, None, here.reason, None, ())
    if first.key not in known:
        return Explained(case, here, "", None, ())
    causes = [_cause(step, known) for step in steps(first, protocol)]
    told = [cause for cause in causes if cause.difference is None or not cause.is_small(case)]
    told.sort(key=lambda cause: -abs(cause.difference or 0))
    return Explained(case, here, "", here.value - known[first.key].value, tuple(told))


def _cause(step: Step, known: dict[str, Measured]) -> Cause:
    if step.before.key in known and step.after.key in known:
        difference = known[step.after.key].value - known[step.before.key].value
        return Cause(str(step), difference)
    return Cause(str(step), None)
