"""Why a metric differs between protocols: its ingredients changed one at a time.

From `plain` to another protocol the fields that differ are changed one after the other, in the
order in which they are applied. What a change does depends on the changes before it; the sum of all
is exactly the difference between the two protocols.

Equal images make a PSNR infinite, and then no difference is a number. Where that happens on the way
from `plain` to a protocol, difference and causes are those of the other pairs.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from torch import Tensor

from benchmarks.metrics import METRICS as METRICS_TABLE
from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.protocols.cases import Arrays, ImageCase, compute, estimate, why_not
from benchmarks.metrics.protocols.library import Head, Value
from benchmarks.metrics.protocols.schema import METRICS, ImageProtocol
from benchmarks.metrics.units import Units
from diffae.eight_bit import to_uint8
from diffae.system.files import read_toml
from reports.records.estimate import Estimate

Watched = Callable[[Sequence[ImageCase]], Iterable[ImageCase]]
WORDS = read_toml(Path(__file__).with_name("words.toml"))


class Case(Protocol):
    """A metric under a protocol that defines it."""

    @property
    def metric(self) -> str: ...
    @property
    def protocol(self) -> Head: ...
    @property
    def fields(self) -> Mapping[str, Value]:
        """All that its computation depends on, by "section.field"."""

    @property
    def key(self) -> str:
        """Its name among the estimates."""

    def changed(self, field: str, value: Value) -> Self:
        """The metric under a protocol with another value of the field."""


C = TypeVar("C", bound=Case)


def in_words(field: str, value: Value) -> str:
    """A field's value in words; `field` is "section.name"."""
    name = field.partition(".")[2]
    words = WORDS.get(field, WORDS.get(name, {}))
    text = words.get(str(value).lower() if isinstance(value, bool) else str(value))
    number = f"{value:,}" if isinstance(value, int) else value
    return text or words.get("other", f"{name} {{}}").format(number)


@dataclass(frozen=True)
class FieldChange(Generic[C]):
    """One ingredient changed: its field, both values, and the metric before and after."""

    field: str
    old: Value
    new: Value
    before: C
    after: C

    def __str__(self) -> str:
        return f"{in_words(self.field, self.new)} instead of {in_words(self.field, self.old)}"


def changes(start: C, end: C) -> Iterator[FieldChange[C]]:
    """From a case to the same metric under another protocol, one field at a time."""
    case = start
    for name, old in start.fields.items():
        new = end.fields[name]
        if new != old:
            after = case.changed(name, new)
            yield FieldChange(name, old, new, case, after)
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
class Explained(Generic[C]):
    """A metric under a protocol: its estimate; its difference from the same metric under `plain`, and
    the causes in the order of the changes.

    `left_out` pairs of equal images are in the estimate, and not in the difference and the causes.
    """

    case: C
    estimate: Estimate
    difference: float | None = None
    causes: tuple[Cause, ...] = ()
    left_out: int = 0

    @property
    def visible_causes(self) -> list[Cause]:
        """The causes that printed digits show, those that jump or are not known; jumps first, then
        the largest.
        """
        half = 0.5 * 10.0 ** -(METRICS_TABLE[self.case.metric].digits or 4)
        sizes = {c: math.inf if c.jumps else abs(c.difference or 0.0) for c in self.causes}
        visible = [c for c in self.causes if c.difference is None or sizes[c] >= half]
        return sorted(visible, key=lambda cause: -sizes[cause])


