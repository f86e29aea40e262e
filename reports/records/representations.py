"""Published numbers of codes, each with what is known of how it was measured.

A number is comparable only on its own data, and by the protocol that it was printed by
(`published.attach`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from reports.records.reading import Fields, rows_of
from reports.records.tokenizers import SECOND_HAND


@dataclass(frozen=True)
class CodeNumber:
    """A published number of codes, as printed.

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
        protocol = self.protocol or "protocol not known"
        return self.data, f"{protocol}, second-hand" if self.mark == SECOND_HAND else protocol

    def __str__(self) -> str:
        spread = f" ± {self.spread}" if self.spread else ""
        return f"{self.system} {self.value}{spread}"


@cache
def published() -> tuple[CodeNumber, ...]:
    """Every published number, in the order of the file."""
    return tuple(CodeNumber(**row) for row in rows_of("codes.csv"))


def differences(number: CodeNumber, measured: Fields, published: Fields) -> Iterator[str]:
    """What differs from a published number of codes; training and code always do."""
    for name, value in published.items():
        if measured.get(name) != value:
            yield f"{name} {value}"
    if not number.protocol:
        yield "protocol not known"
    if number.mark == SECOND_HAND:
        yield "second-hand"
    yield "another code"
