"""Published numbers of codes, each with what is known of how it was measured.

    lines("dci_d")      "published, Shapes3D, fdae: FDAE 0.917 ± 0.038, ..."

A number is comparable only on its own data, and by the protocol that it was printed by.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from reports.records.published import rows_of
from reports.records.tokenizers import SECOND_HAND


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


def lines(metric: str, protocol: str = "") -> Iterator[str]:
    """The published numbers of a metric, a line for each origin; of one protocol or of all."""
    found = [n for n in published() if n.metric == metric and protocol in ("", n.protocol)]
    for origin, numbers in groupby(sorted(found, key=lambda n: n.origin), lambda n: n.origin):
        yield f"published, {', '.join(origin)}: {', '.join(map(str, numbers))}"
