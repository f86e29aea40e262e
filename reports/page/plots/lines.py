"""One metric against a number: T, network calls, noise in the code, its size, operations."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from reports.page.plots.data import Plot, Series, are_few, in_words, series_of
from reports.page.plots.drawing import DASHES, SHAPES, SOFT, draw, place, plain_axes, series
from reports.records.comparable import is_floor
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.tables.build import Merged
from reports.tables.numbers import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, LEFT = 3.3, 0.6  # inches; space for the labels of values
LABEL, SIZE = 0.07, 0.13  # share of the axis that the label of a tick takes, and of a large number
WIDE = 10  # ratio of the largest number to the smallest from which an axis is logarithmic
X = Callable[[Record], float | None]


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

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        if log:
            axes.set_xscale("log")
        for level in levels.values():
            axes.axhline(level, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
        for line in lines:
            paint_series(axes, line)
        axes.set_xticks(ticks, [f"{tick:,.10g}" for tick in ticks], minor=False)
        axes.set_xticks([], minor=True)
        plain_axes(axes, xlabel, ylabel)
        place(figure, LEFT)

    title, text = f"{ylabel} against {xlabel}{dashed}", " ".join(said)
    svg = draw(HEIGHT, title, text, paint)
    yield Plot(svg, title, text, spec.name, spec.title, lines, lines=True)


def paint_series(axes: "Axes", one: Series, offset: float | None = None) -> None:
    """Draw points with their 95 % intervals, joined by a line.

    With an `offset` they are dots with their values along the horizontal axis, in rows moved by it.
    """
    colour = series(one.colour)
    bars: dict[str, Any] = {"fmt": "none", "color": colour, "elinewidth": 1}
    marks: dict[str, Any] = {"color": colour, "marker": SHAPES[one.marker]}
    marks |= {"markersize": 5, "markeredgewidth": 0}
    xs, ys = [p.x for p in one.points], [p.y for p in one.points]
    sides = [p.y - p.low for p in one.points], [p.high - p.y for p in one.points]
    if offset is None:
        axes.errorbar(xs, ys, sides, capsize=2, **bars)
        axes.plot(xs, ys, linestyle=DASHES[one.dash], linewidth=1.5, **marks)
    else:
        rows = [x + offset for x in xs]
        axes.errorbar(ys, rows, xerr=sides, **bars)
        axes.plot(ys, rows, linestyle="none", **marks)


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
