"""Dot plots with one row per setting or system: attributes, classes, path length, nearness."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reports.page.plots.data import Plot, are_few, in_words, series_of
from reports.page.plots.drawing import SOFT, draw, place, plain_axes
from reports.page.plots.lines import paint_series
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.tables.build import Merged
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
    names = _names(records, field)
    rows = {name: float(i) for i, name in enumerate(names)}
    lines = series_of(found, records, lambda r: rows.get(getattr(r, field)))
    if mark is None and are_few(lines):
        return
    label = heading(records[0].metric, records, found.known)
    by = f" by {spec.setting_header}" if field == spec.rows[0] == "setting" else ""
    dashed = f"; dashed: {mark:g}" if mark is not None else ""
    short = [
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names
    ]

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        if mark is not None:
            axes.axvline(mark, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
        spread = min(0.5, 0.16 * (len(lines) - 1))
        for i, line in enumerate(lines):
            paint_series(axes, line, spread * (i / max(len(lines) - 1, 1) - 0.5))
        axes.set_yticks(range(len(names)), short)
        axes.set_ylim(len(names) - 0.4, -0.6)
        plain_axes(axes, label, "")
        axes.tick_params(axis="y", length=0)
        place(figure, 0.15 + CHARACTER * max(map(len, short)), top=0.1)

    title = f"{label}{by}, with 95 % intervals{dashed}"
    text = in_words(lines, lambda x: names[int(x)])
    height = FRAME + ROW * len(names) * (1 if len(names) > 6 else 1.6)
    yield Plot(draw(height, title, text, paint), title, text, spec.name, spec.title, lines)


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
