"""Dot plots with one row per system: attributes, classes, path length, nearness."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from reports.page.contest import first_metric, headline_metric
from reports.page.plots.data import (
    Plot,
    Series,
    are_few,
    grouped,
    numbers_of,
    plot_of,
    series_of,
)
from reports.page.plots.drawing import SOFT, place, plain_axes
from reports.page.plots.lines import paint_series
from reports.records.headline import of_like_n
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
    records = [r for r in numbers_of(found, "section5.3_probe") if r.setting not in MEANS]
    yield from _rows(found, records, "section5.3_probe_attributes", "auroc", ordered=True)


def by_class(found: Merged) -> Iterator[Plot]:
    """Table 3: the distance of accepted samples to each class."""
    table = "table3_fewshot_fid"
    records = numbers_of(found, table)
    yield from _rows(found, records, table, headline_metric(found, table, records))


def samples(found: Merged) -> Iterator[Plot]:
    """Table 4 if all samples were drawn with one T, so that there is no line to draw."""
    table = "table4_unconditional_fid"
    records = numbers_of(found, table)
    if len({r.steps for r in records if r.steps is not None}) <= 1:
        metric = headline_metric(found, table, records)
        yield from _rows(found, records, table, metric, field="system")


def path_length(found: Merged) -> Iterator[Plot]:
    """Appendix F: the published trimmed mean, and the median, which no single pair decides."""
    table = "appendix_f_smoothness"
    records = [r for r in numbers_of(found, table) if r.setting in ("trimmed mean", "median")]
    yield from _rows(found, records, table, "ppl")


def nearest(found: Merged) -> Iterator[Plot]:
    """Appendix C: distance of samples to the training images, divided by that of new images."""
    table = "appendix_c_memorisation"
    for metric in ("nn_ratio_inception", "nn_ratio_pixels"):
        yield from _rows(found, numbers_of(found, table), table, metric, mark=1.0)


def _rows(
    found: Merged,
    records: Sequence[Record],
    table: str,
    wanted: str,
    field: str = "setting",
    ordered: bool = False,
    mark: float | None = None,
) -> Iterator[Plot]:
    """A plot of one metric (empty: none was measured) with a row for each value of `field`; `mark` is
    a value to compare with.

    Returns no plot for few points, unless there is a mark.
    """
    metric = first_metric(found, records, wanted)
    alike = of_like_n([r for r in records if r.metric == metric], found.known)
    ours = at_largest_steps(alike)
    if not ours:
        return
    row: Callable[[Record], str] = attrgetter(field)
    names = _names(ours, row, ordered)
    rows = {name: float(i) for i, name in enumerate(names)}
    lines = series_of(found, grouped(ours, lambda r: (r.system,), lambda r: rows.get(row(r))))
    if mark is None and are_few(lines):
        return
    label = heading(metric, ours, found.known)
    title = f"{label}{' of each attribute' if ordered else ''}, with 95 % intervals"
    title += "; dashed: what new images have" if mark is not None else ""
    text = _in_words(lines, names)
    height = FRAME + ROW * len(names) * (1 if len(names) > 6 else 1.6)
    paint = partial(_paint, lines=lines, names=names, label=label, mark=mark)
    yield plot_of(found, table, height, title, text, paint, lines)


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
