"""Published numbers of codes, each with what is known of how it was measured.

    attach(record, ours, theirs)        the record with the number that is printed for its system and data

A number is comparable only on its own data, and by the protocol that it was printed by.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from reports.records.published import plain, rows_of
from reports.records.record import Record
from reports.records.tokenizers import SECOND_HAND

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Number:
    """A published number, as printed.

    data        the set of images; the code was trained on others only if `system` says so
    spread      what is printed after ±, or ""
    protocol    the name of one of ours that its code follows, or "" if it is not known
    mark        P: printed by those who measured it; S: second-hand
    """

    system: str
    data: str
    metric: str
    value: str
    spread: str
    protocol: str
    source: str
    mark: str

    @property
    def origin(self) -> tuple[str, str]:
        """Its data, and by which protocol and at which hand it is known."""
        known = self.protocol or "protocol not known"
        return self.data, known + ", second-hand" * (self.mark == SECOND_HAND)

    def __str__(self) -> str:
        return f"{self.system} {self.value}{f' ± {self.spread}' * bool(self.spread)}"


@cache
def published() -> tuple[Number, ...]:
    """Every published number, in the order of the file."""
    return tuple(Number(**row) for row in rows_of("codes.csv"))


def attach(record: R, ours: Mapping[str, Any], theirs: Callable[[str], Mapping[str, Any]]) -> R:
    """`record` with the published number of its system on its data, by the protocol that is nearest.

    `ours` are the fields that it depends on, and `theirs` gives those of a protocol by its name. What
    differs makes it not comparable: fields, a protocol that is not known, another training and code,
    which is always so. Unchanged if there is no number.
    """
    found = []
    for number in published():
        same = plain(number.data) == plain(record.dataset) and number.metric == record.metric
        if same and plain(number.system.partition(" (")[0]) == plain(record.system):
            other = theirs(number.protocol) if number.protocol else {}
            why = [f"{name} {value}" for name, value in other.items() if ours.get(name) != value]
            why += ["protocol not known"] * (not number.protocol)
            why += ["second-hand"] * (number.mark == SECOND_HAND)
            found.append(([*why, "another code"], number))
    if not found:
        return record
    why, number = min(found, key=lambda each: len(each[0]))
    source = f"{number.source}, {', '.join(number.origin)}: {number.system}"
    row = replace(record, published=float(number.value), published_metric=number.metric)
    return replace(row, published_source=source, not_comparable="; ".join(why))
