"""What each system keeps and loses: some numbers of each aspect, beside those of the references.

Every number has an axis of its own, in its own unit, on which right is better. Aspects are not
averaged.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reports.page.contest import first_metric, gap_between, gap_text
from reports.page.plots.data import COLOURS, MARKERS, colour_of, numbers_of, point
from reports.page.view import Numbers, View
from reports.records.comparable import is_floor
from reports.records.record import LOWER, Record
from reports.tables.contests import loss, of_headline, own_best
from reports.tables.layout import at_largest_steps
from reports.tables.merging import Merged
from reports.tables.numbers import error_text, heading, steps_text, value_text
from reports.tables.run_record import contest_of


@dataclass(frozen=True)
class Number:
    """A number of an aspect: its table, and its metric, or the first stand-in that was measured.

    `settings` are patterns: of a system's settings that fit the first of them, the one at which the
    table's headline takes it is shown, else the first.
    `words` describe it better than its setting.
    """

    aspect: str
    table: str
    metric: str
    settings: tuple[str, ...] = (".*",)
    words: str = ""


TABLE1, ROBUST, SMOOTH = "table1_reconstruction", "latent_robustness", "smoothness of the codes"
UNEDITED = (".* 0", "reconstruction")  # edits of strength 0
NUMBERS = (
    Number("structure", TABLE1, "ssim"),
    Number("structure", TABLE1, "ms_ssim"),
    Number("structure", TABLE1, "psnr"),
    Number("texture", TABLE1, "lpips"),
    Number("texture", TABLE1, "rkid"),
    Number("identity", "appendix_g_identity", "arcface", UNEDITED, "reconstruction"),
    Number("attributes", "section5.3_probe", "auroc", ("mean",)),
    Number(SMOOTH, "appendix_f_smoothness", "ppl", ("median",), "path length, median"),
    Number(SMOOTH, "latent_interpolation", "ikid", ("slerp.*",), "halfway to another code"),
    Number(SMOOTH, ROBUST, "lpips", ("noise 0.3", "noise .*")),
    Number(SMOOTH, ROBUST, "lpips", ("4 bits", ".* bits")),
)
Records = Mapping[Number, Sequence[Record]]


def panels_of(found: Merged, numbers: Numbers) -> View:
    """A panel for each system that has one of the numbers, and the markers of the references."""
    records = {number: _records(number, found) for number in NUMBERS}
    every = [r for ours in records.values() for r in ours]
    names = dict.fromkeys(_name(r) for r in every if r.reference)
    marks = {name: 1 + i % (MARKERS - 1) for i, name in enumerate(names)}
    systems = dict.fromkeys(r.system for r in every if not r.reference)
    panels = [_panel(system, records, marks, found, numbers) for system in systems]
    return {"panels": panels, "references": marks}


def _records(number: Number, found: Merged) -> list[Record]:
    """One record of each system and reference, and all of real images."""
    measured = at_largest_steps(numbers_of(found, number.table))
    metric = first_metric(found, measured, number.metric)
    taken = _taken(number.table, measured, found)
    ours = [r for r in measured if r.metric == metric]
    ours.sort(key=lambda r: r.setting != taken.get(r.system))
    chosen: dict[str, Record] = {}
    for setting in number.settings:
        for r in ours:
            if re.fullmatch(setting, r.setting):
                chosen.setdefault(r.system, r)
    return [*chosen.values(), *filter(is_floor, ours)]


def _taken(table: str, records: Sequence[Record], found: Merged) -> dict[str, str]:
    """The setting at which each system of a table is taken, by its headline."""
    spec = next((spec for spec in found.specs if spec.source == table), None)
    told = of_headline(spec, records, found.known) if spec else []
    metric = first_metric(found, told, *(spec.headline if spec else ()))
    return {r.system: r.setting for r in own_best(r for r in told if r.metric == metric)}


def _panel(
    system: str, records: Records, marks: Mapping[str, int], found: Merged, numbers: Numbers
) -> View:
    aspects: dict[str, list[View]] = {number.aspect: [] for number in records}
    for number, ours in records.items():
        aspects[number.aspect] += [
            _row(number, r, ours, marks, found) | {"number": numbers.setdefault(r, len(numbers))}
            for r in ours
            if r.system == system
        ]
    return {"system": system, "colour": colour_of(found, system) % COLOURS, "aspects": aspects}


def _row(
    number: Number, record: Record, ours: Sequence[Record], marks: Mapping[str, int], found: Merged
) -> View:
    """A number on its axis, with the others that were measured like it.

    Positions are in per cent of the axis: of the ends of its interval and its value, and of each
    other, which follow its marker (0: a system) and its name.
    """
    peers = [r for r in ours if contest_of(r) == contest_of(record)]
    worst, best = _axis(record, peers)
    others = [r for r in peers if r is not record]
    own, span = point(0, record), best - worst

    def at(value: float) -> float:
        share = (value - worst) / span if span else 1.0
        return round(100 * min(max(share, 0.0), 1.0), 2)

    return {
        "table": record.table,
        "label": heading(record.metric, [record], found.known),
        "words": ", ".join(filter(None, (number.words or record.setting, steps_text(record)))),
        "value": value_text(record, found.known),
        "error": error_text(record, found.known),
        "at": [at(own.low), at(own.y), at(own.high)],
        "others": [(at(point(0, r).y), marks.get(_name(r), 0), _name(r)) for r in others],
        "ends": [f"{end:.3g}" for end in (worst, best)],
        "against": _against(record, others, found),
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


def _against(record: Record, others: Sequence[Record], found: Merged) -> str:
    """The difference to the best reference; without one, to the best of the other systems."""
    if not others:
        return ""
    rival = min([r for r in others if r.reference] or others, key=loss)
    gap = gap_between(rival, record, found)
    size = gap_text(replace(gap, behind=abs(gap.behind)), found)
    side = "behind" if gap.behind > 0 else "ahead of"
    return f"{size} {side} {_name(rival)}{', within noise' if gap.within_noise else ''}"


def _name(record: Record) -> str:
    return record.setting if is_floor(record) else record.system
