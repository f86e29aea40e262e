"""Values outside [-1, 1] among the images that systems make: clamped where they are made, counted, and noted in rows.

The counts are kept in the store beside what was computed from the images, so that a row says the same whoever
computed it, and when.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from reports.records import Record

R = TypeVar("R", bound=Record)
Arrays = dict[str, np.ndarray]
PREFIX = "outside [-1, 1]: "  # of the names that counts have in the store


@dataclass
class Overshoot:
    """By method of a system: how many values lay outside [-1, 1], and of how many."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, method: str, outside: int, total: int) -> None:
        before = self.counts.get(method, (0, 0))
        self.counts[method] = (before[0] + outside, before[1] + total)

    def note(self) -> str:
        """What a row says of it; nothing if all values lay within."""
        return "; ".join(
            f"{_percent(outside / total)} of the values of {method} lay outside [-1, 1] and were clamped"
            for method, (outside, total) in sorted(self.counts.items())
            if outside
        )

    def beside(self, compute: Callable[[], Arrays]) -> Arrays:
        """What `compute` returns, and under names of their own the counts that it made, which are counted here
        only when `unpack` reads them."""
        before, self.counts = self.counts, {}
        try:
            arrays = compute()
            return arrays | {PREFIX + name: np.array(c) for name, c in self.counts.items()}
        finally:
            self.counts = before

    def unpack(self, arrays: Arrays) -> Arrays:
        """The arrays that `beside` was given, with the counts taken out and added here."""
        for name in [name for name in arrays if name.startswith(PREFIX)]:
            outside, total = arrays.pop(name).tolist()
            self.add(name.removeprefix(PREFIX), outside, total)
        return arrays

    def annotate(self, records: Iterator[R]) -> Iterator[R]:
        """The records, each with the note on the images behind it.

        Those are the images that were counted since the row before, or, where none were, the same as its.
        """
        said = ""
        self.counts.clear()
        for record in records:
            if self.counts:
                said = self.note()
                self.counts.clear()
            yield with_note(record, said) if record.value is not None else record


def is_count(name: str) -> bool:
    """Whether an array of this name is a count that `Overshoot.beside` has put there."""
    return name.startswith(PREFIX)


def share_of_counts(counts: np.ndarray, place: slice, of: int) -> np.ndarray:
    """What the images at `place` have in counts that were made of `of` images together: as much as any others, in whole
    numbers. The shares of all places together are the counts."""
    return counts * place.stop // of - counts * place.start // of


def with_note(record: R, note: str) -> R:
    """The record with `note` behind what its note says already."""
    return replace(record, note="; ".join(filter(None, [record.note, note])))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
