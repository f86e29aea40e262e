"""Why a metric differs between protocols: its ingredients changed one at a time.

From `plain` to another protocol the fields that differ are changed one after the other, in the
order in which they are applied. What a change does depends on the changes before it; the sum of all
is exactly the difference between the two protocols.

Equal images make a PSNR infinite, and then no difference is a number. Where that happens on the way
from `plain` to a protocol, difference and causes are those of the other pairs.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import METRICS as METRICS_TABLE
from benchmarks.metrics.protocols.cases import Case, Measured, equal_pairs, measured
from benchmarks.metrics.protocols.schema import METRICS, Protocol
from diffae.system.files import read_toml

Lacking = Callable[[Case], str]  # why a case cannot be computed; "" if it can
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
    """A change of ingredients in words, and how far it moved the metric; None if it is not known.

    With `jumps` it made an infinite number finite or a finite one infinite, and `text` says so.
    """

    text: str
    difference: float | None
    jumps: bool = False


@dataclass(frozen=True)
class Explained:
    """A metric under a protocol: its number, or the reason why there is none; its difference from
    the same metric under `plain`, and its causes in the order of the steps.

    `left_out` pairs of equal images are in the number, and not in the difference and the causes.
    """

    case: Case
    found: Measured | None
    reason: str
    difference: float | None
    causes: tuple[Cause, ...]
    left_out: int = 0

    @property
    def told(self) -> list[Cause]:
        """The causes that printed digits show, those that jump or are not known; jumps first, then
        the largest.
        """
        half = 0.5 * 10.0 ** -(METRICS_TABLE[self.case.metric].digits or 4)
        sizes = {c: math.inf if c.jumps else abs(c.difference or 0.0) for c in self.causes}
        shown = [c for c in self.causes if c.difference is None or sizes[c] >= half]
        return sorted(shown, key=lambda cause: -sizes[cause])


def needed(start: Protocol, protocols: Sequence[Protocol], lacking: Lacking) -> list[Case]:
    """Every case that explaining takes and that lacks nothing, each computation once."""
    every: dict[str, Case] = {}
    for metric in METRICS:
        if getattr(start, metric) is None:
            continue
        first = Case(metric, start)
        for case in (first, *(s.after for s in _all_steps(first, protocols))):
            every.setdefault(case.key, case)
    return [case for case in every.values() if not lacking(case)]


def _all_steps(first: Case, protocols: Sequence[Protocol]) -> Iterator[Step]:
    for protocol in protocols:
        if getattr(protocol, first.metric) is not None:
            yield from steps(first, protocol)


def explain(
    start: Protocol,
    protocols: Sequence[Protocol],
    lacking: Lacking,
    arrays: Mapping[str, NDArray],
    blocks: NDArray[np.int64] | None = None,
    watched: Callable[[Sequence[Case]], Iterable[Case]] = iter,
) -> list[Explained]:
    """Each metric under each protocol, by metric, those nearest to `start` last.

    `arrays` are those of `needed`, and `blocks` as `measured` takes them. `watched` iterates over
    cases while their numbers are computed.
    """
    cases = needed(start, protocols, lacking)
    numbers = Numbers(cases, arrays, {c.key: measured(c, arrays, blocks) for c in watched(cases)})
    found: list[Explained] = []
    for metric in METRICS:
        if getattr(start, metric) is None:
            continue
        first = Case(metric, start)
        lines = [
            _explained(first, protocol, numbers, lacking)
            for protocol in protocols
            if getattr(protocol, metric) is not None
        ]
        found += sorted(lines, key=lambda line: -abs(line.difference or 0))
    return found


@dataclass(frozen=True)
class Numbers:
    """The numbers of cases by their keys, of all pairs."""

    cases: Sequence[Case]
    arrays: Mapping[str, NDArray]
    of_all: Mapping[str, Measured]

    def comparable(self, cases: Sequence[Case]) -> tuple[Mapping[str, Measured], int]:
        """Numbers of which differences can be taken, and how many pairs they leave out: if one of
        `cases` is infinite, those whose images are equal under any case of the metric.
        """
        values = [self.of_all[case.key].value for case in cases if case.key in self.of_all]
        if not np.isinf(values).any():
            return self.of_all, 0
        some = [case for case in self.cases if case.metric == cases[0].metric]
        masks = [equal_pairs(case, self.arrays) for case in some]
        equal = np.any([mask for mask in masks if mask is not None], axis=0)
        if equal.all():
            return {}, len(equal)
        kept = {case.scores_key: self.arrays[case.scores_key][~equal] for case in some}
        return {case.key: measured(case, kept) for case in some}, int(equal.sum())


def _explained(first: Case, protocol: Protocol, numbers: Numbers, lacking: Lacking) -> Explained:
    case, known = Case(first.metric, protocol), numbers.of_all
    if case.key not in known:
        return Explained(case, None, lacking(case), None, ())
    here = known[case.key]
    if here.reason:
        return Explained(case, None, here.reason, None, ())
    if first.key not in known:
        return Explained(case, here, "", None, ())
    way = list(steps(first, protocol))
    known, left_out = numbers.comparable([first, *(step.after for step in way)])
    causes = [_cause(step, known, numbers.of_all) for step in way]
    if not known:  # all pairs are equal
        causes = [cause for cause in causes if cause.jumps]
    return Explained(case, here, "", _difference(first, case, known), tuple(causes), left_out)


def _cause(step: Step, known: Mapping[str, Measured], of_all: Mapping[str, Measured]) -> Cause:
    difference = _difference(step.before, step.after, known)
    if not {step.before.key, step.after.key} <= of_all.keys():
        return Cause(str(step), None)
    was, now = (math.isinf(of_all[case.key].value) for case in (step.before, step.after))
    if was == now:
        return Cause(str(step), difference)
    return Cause(f"{step} ({'now' if now else 'no longer'} infinite)", difference, jumps=True)


def _difference(before: Case, after: Case, known: Mapping[str, Measured]) -> float | None:
    """How far one number is from another; None if either is not known."""
    if before.key not in known or after.key not in known:
        return None
    return known[after.key].value - known[before.key].value
