"""Quality against the number of steps, against network calls, and against the noise level: lines with intervals."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from reports.numbers import heading
from reports.page.plots.data import (
    Plot,
    Series,
    first_metric,
    grouped,
    in_words,
    numbers_of,
    series_of,
    title_of_table,
)
from reports.page.plots.drawing import DASHES, SHAPES, draw, place, plain_axes, series
from reports.page.reading import Found
from reports.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, LEFT = 3.3, 0.6  # inches; what the labels of values take
LABEL = 0.07  # of the width of the axis, which the label of a tick takes


def by_steps(found: Found) -> Iterator[Plot]:
    """Table 2: SSIM and LPIPS (or what stands in for it) against T."""
    for metric in ("ssim", "lpips"):
        yield from _against(
            found,
            "table2_ablation",
            metric,
            "T (steps)",
            lambda r: r.steps,
            lambda r: (r.system, r.setting),
        )


def by_calls(found: Found) -> Iterator[Plot]:
    """The same against network calls, with the solvers beside the paper's."""
    for metric in ("ssim", "lpips"):
        yield from _against(
            found, "table2_by_calls", metric, "network calls an image", lambda r: r.calls,
            lambda r: (r.system, r.setting, r.solver),
        )  # fmt: skip


def samples_by_steps(found: Found) -> Iterator[Plot]:
    """Table 4: FID (or what stands in for it) against T and against network calls, where there are several T."""
    for label, x in (("T (steps)", _steps), ("network calls an image", _calls)):
        yield from _against(
            found,
            "table4_unconditional_fid",
            "fid",
            label,
            x,
            lambda r: (r.system, r.setting, r.solver),
        )


def over_t(found: Found) -> Iterator[Plot]:
    """Figure 6: the error of the predicted image against the t that it was noised to."""
    yield from _against(
        found, "figure6_denoising", "mse", "t", _noised_to, lambda r: (r.system,), log=False
    )


def _steps(record: Record) -> float | None:
    return record.steps


def _calls(record: Record) -> float | None:
    return record.calls


def _noised_to(record: Record) -> float | None:
    match = re.fullmatch(r"t = (\d{1,6})", record.setting)
    return float(match[1]) if match else None


def _against(
    found: Found,
    table: str,
    wanted: str,
    xlabel: str,
    x: Callable[[Record], float | None],
    key: Callable[[Record], tuple[str, ...]],
    log: bool = True,
) -> Iterator[Plot]:
    """A plot of one metric; none where no series has two points."""
    records = numbers_of(found, table, lambda r: x(r) is not None)
    metric = first_metric(found, records, wanted)
    ours = [r for r in records if r.metric == metric]
    lines = series_of(found, grouped(ours, key, x))
    if not any(len({p.x for p in line.points}) > 1 for line in lines):
        return
    ylabel = heading(metric, ours, found.known)
    title = f"{ylabel} against {xlabel}"
    text = f"{in_words(lines)}."
    svg = draw(HEIGHT, title, text, lambda figure: _paint(figure, lines, xlabel, ylabel, log))
    yield Plot(svg, title, text, table, title_of_table(found, table), lines, lines=True)


def _paint(figure: "Figure", lines: Sequence[Series], xlabel: str, ylabel: str, log: bool) -> None:
    axes = figure.add_subplot()
    if log:
        axes.set_xscale("log")
    for line in lines:
        paint_line(axes, line)
    values = sorted({p.x for line in lines for p in line.points})
    axes.set_xticks(spaced(values) if log else values, minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xticklabels([f"{tick:,.6g}" for tick in axes.get_xticks()])
    plain_axes(axes, xlabel, ylabel)
    place(figure, LEFT)


def paint_line(axes: "Axes", line: Series) -> None:
    """A line with its markers and the 95 % intervals of its points."""
    colour = series(line.colour)
    xs, ys = [p.x for p in line.points], [p.y for p in line.points]
    below = [p.y - p.low for p in line.points]
    above = [p.high - p.y for p in line.points]
    axes.errorbar(xs, ys, (below, above), fmt="none", color=colour, elinewidth=1, capsize=2)
    axes.plot(
        xs, ys, color=colour, linestyle=DASHES[line.dash], linewidth=1.5, marker=SHAPES[line.marker],
        markersize=5, markeredgewidth=0,
    )  # fmt: skip


def spaced(values: Sequence[float], share: float = LABEL) -> list[float]:
    """Those of ascending positive `values` whose labels leave each other room on a logarithmic axis: a label takes
    `share` of its width. The last is kept always."""
    apart = share * math.log10(values[-1] / values[0])
    kept: list[float] = []
    for value in reversed(values):
        if not kept or math.log10(kept[-1] / value) >= apart:
            kept.append(value)
    return kept[::-1]
