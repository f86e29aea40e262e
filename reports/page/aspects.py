"""What each system keeps and loses: some numbers of each aspect, beside those of the references.

Every number has an axis of its own, in its own unit, on which right is better. Aspects are not
averaged.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from reports.page.plots.drawing import COLOURS, MARKERS, colour_of, numbers_of, point
from reports.page.verdicts import gap_text
from reports.page.view import Numbers, View
from reports.records.published import is_floor
from reports.records.reading import joined
from reports.records.record import LOWER, Record
from reports.tables.build import Merged
from reports.tables.contests import first_metric, of_headline
from reports.tables.numbers import error_text, heading, steps_text, value_text
from reports.tables.ranking import (
    at_largest_steps,
    gap_between,
    has_inverted_noise,
    loss,
    own_best,
)

Rows = list[tuple[str, list[Record]]]  # an aspect, and a number of it of every system and reference


def panels_of(merged: Merged, numbers: Numbers) -> View:
    """A panel for each system that has one of the numbers, and the markers of the references."""
    rows = list(_rows(merged))
    records = [r for _, ours in rows for r in ours]
    names = dict.fromkeys(_name(r) for r in records if r.reference)
    marks = {name: 1 + i % (MARKERS - 1) for i, name in enumerate(names)}
    systems = dict.fromkeys(r.system for r in records if not r.reference)
    panels = [_panel(system, rows, marks, merged, numbers) for system in systems]
    return {"panels": panels, "references": marks}


def _rows(merged: Merged) -> Iterator[tuple[str, list[Record]]]:
    """For each aspect of a table, one record of each system and reference, and all of real images: at
    the largest T, and of several settings at that of the table's headline, or the first.

    A pattern of settings has alternatives, of which a system is taken at the first that it has.
    """
    for spec in sorted(merged.specs, key=lambda spec: spec.order):
        measured = at_largest_steps(numbers_of(merged, spec.source))
        shown = of_headline(spec, measured, merged.metrics)
        first = first_metric(shown, spec.headline, merged.metrics)
        taken = {r.system: r.setting for r in own_best(r for r in shown if r.metric == first)}
        for aspect, wanted, settings in spec.aspects:
            metric = first_metric(measured, [wanted], merged.metrics)
            ours = [r for r in measured if r.metric == metric]
            ours.sort(key=lambda r: r.setting != taken.get(r.system))
            chosen: dict[str, Record] = {}
            for pattern in settings.split("|"):
                for r in ours:
                    if re.fullmatch(pattern, r.setting):
                        chosen.setdefault(r.system, r)
            yield aspect, [*chosen.values(), *filter(is_floor, ours)]


def _panel(
    system: str, rows: Rows, marks: dict[str, int], merged: Merged, numbers: Numbers
) -> View:
    aspects: dict[str, list[View]] = {aspect: [] for aspect, _ in rows}
    for aspect, ours in rows:
        for r in (r for r in ours if r.system == system):
            number = {"number": numbers.setdefault(r, len(numbers))}
            aspects[aspect].append(_row(r, ours, marks, merged) | number)
    return {"system": system, "colour": colour_of(merged, system) % COLOURS, "aspects": aspects}


def _row(record: Record, ours: Sequence[Record], marks: Mapping[str, int], merged: Merged) -> View:
    """A number on its axis, with the others that were measured like it.

    Positions are in per cent of the axis: of the ends of its interval and its value, and of each
    other, which follow its marker (0: a system) and its name.
    """
    peers = [r for r in ours if r.contest == record.contest]
    worst, best = _axis(record, peers)
    others = [r for r in peers if r is not record]
    own, span = point(0, record), best - worst

    def at(value: float) -> float:
        share = (value - worst) / span if span else 1.0
        return round(100 * min(max(share, 0.0), 1.0), 2)

    return {
        "table": record.table,
        "label": heading(record.metric, [record], merged.metrics),
        "words": joined(record.setting, steps_text(record)),
        "value": value_text(record, merged.metrics),
        "error": error_text(record, merged.metrics),
        "at": [at(own.low), at(own.y), at(own.high)],
        "others": [(at(point(0, r).y), marks.get(_name(r), 0), _name(r)) for r in others],
        "ends": [f"{end:.3g}" for end in (worst, best)],
        "against": _against(record, others, merged),
    }


def _axis(record: Record, peers: Sequence[Record]) -> tuple[float, float]:
    """The left and right end: the worst of all intervals, and what no number can surpass (0 or 1; of
    a number with a unit, such as dB, the best of all intervals).
    """
    ends = [end for p in (point(0, r) for r in peers) for end in (p.low, p.high)]
    if record.direction == LOWER:
        return max(*ends, 0.0), 0.0
    best = max(ends) if record.unit else 1.0
    return min(*ends, best), best


def _against(record: Record, others: Sequence[Record], merged: Merged) -> str:
    """The difference to the best reference; without one, to the best of the other systems of like codes."""
    alike = [r for r in others if has_inverted_noise(r) == has_inverted_noise(record)]
    rivals = [r for r in others if r.reference] or alike
    if not rivals:
        return ""
    rival = min(rivals, key=loss)
    gap = gap_between(rival, record, merged.metrics)
    side = "behind" if gap.behind > 0 else "ahead of"
    doubt = "" if gap.is_clear else f", {gap.standing}"
    return f"{gap_text(gap, merged.metrics)} {side} {_name(rival)}{doubt}"


def _name(record: Record) -> str:
    return record.setting if is_floor(record) else record.system
