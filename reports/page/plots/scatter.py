"""Quality against what it takes: the size of the code, and the operations to encode and decode an image."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from reports.layout import at_largest_steps
from reports.numbers import heading
from reports.page.plots.data import (
    Plot,
    Point,
    Series,
    are_few,
    first_metric,
    in_words,
    numbers_of,
    point,
    series_of,
    title_of_table,
)
from reports.page.plots.drawing import draw, place, plain_axes
from reports.page.plots.lines import HEIGHT, LEFT, paint_line, spaced
from reports.page.reading import Found
from reports.records import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE1, CALLS, COST = "table1_reconstruction", "table2_by_calls", "section5.5_cost"
LABEL = 0.13  # of the width of the axis, which the label of a tick takes


def by_size(found: Found) -> Iterator[Plot]:
    """Table 1: quality against the numbers in the code."""
    records = at_largest_steps(numbers_of(found, TABLE1, lambda r: True))
    sizes = {_row(r): r.value for r in records if r.metric == "latent_dim"}
    for wanted in ("ssim", "lpips"):
        yield from _scatter(
            found, records, wanted, TABLE1, "numbers in the code", lambda r: sizes.get(_row(r))
        )


def by_cost(found: Found) -> Iterator[Plot]:
    """Quality against operations there and back, where the run counted them."""
    steps = _gflops(found)
    records = numbers_of(found, TABLE1, lambda r: True) + numbers_of(found, CALLS, lambda r: True)
    yield from _scatter(
        found,
        records,
        "ssim",
        COST,
        "GFLOP an image",
        lambda r: _operations(r, steps),
    )


def _row(record: Record) -> tuple[object, ...]:
    return record.system, record.setting, record.dataset, record.split


def _gflops(found: Found) -> dict[tuple[str, str], float]:
    """Operations of one step, by system and part."""
    counted = numbers_of(found, COST, lambda r: r.metric == "gflops")
    return {(r.system, r.setting): r.value for r in counted if r.value is not None}


def _operations(record: Record, gflops: dict[tuple[str, str], float]) -> float | None:
    """Network calls times the operations of one (a single pass: one), and the semantic encoder once."""
    decode = gflops.get((record.system, "decode"))
    if not decode:
        return None
    calls = 1 if record.calls is None else record.calls
    return calls * decode + gflops.get((record.system, "encode, semantic"), 0.0)


def _scatter(
    found: Found,
    records: Sequence[Record],
    wanted: str,
    table: str,
    xlabel: str,
    x: Callable[[Record], float | None],
) -> Iterator[Plot]:
    """A plot of one metric; none of few points, or where fewer than two places on the axis are known."""
    metric = first_metric(found, records, wanted)
    ours = [r for r in records if r.metric == metric]
    groups: dict[tuple[str, ...], list[Point]] = {}
    for record in ours:
        at = x(record)
        if at:  # a logarithmic axis has no 0
            points = groups.setdefault((record.system, record.setting, record.solver), [])
            points.append(point(at, record))
    marks = _once(series_of(found, groups))
    if are_few(marks) or len({p.x for mark in marks for p in mark.points}) < 2:
        return
    ylabel = heading(metric, ours, found.known)
    title, text = f"{ylabel} against {xlabel}", f"{in_words(marks)}."
    svg = draw(HEIGHT, title, text, lambda figure: _paint(figure, marks, xlabel, ylabel))
    yield Plot(svg, title, text, table, title_of_table(found, table), marks, lines=True)


def _once(series: Sequence[Series]) -> tuple[Series, ...]:
    """Each point once: a number may stand in two tables."""
    return tuple(
        Series(s.name, tuple(dict.fromkeys(s.points)), s.colour, s.marker, s.dash) for s in series
    )


def _paint(figure: "Figure", marks: Sequence[Series], xlabel: str, ylabel: str) -> None:
    axes = figure.add_subplot()
    axes.set_xscale("log")
    for mark in marks:
        paint_line(axes, mark)
    values = sorted({p.x for mark in marks for p in mark.points})
    axes.set_xticks(_decades(values) or spaced(values, LABEL), minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xticklabels([f"{tick:,.10g}" for tick in axes.get_xticks()])
    plain_axes(axes, xlabel, ylabel)
    place(figure, LEFT)


def _decades(values: Sequence[float]) -> list[float]:
    """The powers of ten among ascending `values`; none where there are fewer than three."""
    first, last = math.ceil(math.log10(values[0])), math.floor(math.log10(values[-1]))
    return [10.0**power for power in range(first, last + 1)] if last - first >= 2 else []
