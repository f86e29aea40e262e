"""A number as a table of several runs shows it: which run it is of, or of how many it is the mean."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from reports.records.record import Record


@dataclass(frozen=True)
class Shown(Record):
    """A record with the `run` that it is of. What was measured otherwise than in the first run is of another `contest`.

    Over several runs `value` is the mean of `runs` of them, `spread` the standard deviation between them (None: only one
    has it), and `stderr` the standard error within one run, the root mean square of theirs.
    """

    run: str = ""
    origin: str = ""  # its `record_key` in that run
    contest: str = ""
    runs: int = 1
    spread: float | None = None
    pooled: bool = False


def is_pooled(record: Record) -> TypeGuard[Shown]:
    """Whether it is of several runs."""
    return isinstance(record, Shown) and record.pooled


def contest_of(record: Record) -> str:
    """Numbers of one contest were measured alike."""
    return record.contest if isinstance(record, Shown) else ""


def extra_columns(records: Iterable[Record]) -> tuple[str, ...]:
    """The fields of `Shown` that say something of at least one record."""
    shown = [r for r in records if isinstance(r, Shown)]
    if any(r.pooled for r in shown):
        return ("run", "runs", "spread")
    return ("run",) if shown else ()
