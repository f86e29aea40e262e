"""Dot plots with one row per system: attributes, classes, path length, nearness."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from reports.page.plots.data import (
    Plot,
    Point,
    Series,
    are_few,
    first_metric,
    numbers_of,
    point,
    series_of,
    title_of_table,
)
from reports.page.plots.drawing import SHAPES, SOFT, draw, place, plain_axes, series
from reports.records.record import Record
from reports.tables.layout import at_largest_steps
from reports.tables.merging import Merged
from reports.tables.numbers import heading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW, FRAME, CHARACTER = 0.2, 0.7, 0.082  # inches
LONGEST_NAME = 32
MOST_ROWS = 80
MEANS = ("", "mean", "prevalence-weighted mean")


def by_attribute(found: Merged) -> Iterator[Plot]:
    """AUROC of every attribute, sorted by that of the first system."""
    records = numbers_of(found, "section5.3_probe", lambda r: r.setting not in MEANS)
    yield from _rows(
        found, records, "section5.3_probe_attributes", "auroc", lambda r: r.setting, ordered=True
    )


def by_class(found: Merged) -> Iterator[Plot]:
    """Table 3: the distance of accepted samples to each class."""
    records = numbers_of(found, "table3_fewshot_fid", lambda r: True)
    yield from _rows(found, records, "table3_fewshot_fid", "fid", lambda r: r.setting)


def samples(found: Merged) -> Iterator[Plot]:
    """Table 4 if all samples were drawn with one T, so that there is no line to draw."""
    records = numbers_of(found, "table4_unconditional_fid", lambda r: True)
    if len({r.steps for r in records if r.steps is not None}) > 1:
        return
    yield from _rows(found, records, "table4_unconditional_fid", "fid", lambda r: r.system)


def path_length(found: Merged) -> Iterator[Plot]:
    """Appendix F: the published trimmed mean, and the median, which no single pair decides."""
    records = numbers_of(
        found, "appendix_f_smoothness", lambda r: r.setting in ("trimmed mean", "median")
    )
    yield from _rows(found, records, "appendix_f_smoothness", "ppl", lambda r: r.setting)


def nearest(found: Merged) -> Iterator[Plot]:
    """Appendix C: distance of samples to the training images, divided by that of new images."""
    table = "appendix_c_memorisation"
    for metric in ("nn_ratio_inception", "nn_ratio_pixels"):
        records = numbers_of(found, table, lambda r: True)
        yield from _rows(found, records, table, metric, lambda r: r.setting, mark=1.0)


def _rows(
    found: Merged,
    records: Sequence[Record],
    table: str,
    wanted: str,
    row: Callable[[Record], str],
    ordered: bool = False,
    mark: float | None = None,
) -> Iterator[Plot]:
    """A plot of one metric with a row for each value of `row`; `mark` is a value to compare with.

    Returns no plot for few points, unless there is a mark.
    """
    metric = first_metric(found, records, wanted)
    ours = at_largest_steps([r for r in records if r.metric == metric])
    if not ours:
        return
    names = _names(ours, row, ordered)
    groups: dict[tuple[str, ...], list[Point]] = {}
    for record in ours:
        if row(record) in names:
            groups.setdefault((record.system,), []).append(point(names.index(row(record)), record))
    lines = series_of(found, groups)
    if mark is None and are_few(lines):
        return
    label = heading(metric, ours, found.known)
    title = f"{label}{' of each attribute' if ordered else ''}, with 95 % intervals"
    title += "; dashed: what new images have" if mark is not None else ""
    text = _in_words(lines, names)
    height = FRAME + ROW * len(names) * (1 if len(names) > 6 else 1.6)
    svg = draw(height, title, text, lambda figure: _paint(figure, lines, names, label, mark))
    yield Plot(svg, title, text, table, title_of_table(found, table), lines)


def _names(records: Sequence[Record], row: Callable[[Record], str], ordered: bool) -> list[str]:
    """The rows from top to bottom: in the given order, or by the first system's values, the largest
    first.
    """
    names = list(dict.fromkeys(map(row, records)))
    if ordered:
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
        _paint_dots(axes, line, offset)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    plain_axes(axes, label, "")
    axes.tick_params(axis="y", length=0)
    longest = max(len(_short(name)) for name in names)
    place(figure, 0.15 + CHARACTER * longest, top=0.1)


def _paint_dots(axes, line: Series, offset: float) -> None:  # type: ignore[no-untyped-def]
    colour = series(line.colour)
    xs, ys = [p.y for p in line.points], [p.x + offset for p in line.points]
    below, above = [p.y - p.low for p in line.points], [p.high - p.y for p in line.points]
    axes.errorbar(xs, ys, xerr=(below, above), fmt="none", color=colour, elinewidth=1)
    axes.plot(
        xs,
        ys,
        color=colour,
        linestyle="none",
        marker=SHAPES[line.marker],
        markersize=5,
        markeredgewidth=0,
    )


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
