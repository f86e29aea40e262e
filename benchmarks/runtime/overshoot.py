"""Values outside [-1, 1] in images that systems make: they are clamped, counted, and noted in rows.
What a protocol wants as it was decoded is counted and noted alike.

The counts are stored beside what was computed from the images, so that a row has the same note
whoever computed them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from reports.records.record import Record

R = TypeVar("R", bound=Record)
Arrays = dict[str, np.ndarray]
PREFIX = "outside [-1, 1]: "  # of the names that counts have in the store
KEPT = ", unless the protocol says otherwise"  # after the method of images that were not clamped


@dataclass
class Overshoot:
    """By method of a system, with KEPT or without: how many values were outside [-1, 1], and of how
    many.
    """

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, method: str, outside: int, total: int, clamped: bool = True) -> None:
        method += "" if clamped else KEPT
        before = self.counts.get(method, (0, 0))
        self.counts[method] = (before[0] + outside, before[1] + total)

    def note(self) -> str:
        """The note for a row; "" if all values were within [-1, 1]."""
        return "; ".join(
            f"{_percent(outside / total)} of the values of {method.removesuffix(KEPT)} lay outside [-1, 1] and were "
            f"clamped{KEPT * method.endswith(KEPT)}"
            for method, (outside, total) in sorted(self.counts.items())
            if outside
        )

    def beside(self, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of `compute`, with the counts that it made added under names of their own.
        `unpack` adds them to this object.
        """
        before, self.counts = self.counts, {}
        try:
            arrays = compute()
            return arrays | {PREFIX + name: np.array(c) for name, c in self.counts.items()}
        finally:
            self.counts = before

    def unpack(self, arrays: Arrays) -> Arrays:
        """Take the counts out of the arrays of `beside` and add them to this object."""
        for name in [name for name in arrays if name.startswith(PREFIX)]:
            outside, total = arrays.pop(name).tolist()
            self.add(name.removeprefix(PREFIX), outside, total)
        return arrays


def is_count(name: str) -> bool:
    """Whether an array of this name is a count added by `Overshoot.beside`."""
    return name.startswith(PREFIX)


def share_of_counts(counts: np.ndarray, place: slice, of: int) -> np.ndarray:
    """The share of the images at `place` in counts over `of` images: proportional, in whole
    numbers, so that the shares of all places sum to the counts.
    """
    return counts * place.stop // of - counts * place.start // of


def with_note(record: R, note: str) -> R:
    """The record with `note` appended to its note."""
    return replace(record, note="; ".join(filter(None, [record.note, note])))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
