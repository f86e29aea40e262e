"""A number in a table of several runs: with its run, or with the number of runs it is a mean of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from reports.records.record import Record


@dataclass(frozen=True)
class RunRecord(Record):
    """A record with its `run`.

    `contest` is empty for a number that was measured as in the first run, else the name of the
    first run that measured it in the same way: only numbers of one `contest` are compared.

    For several runs `value` is the mean of `runs` of them, `spread` the standard deviation between
    them (None: only one has it), and `stderr` the standard error within one run, the root mean
    square of theirs.
    """

    run: str = ""
    origin: str = ""  # its `record_key` in that run
    contest: str = ""
    runs: int = 1
    spread: float | None = None
    pooled: bool = False


def is_pooled(record: Record) -> TypeGuard[RunRecord]:
    """Whether the record is the mean of several runs."""
    return isinstance(record, RunRecord) and record.pooled


def contest_of(record: Record) -> str:
    """The contest of a record; numbers of one contest were measured alike."""
    return record.contest if isinstance(record, RunRecord) else ""


def extra_columns(records: Iterable[Record]) -> tuple[str, ...]:
    """The fields of `RunRecord` that are set in at least one record."""
    shown = [r for r in records if isinstance(r, RunRecord)]
    if any(r.pooled for r in shown):
        return ("run", "runs", "spread")
    return ("run",) if shown else ()
