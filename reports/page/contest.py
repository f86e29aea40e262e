"""Who is best by one metric, and whether the others can be told apart from it: on the images that they share."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.numbers import error_text, number_text, steps_text, to_error, value_text
from reports.page.reading import Found
from reports.records import HIGHER, LOWER, Record
from reports.shown import contest_of
from reports.uncertainty import difference_error, paired

# How sure a verdict is, in a word.
CLEAR, LEVEL, ALONE, SAID, NOTHING = "clear", "within noise", "alone", "described", "not measured"
TWO_SIDED = 0.975  # the quantile of a difference that chance exceeds, either way, once in twenty


@dataclass(frozen=True)
class Gap:
    """How far `record` lies behind the best: `stderr` of the difference (None: not known), and whether it is paired."""

    record: Record
    behind: float
    stderr: float | None
    noise: float | None
    paired: bool

    @property
    def within_noise(self) -> bool:
        return self.noise is not None and self.behind <= self.noise


@dataclass(frozen=True)
class Contest:
    """The best of several systems, each at its own best setting, and the others by how close they come."""

    best: Record
    others: tuple[Gap, ...]

    @property
    def level(self) -> list[Gap]:
        """Those that cannot be told apart from the best."""
        return [gap for gap in self.others if gap.within_noise]


def contest(records: Iterable[Record], found: Found) -> Contest | None:
    """The contest of these records of one metric; None if nothing of a direction was measured."""
    ranked = sorted(_own_best(records), key=_loss)
    if not ranked:
        return None
    best = ranked[0]
    return Contest(best, tuple(_gap(best, other, found) for other in ranked[1:]))


def _own_best(records: Iterable[Record]) -> list[Record]:
    best: dict[str, Record] = {}
    for record in records:
        measured_alike = is_measured(record) and not contest_of(record)
        if measured_alike and not record.reference and record.direction in (HIGHER, LOWER):
            rival = best.setdefault(record.system, record)
            best[record.system] = min(rival, record, key=_loss)
    return list(best.values())


def is_measured(record: Record) -> bool:
    return record.value is not None and not math.isnan(record.value)


def _loss(record: Record) -> float:
    value = math.nan if record.value is None else record.value
    return -value if record.direction == HIGHER else value


def _gap(best: Record, other: Record, found: Found) -> Gap:
    a, b = found.uncertainty(best), found.uncertainty(other)
    error = difference_error(a, b)
    behind = _loss(other) - _loss(best)
    if math.isnan(behind):  # both are infinite
        behind = 0.0
    noise = error.quantile(TWO_SIDED) if error else None
    return Gap(other, behind, error.stderr if error else None, noise, paired(a, b))


# ----------------------------------------------------------------------------------------------
# In words


def with_error(record: Record, found: Found) -> str:
    return value_text(record, found.known) + error_text(record, found.known)


def how(record: Record, others: Sequence[Record]) -> str:
    """The setting and steps of a record in parentheses, where its system has others beside it."""
    same = {(r.setting, r.steps) for r in others if r.system == record.system and is_measured(r)}
    parts = [part for part in (record.setting, steps_text(record)) if part]
    return f" ({', '.join(parts)})" if len(same) > 1 and parts else ""


def gap_text(gap: Gap, found: Found) -> str:
    """`0.0123 ± 0.0011`: the difference to the best, with its error where it is known."""
    if not gap.stderr:
        return number_text(gap.behind, gap.record.metric, found.known)
    return f"{to_error(gap.behind, gap.stderr)} ± {to_error(gap.stderr, gap.stderr)}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def otherwise(rivals: Sequence[Record]) -> str:
    """What is to be added where others were measured in another way: these are not compared."""
    apart = any(contest_of(r) and is_measured(r) and not r.reference for r in rivals)
    return " in this way (others by another protocol, which do not compare)" if apart else ""