@dataclass(frozen=True)
class OnPairs:
    """Metrics under protocols on pairs of images of one size.

    If it `explains`, also after each change from the first protocol to the others, which say why
    numbers differ.
    """

    protocols: Sequence[ImageProtocol]
    networks: Networks
    size: tuple[int, int]  # height and width of the images
    explains: bool = False
    metrics: Sequence[str] = METRICS

    def refused(self, case: ImageCase) -> str:
        """Why a case is left out, whatever networks there are; "" if it is not."""
        return ""

    def lacking(self, case: ImageCase) -> str:
        """Why a case cannot be computed; "" if it can."""
        return self.refused(case) or why_not(case, self.networks, self.size)

    @cached_property
    def defined(self) -> list[ImageCase]:
        """The metrics that each protocol defines."""
        cases = [ImageCase(metric, p) for p in self.protocols for metric in self.metrics]
        return [case for case in cases if getattr(case.protocol, case.metric) is not None]

    @cached_property
    def cases(self) -> list[ImageCase]:
        """What is computed: each case once, and not those that lack something."""
        cases = list(self.defined)
        for case in self.defined:
            cases += [change.after for change in self._changes(case)]
        return list({case.key: case for case in cases if not self.lacking(case)}.values())

    def _first(self, case: ImageCase) -> ImageCase:
        return ImageCase(case.metric, self.protocols[0])

    def _changes(self, case: ImageCase) -> list[FieldChange[ImageCase]]:
        return list(changes(self._first(case), case)) if self.explains else []

    def compute(self, made: Tensor, as_decoded: Tensor, originals: Tensor) -> Arrays:
        """The arrays of all cases, of a batch of pairs; `as_decoded` are those made, not clamped.

        Originals are seen as they are in files, with 8 bits.
        """
        files = to_uint8(originals) if originals.is_floating_point() else originals
        return compute(self.cases, self.networks, made, files, as_decoded)

    def numbers(
        self, arrays: Arrays, units: Units | None = None, watched: Watched = iter
    ) -> list[Explained[ImageCase]]:
        """Each metric under each protocol, of the arrays of all pairs; explained, by metric, those
        nearest to the first protocol last.

        Each pair is a unit unless `units` are given. `watched` iterates over cases while their numbers
        are computed.
        """
        if units is None:
            units = _each_pair(max(map(len, arrays.values()), default=0))
        estimates = {case.key: estimate(case, arrays, units) for case in watched(self.cases)}
        numbers = [self._explained(case, estimates, arrays) for case in self.defined]
        if self.explains:
            numbers.sort(
                key=lambda each: (METRICS.index(each.case.metric), -abs(each.difference or 0))
            )
        return numbers

    def _explained(
        self, case: ImageCase, estimates: Mapping[str, Estimate], arrays: Arrays
    ) -> Explained[ImageCase]:
        if why := self.lacking(case):
            return Explained(case, Estimate(None, why=why))
        measured, first = estimates[case.key], self._first(case)
        if measured.value is None or not self.explains or first.key not in estimates:
            return Explained(case, measured)
        path = self._changes(case)
        cases = [first, *(change.after for change in path)]
        comparable, left_out = self._comparable(cases, estimates, arrays)
        causes = [cause(change, comparable, estimates) for change in path]
        if not comparable:  # all pairs are equal
            causes = [cause for cause in causes if cause.jumps]
        moved = difference(first, case, comparable)
        return Explained(case, measured, moved, tuple(causes), left_out)

    def _comparable(
        self, cases: Sequence[ImageCase], estimates: Mapping[str, Estimate], arrays: Arrays
    ) -> tuple[Mapping[str, Estimate], int]:
        """Numbers of which differences can be taken, and how many pairs they leave out: if one of
        `cases` is infinite, those whose images are equal under any case of PSNR.
        """
        if not any(_is_infinite(case, estimates) for case in cases):
            return estimates, 0
        alike = [case for case in self.cases if case.metric == cases[0].metric]
        equal = np.any([arrays[case.scores_key] == 0 for case in alike], axis=0)
        left_out = int(equal.sum())
        if equal.all():
            return {}, left_out
        kept = {case.scores_key: arrays[case.scores_key][~equal] for case in alike}
        units = _each_pair(len(equal) - left_out)
        return {case.key: estimate(case, kept, units) for case in alike}, left_out


def _each_pair(count: int) -> Units:
    """So many pairs of images, each a unit."""
    return Units("pairs", np.arange(count))


def cause(
    change: FieldChange[C], comparable: Mapping[str, Estimate], estimates: Mapping[str, Estimate]
) -> Cause:
    """What a change did, by the estimates of cases by key: `estimates` are of all units, and the
    `comparable` ones of the units that differences are of.
    """
    moved = difference(change.before, change.after, comparable)
    if not {change.before.key, change.after.key} <= estimates.keys():
        return Cause(str(change), None)
    before, after = (_is_infinite(case, estimates) for case in (change.before, change.after))
    if before == after:
        return Cause(str(change), moved)
    return Cause(f"{change} ({'now' if after else 'no longer'} infinite)", moved, jumps=True)


def difference(before: Case, after: Case, estimates: Mapping[str, Estimate]) -> float | None:
    """How far the number of one case is from another's; None if either is not known."""
    if before.key not in estimates or after.key not in estimates:
        return None
    return _value(estimates[after.key]) - _value(estimates[before.key])


def _is_infinite(case: Case, estimates: Mapping[str, Estimate]) -> bool:
    return case.key in estimates and math.isinf(_value(estimates[case.key]))


def _value(estimate: Estimate) -> float:
    """The value; nan if it is not defined."""
    return math.nan if estimate.value is None else estimate.value
