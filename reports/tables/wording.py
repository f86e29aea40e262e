"""Words for numbers and their differences, which the page, the board and the terminal share."""

from collections.abc import Iterable, Sequence

from reports.records.metrics import Metrics
from reports.records.reading import joined
from reports.records.record import NEITHER, Record
from reports.tables import numbers
from reports.tables.ranking import FEWEST, UNDECIDED, Gap, is_measured


def gap_text(gap: Gap, metrics: Metrics, error: bool = True) -> str:
    """`0.0123 ± 0.0011`: the size of a difference, with its error if that is known."""
    size, to = abs(gap.behind), gap.stderr
    if not to:
        return numbers.number_text(size, gap.record.metric, metrics)
    return numbers.to_error(size, to) + f" ± {numbers.to_error(to, to)}" * error


def how_sure(gap: Gap) -> str:
    """How a difference was measured, and whether chance may explain it."""
    if gap.standing == UNDECIDED:
        why = f"fewer than {FEWEST} images" if gap.is_of_few else "no error of it is known"
        return f"{UNDECIDED}: {why}"
    if gap.noise is None or gap.stderr is None:
        return "the same" if not gap.behind else "exact"
    return f"{'paired' if gap.paired else 'unpaired'}, {'within' if gap.within_noise else 'beyond'} noise"


def how(record: Record, others: Iterable[Record]) -> str:
    """What distinguishes a record from `others` besides its system: setting and T, if they have several."""
    settings, steps = zip(*((r.setting, r.steps) for r in others), strict=True)
    several = len(set(steps) - {None}) > 1
    parts = (record.setting * (len(set(settings)) > 1), numbers.steps_text(record) * several)
    return joined(*parts)


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(records: Iterable[Record]) -> str:
    """`n = 16`, or `n = 8 to 16`: the images, or other units, behind numbers.

    Empty if no n is known, and for what does not depend on images, such as parameters.
    """
    measured = [r for r in records if is_measured(r) and r.n is not None]
    counts = sorted({r.n or 0 for r in measured if r.direction != NEITHER or r.n != 1})
    ends = dict.fromkeys((*counts[:1], *counts[-1:]))
    return f"n = {' to '.join(f'{n:,}' for n in ends)}" if ends else ""
