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
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics import METRICS as METRICS_TABLE
from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.protocols.cases import Arrays, Case, Measured, compute, measured, why_not
from benchmarks.metrics.protocols.schema import METRICS, Protocol
from diffae.eight_bit import to_uint8
from diffae.system.files import read_toml

Watched = Callable[[Sequence[Case]], Iterable[Case]]
C = TypeVar("C", bound=Any)  # a Case
F = TypeVar("F")  # what is measured of it
WORDS = read_toml(Path(__file__).with_name("words.toml"))


def in_words(field: str, value: Any) -> str:
    """A field's value in words; `field` is "section.name"."""
    name = field.partition(".")[2]
    words = WORDS.get(field, WORDS.get(name, {}))
    text = words.get(str(value).lower() if isinstance(value, bool) else str(value))
    number = f"{value:,}" if isinstance(value, int) else value
    return text or words.get("other", f"{name} {{}}").format(number)


@dataclass(frozen=True)
class Step(Generic[C]):
    """One ingredient changed: its field, both values, and the metric before and after."""

    field: str
    old: Any
    new: Any
    before: C
    after: C

    def __str__(self) -> str:
        return f"{in_words(self.field, self.new)} instead of {in_words(self.field, self.old)}"


def steps(start: C, end: Any) -> Iterator[Step[C]]:
    """From a case to the same metric under another protocol `end`, one field at a time."""
    wanted, case = replace(start, protocol=end), start
    for name, old in start.fields.items():
        new = wanted.fields[name]
        if new != old:
            after = replace(case, protocol=case.protocol.changed(name, new))
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
class Explained(Generic[C, F]):
    """A metric under a protocol: its number, or the reason why there is none; its difference from
    the same metric under `plain`, and its causes in the order of the steps.

    `left_out` pairs of equal images are in the number, and not in the difference and the causes.
    """

    case: C
    found: F | None
    reason: str = ""
    difference: float | None = None
    causes: tuple[Cause, ...] = ()
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


@dataclass(frozen=True)
class OnPairs:
    """Metrics under protocols on pairs of images of one size.

    If it `explains`, also under each step from the first protocol to the others, which say why
    numbers differ.
    """

    protocols: Sequence[Protocol]
    networks: Networks
    size: tuple[int, int]  # height and width of the images
    explains: bool = False
    metrics: Sequence[str] = METRICS

    def refused(self, case: Case) -> str:
        """Why a case is not asked for, whatever networks there are; "" if it is."""
        return ""

    def lacking(self, case: Case) -> str:
        """Why a case cannot be computed; "" if it can."""
        return self.refused(case) or why_not(case, self.networks, self.size)

    @cached_property
    def asked(self) -> list[Case]:
        """The metrics that each protocol defines."""
        every = [Case(metric, p) for p in self.protocols for metric in self.metrics]
        return [case for case in every if getattr(case.protocol, case.metric) is not None]

    @cached_property
    def cases(self) -> list[Case]:
        """What is computed: each case once, and not those that lack something."""
        found = [*self.asked, *(step.after for case in self.asked for step in self._steps(case))]
        return list({case.key: case for case in found if not self.lacking(case)}.values())

    def _first(self, case: Case) -> Case:
        return Case(case.metric, self.protocols[0])

    def _steps(self, case: Case) -> list[Step[Case]]:
        return list(steps(self._first(case), case.protocol)) if self.explains else []

    def compute(self, made: Tensor, as_decoded: Tensor, originals: Tensor) -> Arrays:
        """The arrays of all cases, of a batch of pairs; `as_decoded` are those made, not clamped.

        Originals are seen as they are in files, with 8 bits.
        """
        files = to_uint8(originals) if originals.is_floating_point() else originals
        return compute(self.cases, self.networks, made, files, as_decoded)

    def numbers(
        self, arrays: Arrays, blocks: NDArray[np.int64] | None = None, watched: Watched = iter
    ) -> list[Explained[Case, Measured]]:
        """Each metric under each protocol, of the arrays of all pairs; explained, by metric, those
        nearest to the first protocol last.

        `blocks` are as `measured` takes them. `watched` iterates over cases while their numbers are
        computed.
        """
        known = {case.key: measured(case, arrays, blocks) for case in watched(self.cases)}
        found = [self._explained(case, known, arrays) for case in self.asked]
        if self.explains:
            found.sort(key=lambda one: (METRICS.index(one.case.metric), -abs(one.difference or 0)))
        return found

    def _explained(
        self, case: Case, of_all: Mapping[str, Measured], arrays: Mapping[str, NDArray]
    ) -> Explained[Case, Measured]:
        here = of_all.get(case.key)
        if here is None or here.reason or self.refused(case):
            return Explained(case, None, self.lacking(case) or (here.reason if here else ""))
        first, way = self._first(case), self._steps(case)
        if not self.explains or first.key not in of_all:
            return Explained(case, here)
        known, left_out = self._comparable([first, *(step.after for step in way)], of_all, arrays)
        causes = [cause(step, known, of_all) for step in way]
        if not known:  # all pairs are equal
            causes = [cause for cause in causes if cause.jumps]
        return Explained(case, here, "", difference(first, case, known), tuple(causes), left_out)

    def _comparable(
        self, cases: Sequence[Case], known: Mapping[str, Measured], arrays: Mapping[str, NDArray]
    ) -> tuple[Mapping[str, Measured], int]:
        """Numbers of which differences can be taken, and how many pairs they leave out: if one of
        `cases` is infinite, those whose images are equal under any case of PSNR.
        """
        if not any(math.isinf(known[case.key].value) for case in cases if case.key in known):
            return known, 0
        some = [case for case in self.cases if case.metric == cases[0].metric]
        equal = np.any([arrays[case.scores_key] == 0 for case in some], axis=0)
        kept = {case.scores_key: arrays[case.scores_key][~equal] for case in some}
        of_others = {} if equal.all() else {case.key: measured(case, kept) for case in some}
        return of_others, int(equal.sum())


def cause(step: Step[Any], known: Mapping[Any, Any], of_all: Mapping[Any, Any]) -> Cause:
    """What a step did, by the numbers of cases by key: those `of_all` units, and those `known` of
    the units that differences are of.
    """
    moved = difference(step.before, step.after, known)
    if not {step.before.key, step.after.key} <= of_all.keys():
        return Cause(str(step), None)
    was, now = (math.isinf(of_all[case.key].value) for case in (step.before, step.after))
    if was == now:
        return Cause(str(step), moved)
    return Cause(f"{step} ({'now' if now else 'no longer'} infinite)", moved, jumps=True)


def difference(before: Any, after: Any, known: Mapping[Any, Any]) -> float | None:
    """How far the number of one case is from another's; None if either is not known."""
    if before.key not in known or after.key not in known:
        return None
    return float(known[after.key].value - known[before.key].value)
