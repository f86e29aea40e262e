"""Quality against steps, network calls, noise level, size of the code and operations."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from reports.page.contest import first_metric, headline_metric
from reports.page.plots.data import (
    Plot,
    Series,
    are_few,
    grouped,
    in_words,
    numbers_of,
    plot_of,
    series_of,
)
from reports.page.plots.drawing import DASHES, SHAPES, SOFT, place, plain_axes, series
from reports.records.comparable import is_floor
from reports.records.headline import of_like_n
from reports.records.record import Record
from reports.tables.layout import at_largest_steps
from reports.tables.merging import Merged
from reports.tables.numbers import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, LEFT = 3.3, 0.6  # inches; space for the labels of values
LABEL, LABEL_OF_SIZE = 0.07, 0.13  # share of the axis that the label of a tick takes
TABLE1, CALLS, COST = "table1_reconstruction", "table2_by_calls", "section5.5_cost"
STEPS, NETWORK_CALLS = attrgetter("steps"), attrgetter("calls")
_SERIES = attrgetter("system", "setting", "solver")


def _system(record: Record) -> tuple[str, ...]:
    return (record.system,)


def by_steps(found: Merged) -> Iterator[Plot]:
    """Table 2: SSIM and LPIPS (or its stand-in) against T."""
    key = attrgetter("system", "setting")
    for metric in ("ssim", "lpips"):
        yield from _against(found, "table2_ablation", metric, "T (steps)", STEPS, key)


def by_calls(found: Merged) -> Iterator[Plot]:
    """The same against network calls, including solvers other than the paper's."""
    for metric in ("ssim", "lpips"):
        yield from _against(found, CALLS, metric, "network calls per image", NETWORK_CALLS)


def samples_by_steps(found: Merged) -> Iterator[Plot]:
    """Table 4: its headline against T and against network calls, if there are several T."""
    table = "table4_unconditional_fid"
    metric = headline_metric(found, table, numbers_of(found, table))
    for label, x in (("T (steps)", STEPS), ("network calls per image", NETWORK_CALLS)):
        yield from _against(found, table, metric, label, x)


def by_size(found: Merged) -> Iterator[Plot]:
    """Table 1: quality against the number of values in the code."""
    records = at_largest_steps(numbers_of(found, TABLE1))
    sizes = {_row(r): r.value for r in records if r.metric == "latent_dim"}

    def size(record: Record) -> float | None:
        return sizes.get(_row(record)) or None

    for metric in ("ssim", "lpips"):
        yield from _against(found, TABLE1, metric, "numbers in the code", size, marks=records)


def by_cost(found: Merged) -> Iterator[Plot]:
    """Quality against operations of encoding and decoding, if the run counted them."""
    counted = (r for r in numbers_of(found, COST) if r.metric == "gflops")
    gflops = {(r.system, r.setting): r.value or 0.0 for r in counted}
    records = numbers_of(found, TABLE1) + numbers_of(found, CALLS)
    operations = partial(_operations, gflops=gflops)
    yield from _against(found, COST, "ssim", "GFLOP per image", operations, marks=records)


def _row(record: Record) -> tuple[object, ...]:
    return record.system, record.setting, record.dataset, record.split


def _operations(record: Record, gflops: dict[tuple[str, str], float]) -> float | None:
    """Network calls times the operations of one (a single pass: one), plus the semantic encoder once."""
    decode = gflops.get((record.system, "decode"))
    if not decode:
        return None
    calls = 1 if record.calls is None else record.calls
    return (calls * decode + gflops.get((record.system, "encode, semantic"), 0.0)) or None


def over_t(found: Merged) -> Iterator[Plot]:
    """Figure 6: the error of the predicted image against the t of its noise."""
    at = partial(_in_setting, r"t = (\d{1,6})")
    yield from _against(found, "figure6_denoising", "mse", "t", at, _system, log=False)


def robustness(found: Merged) -> Iterator[Plot]:
    """How far images move with noise in their codes, and with numbers of a few bits."""
    noise, bits = (partial(_in_setting, p) for p in (r"noise (\d[\d.]{0,6})", r"(\d{1,3}) bits"))
    label = "noise in the code, in standard deviations"
    yield from _against(found, "latent_robustness", "lpips", label, noise, _system)
    label = "bits of each number of the code"
    yield from _against(found, "latent_robustness", "lpips", label, bits, _system, log=False)


def _in_setting(pattern: str, record: Record) -> float | None:
    """The number that a setting names."""
    match = re.fullmatch(pattern, record.setting)
    return float(match[1]) if match else None


def _against(
    found: Merged,
    table: str,
    wanted: str,
    xlabel: str,
    x: Callable[[Record], float | None],
    key: Callable[[Record], tuple[str, ...]] = _SERIES,
    log: bool = True,
    marks: Sequence[Record] = (),
) -> Iterator[Plot]:
    """A plot of one metric of `table`; none if no series has two points. Real images have no `x` and
    are a dashed level.

    With `marks`, which are single points: none if they are few, or if fewer than two positions on
    the axis are known.
    """
    records = marks or numbers_of(found, table)
    metric = first_metric(found, (r for r in records if x(r) is not None), wanted)
    ours = of_like_n([r for r in records if r.metric == metric], found.known)
    levels = {r.system: r.value or 0.0 for r in ours if is_floor(r) and x(r) is None}
    lines = series_of(found, grouped(ours, key, x))
    places = [{p.x for p in line.points} for line in lines]
    if marks and (are_few(lines) or len(set().union(*places)) < 2):
        return
    if not marks and all(len(one) < 2 for one in places):
        return
    ylabel = heading(metric, ours, found.known)
    title, text = f"{ylabel} against {xlabel}", f"{in_words(lines)}."
    for name, level in levels.items():
        title += f"; dashed: {name}"
        text += f" {name}: {level:.4g}."
    values = sorted(set().union(*places))
    ticks = spaced(values) if log else values
    if marks:
        ticks = _decades(values) or spaced(values, LABEL_OF_SIZE)

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        if log:
            axes.set_xscale("log")
        for level in levels.values():
            axes.axhline(level, color=SOFT, linewidth=1, linestyle=(0, (3, 2)))
        for line in lines:
            paint_series(axes, line)
        axes.set_xticks(ticks, minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xticklabels([f"{tick:,.10g}" for tick in axes.get_xticks()])
        plain_axes(axes, xlabel, ylabel)
        place(figure, LEFT)

    yield plot_of(found, table, HEIGHT, title, text, paint, lines, lines=True)


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
