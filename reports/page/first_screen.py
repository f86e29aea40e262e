"""The first screen of the page: the table of headlines, one picture, one plot, and cautions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.page.pictures import FigureView
from reports.page.plots import drawing
from reports.page.plots.drawing import Plot, Series
from reports.page.stored import ImageView
from reports.page.view import Numbers, View, table_view
from reports.records.record import LOWER, Record
from reports.tables.build import Merged
from reports.tables.headlines import (
    HeadlineRow,
    cautions,
    code_text,
    competing,
    headline_rows,
    table_of_headlines,
)
from reports.tables.numbers import heading
from reports.tables.ranking import WITH_NOISE

MOST_IMAGES = 8  # columns of the picture
INPUT = "input"  # the first row of a sheet of reconstructions
ROW, FRAME = 0.3, 0.75  # inches: of a line of the plot, and of what is above and below
TITLE = "Each headline on an axis of its own; right is better; bars are 95 % intervals"


def first_screen(merged: Merged, numbers: Numbers, figures: Sequence[FigureView]) -> View:
    """What the template `first.html.j2` shows."""
    rows = headline_rows(merged)
    table = table_of_headlines(merged, rows)
    systems = competing(merged)
    return {
        "view": table_view(table, numbers, "h"),
        "systems": [(name, code_text(name, merged)) for name in systems],
        "picture": picture_of(figures),
        "plot": plot_of(rows, merged),
        "cautions": cautions(merged, rows),
    }


# ----------------------------------------------------------------------------------------------
# The picture


@dataclass(frozen=True)
class PictureRow:
    """A row of the picture: its heading, and images as `FigureView` has them."""

    heading: str
    images: Sequence[ImageView]


def picture_of(figures: Sequence[FigureView]) -> list[PictureRow]:
    """Inputs, the reconstructions of every system, and what the code alone gives; empty without sheets.

    A sheet of reconstructions has a row for each kind of code, the first with all that a system can
    encode. Systems whose inputs are other images than those of the first sheet are left out.
    """
    sheets = [
        figure
        for figure in figures
        if figure.sheet.rows[:1] == (INPUT,)
        and figure.benchmark == "reconstruction"
        and not figure.sheet.columns
    ]
    if not sheets:
        return []
    inputs = [image.stored.key for image in sheets[0].images[0]]
    alike = [f for f in sheets if [image.stored.key for image in f.images[0]] == inputs]
    whole: list[PictureRow] = []
    alone: list[PictureRow] = []
    for figure in alike:
        system = str(figure.sheet.about.get("system", ""))
        for place, kind in enumerate(figure.sheet.rows[1:], 1):
            is_second = place > 1
            words = {"x_T inverted": "code and inverted noise", "x_T random": "code alone"}
            name = ", ".join(filter(None, (system, words.get(kind, ""))))
            row = PictureRow(name, figure.images[place][:MOST_IMAGES])
            (alone if is_second else whole).append(row)
    return [PictureRow("input", sheets[0].images[0][:MOST_IMAGES]), *whole, *alone]


# ----------------------------------------------------------------------------------------------
# The plot


def plot_of(rows: Sequence[HeadlineRow], merged: Merged) -> Plot | None:
    """A line for each headline with a better direction, a dot for each system; None if no line has two dots."""
    lines = [row for row in rows if len(row.numbers) > 1 and row.records[0].direction != "neither"]
    if not lines:
        return None
    names = [_name(row, merged) for row in lines]
    series = []
    for system in competing(merged):
        places = [(i, row.numbers[system]) for i, row in enumerate(lines) if system in row.numbers]
        points = tuple(_on_axis(i, r, lines[i].records) for i, r in places)
        colour = drawing.colour_of(merged, system)
        if points:
            series.append(
                Series(system, points, colour % drawing.COLOURS, colour % drawing.MARKERS)
            )

    def paint(axes: Any) -> None:
        drawing.paint_rows(axes, series, names, min(0.5, 0.14 * (len(series) - 1)))
        axes.set_xlim(-0.04, 1.04)
        axes.set_xticks([0, 1], ["worse", "better"])
        axes.tick_params(length=0)

    text = "; ".join(
        f"{name}: {', '.join(f'{s} {r.value:.4g}' for s, r in row.numbers.items())}"
        for name, row in zip(names, lines, strict=True)
    )
    left = 0.15 + 0.075 * max(map(len, names))
    svg: Markup = drawing.draw(FRAME + ROW * len(names), TITLE, text, paint, left, top=0.1)
    return Plot(svg, TITLE, text, "headlines", "Headlines", tuple(series))


def _name(row: HeadlineRow, merged: Merged) -> str:
    records = row.records
    metric = heading(records[0].metric, records, merged.metrics)
    noise = " with noise" if row.kind == WITH_NOISE else ""
    return f"{records[0].benchmark}{noise}: {metric}"


def _on_axis(place: int, record: Record, rivals: Sequence[Record]) -> drawing.Point:
    """The number on an axis from 0 (the worst end of all intervals) to 1 (the best end)."""
    own, points = drawing.point(place, record), [drawing.point(0, r) for r in rivals]
    low, high = min(p.low for p in points), max(p.high for p in points)
    span = (high - low) or 1.0
    shares = [(value - low) / span for value in (own.low, own.y, own.high)]
    if record.direction == LOWER:
        shares = [1 - share for share in reversed(shares)]
    return drawing.Point(place, shares[1], shares[0], shares[2])
