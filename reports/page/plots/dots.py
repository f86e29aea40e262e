"""Dot plots with one row per setting or system: attributes, classes, path length, nearness."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from reports.page.plots.data import Plot, Series, are_few, grouped, plot_of, series_of
from reports.page.plots.drawing import SOFT, place, plain_axes
from reports.page.plots.lines import paint_series
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.tables.merging import Merged
from reports.tables.numbers import heading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW, FRAME, CHARACTER = 0.2, 0.7, 0.082  # inches
LONGEST_NAME = 32
MOST_UNORDERED, MOST_ROWS = 10, 80


def in_rows(
    found: Merged, spec: TableSpec, records: Sequence[Record], field: str
) -> Iterator[Plot]:
    """A plot of `records` of one metric with a row for each value of `field`, and a rule at the neutral
    value of the metric; none for few points, unless there is a rule.
    """
    if not records:
        return
    known = found.known.get(records[0].metric)
    mark = known.neutral if known else None
    row: Callable[[Record], str] = attrgetter(field)
    names = _names(records, row)
    rows = {name: float(i) for i, name in enumerate(names)}
    lines = series_of(found, grouped(records, lambda r: (r.system,), lambda r: rows.get(row(r))))
    if mark is None and are_few(lines):
        return
    label = heading(records[0].metric, records, found.known)
    by = f" by {spec.setting_header}" if field == spec.rows[0] == "setting" else ""
    title = f"{label}{by}, with 95 % intervals" + (
        f"; dashed: {mark:g}" if mark is not None else ""
    )
    text = _in_words(lines, names)
    height = FRAME + ROW * len(names) * (1 if len(names) > 6 else 1.6)
    paint = partial(_paint, lines=lines, names=names, label=label, mark=mark)
    yield plot_of(found, spec, height, title, text, paint, lines)


def _names(records: Sequence[Record], row: Callable[[Record], str]) -> list[str]:
    """The rows from top to bottom: in the given order; many by the first system's values, the largest
    first.
    """
    names = list(dict.fromkeys(map(row, records)))
    if len(names) > MOST_UNORDERED:
        first = {row(r): r.value or 0.0 for r in records if r.system == records[0].system}
        names.sort(key=lambda name: -first.get(name, 0.0))
    return names[:MOST_ROWS]


def _paint(
    figure: "Figure", lines: Sequence[Series], names: Sequence[str], label: str, mark: float | None
) -> None:
    axes = figure.add_subplot()
    if mark is not None:
        axes.axvline(mark, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
    spread = min(0.5, 0.16 * (len(lines) - 1))
    for i, line in enumerate(lines):
        offset = spread * (i / (len(lines) - 1) - 0.5) if len(lines) > 1 else 0.0
        paint_series(axes, line, offset)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    plain_axes(axes, label, "")
    axes.tick_params(axis="y", length=0)
    longest = max(len(_short(name)) for name in names)
    place(figure, 0.15 + CHARACTER * longest, top=0.1)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _in_words(lines: Sequence[Series], names: Sequence[str]) -> str:
    """Each series from its lowest value to its highest."""
    said = []
    for line in lines:
        low, high = (f(line.points, key=lambda p: p.y) for f in (min, max))
        text = f"{line.name}: {low.y:.4g} ({names[int(low.x)]})"
        if low != high:
            text += f" to {high.y:.4g} ({names[int(high.x)]})"
        said.append(text)
    return "; ".join(said) + "."
