"""Identity after an edit against its strength: a small plot for each attribute."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from reports.page.contest import first_metric
from reports.page.plots.data import (
    Plot,
    Series,
    grouped,
    in_words,
    numbers_of,
    plot_of,
    series_of,
)
from reports.page.plots.drawing import SOFT, place
from reports.page.plots.lines import LEFT, paint_series
from reports.records.record import Record
from reports.tables.contests import strength_of
from reports.tables.merging import Merged
from reports.tables.numbers import heading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE = "appendix_g_identity"
MOST = 8  # attributes
ROW, FRAME = 1.9, 0.3  # inches

Panels = dict[str, tuple[Series, ...]]


def identity(found: Merged) -> Iterator[Plot]:
    """Appendix G: similarity of the face before and after, with that of two pictures of one person
    as the scale.
    """
    records = numbers_of(found, TABLE)
    metric = first_metric(found, records, "arcface")
    ours = [r for r in records if r.metric == metric]
    edits = [(r, *strength_of(r.setting)) for r in ours]
    attributes = list(dict.fromkeys(a for _, a, s in edits if s is not None))
    if not attributes:
        return
    panels: Panels = {}
    for attribute in attributes[:MOST]:
        edited = [r for r, a, _ in edits if a == attribute]
        points = grouped(edited, lambda r: (r.system,), lambda r: strength_of(r.setting)[1])
        panels[attribute] = series_of(found, points)
    scale = [r for r, _, s in edits if s is None and r.setting.startswith("the same person")]
    label = heading(metric, ours, found.known)
    title = f"{label} against the strength of the edit, by attribute"
    if scale:
        title += "; dashed: another picture of the same person"
    text = " ".join(f"{a}: {in_words(lines)}." for a, lines in panels.items())
    if len(attributes) > MOST:
        text += f" {len(attributes) - MOST} more attributes stand in the table."
    height = FRAME + ROW * math.ceil(len(panels) / 2)
    key = {line.name: line for lines in panels.values() for line in lines}
    paint = partial(_paint, panels=panels, scale=scale)
    yield plot_of(found, TABLE, height, title, text, paint, tuple(key.values()), lines=True)


def _paint(figure: "Figure", panels: Panels, scale: Sequence[Record]) -> None:
    rows = math.ceil(len(panels) / 2)
    grid = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    for axes, (attribute, lines) in zip(grid.flat, panels.items(), strict=False):
        for line in lines:
            paint_series(axes, line)
        for record in scale:
            axes.axhline(record.value or 0.0, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
        axes.set_title(attribute[:40])
        axes.tick_params(length=3, labelbottom=True)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("strength of the edit")
    place(figure, LEFT)
    figure.subplots_adjust(hspace=0.45, wspace=0.12)
