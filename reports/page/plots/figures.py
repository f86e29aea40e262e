"""A plot of one metric: against a number (`against`), or with a row of dots for each setting or system
(`in_rows`). A plot is left out if there is too little to draw.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from reports.page.plots.data import Plot, X, are_few, in_words, series_of
from reports.page.plots.drawing import draw, paint_series, plain_axes, rule
from reports.records.comparable import is_floor
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.tables.build import Merged
from reports.tables.numbers import heading

HEIGHT, LEFT = 3.3, 0.6  # inches; space for the labels of values
LABEL, SIZE = 0.07, 0.13  # share of the axis that the label of a tick takes, and of a large number
WIDE = 10  # ratio of the largest number to the smallest from which an axis is logarithmic
ROW, FRAME, CHARACTER = 0.2, 0.7, 0.082  # inches
LONGEST_NAME = 32
MOST_UNORDERED, MOST_ROWS = 10, 80


def against(
    found: Merged,
    spec: TableSpec,
    records: Sequence[Record],
    xlabel: str,
    x: X,
    log: bool = False,
    room: float = LABEL,
) -> Iterator[Plot]:
    """A plot of `records` of one metric; none if no series has two points, and few have one. Real
    images without an `x` are a dashed level.
    """
    fields = ("system", "setting", "solver") if log else ("system",)
    lines = series_of(found, records, x, fields)
    places = [{p.x for p in line.points} for line in lines]
    values = sorted(set().union(*places))
    if len(values) < 2 or (are_few(lines) and all(len(one) < 2 for one in places)):
        return
    floors = [r for r in records if is_floor(r) and x(r) is None]
    levels = {r.setting or r.system: r.value or 0.0 for r in floors}
    ylabel = heading(records[0].metric, records, found.known)
    dashed = "".join(f"; dashed: {name}" for name in levels)
    said = [in_words(lines, "{:g}".format), *(f"{k}: {v:.4g}." for k, v in levels.items())]
    log = log or (values[0] > 0 and values[-1] / values[0] >= WIDE)
    ticks = (_decades(values) if room == SIZE else []) or (spaced(values, room) if log else values)

    def paint(axes: Any) -> None:
        if log:
            axes.set_xscale("log")
        for level in levels.values():
            rule(axes.axhline, level)
        for line in lines:
            paint_series(axes, line)
        axes.set_xticks(ticks, [f"{tick:,.10g}" for tick in ticks], minor=False)
        axes.set_xticks([], minor=True)
        plain_axes(axes, xlabel, ylabel)

    title, text = f"{ylabel} against {xlabel}{dashed}", " ".join(said)
    svg = draw(HEIGHT, title, text, paint, LEFT)
    yield Plot(svg, title, text, spec.name, spec.title, lines, lines=True)


def spaced(values: Sequence[float], share: float = LABEL) -> list[float]:
    """The ascending positive `values` whose labels do not overlap on a logarithmic axis: a label takes
    `share` of its width. The last is always kept.
    """
    apart = share * math.log10(values[-1] / values[0])
    kept: list[float] = []
    for value in reversed(values):
        if not kept or math.log10(kept[-1] / value) >= apart:
            kept.append(value)
    return kept[::-1]


def _decades(values: Sequence[float]) -> list[float]:
    """The powers of ten among ascending `values`; none if there are fewer than three."""
    first, last = math.ceil(math.log10(values[0])), math.floor(math.log10(values[-1]))
    return [10.0**power for power in range(first, last + 1)] if last - first >= 2 else []


def in_rows(found: Merged, spec: TableSpec, records: list[Record], field: str) -> Iterator[Plot]:
    """A plot of `records` of one metric with a row for each value of `field`, and a rule at the neutral
    value of the metric; none for few points, unless there is a rule.
    """
    if not records:
        return
    known = found.known.get(records[0].metric)
    mark = known.neutral if known else None
    names = _names(records, field)
    rows = {name: float(i) for i, name in enumerate(names)}
    lines = series_of(found, records, lambda r: rows.get(getattr(r, field)))
    if mark is None and are_few(lines):
        return
    label = heading(records[0].metric, records, found.known)
    by = f" by {spec.setting_header}" if field == spec.rows[0] == "setting" else ""
    dashed = f"; dashed: {mark:g}" if mark is not None else ""
    short = [n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 1]}…" for n in names]

    def paint(axes: Any) -> None:
        if mark is not None:
            rule(axes.axvline, mark)
        spread = min(0.5, 0.16 * (len(lines) - 1))
        for i, line in enumerate(lines):
            paint_series(axes, line, spread * (i / max(len(lines) - 1, 1) - 0.5))
        axes.set_yticks(range(len(names)), short)
        axes.set_ylim(len(names) - 0.4, -0.6)
        plain_axes(axes, label, "")
        axes.tick_params(axis="y", length=0)

    title = f"{label}{by}, with 95 % intervals{dashed}"
    text = in_words(lines, lambda x: names[int(x)])
    height = FRAME + ROW * len(names) * (1 if len(names) > 6 else 1.6)
    svg = draw(height, title, text, paint, 0.15 + CHARACTER * max(map(len, short)), top=0.1)
    yield Plot(svg, title, text, spec.name, spec.title, lines)


def _names(records: Sequence[Record], field: str) -> list[str]:
    """The rows from top to bottom: in the given order; many by the first system's values, the largest
    first.
    """
    names: list[str] = list(dict.fromkeys(getattr(r, field) for r in records))
    if len(names) > MOST_UNORDERED:
        ours = [r for r in records if r.system == records[0].system]
        first = {getattr(r, field): r.value or 0.0 for r in ours}
        names.sort(key=lambda name: -first.get(name, 0.0))
    return names[:MOST_ROWS]
