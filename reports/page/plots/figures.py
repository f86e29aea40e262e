"""The plots of a table: what its `TableSpec.plots` names, or its headline.

A metric is drawn against a number (`against`): T, network calls, the number in settings such as
"noise 0.3", or another metric of the same row, such as the size of a
code; all tables of a benchmark that ask for the same two share a plot. Where there is no number, each setting or system has a row of dots (`in_rows`). A plot is left
out if there is nothing to draw.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from reports.page.plots import drawing
from reports.page.plots.drawing import Plot, X
from reports.records.metric import Metric
from reports.records.published import is_floor
from reports.records.record import NEITHER, Record
from reports.records.specs import TableSpec
from reports.tables.build import Merged
from reports.tables.contests import first_metric
from reports.tables.numbers import heading, metric_label
from reports.tables.ranking import at_largest_steps, choose, of_like_n

LABELS = {"steps": "T (steps)", "calls": "network calls per image"}
MOST_FAMILIES = 8  # of settings, each with a plot
NUMBER = re.compile(r"(?<![\w.])-?\d{1,6}(?:\.\d{1,6})?(?![\w.])")
HEIGHT, LEFT = 3.3, 0.6  # inches; space for the labels of values
LABEL, SIZE = 0.07, 0.13  # share of the axis that the label of a tick takes, and of a large number
WIDE = 10  # ratio of the largest number to the smallest from which an axis is logarithmic
ROW, FRAME, CHARACTER = 0.2, 0.7, 0.082  # inches
LONGEST_NAME = 32
FEWEST_PLACES = 3  # along the horizontal axis of a plane
MOST_UNORDERED, MOST_ROWS = 10, 80


def plots_of(benchmark: str, merged: Merged) -> list[Plot]:
    """The plots of one benchmark, in the order of its tables."""
    plots: list[Plot] = []
    for spec in merged.specs:
        records = drawing.numbers_of(merged, spec.source)
        if records and records[0].benchmark == benchmark:
            plots += _of_table(spec, choose(spec, records), merged)
    return plots


def _of_table(spec: TableSpec, records: list[Record], merged: Merged) -> list[Plot]:
    if spec.plots is not None:
        return [p for pair in spec.plots for p in _plots(spec, records, merged, *pair)]
    metrics = merged.metrics
    names = spec.headline or spec.metrics
    ranked = (m for m in names if m not in metrics or metrics[m].direction != NEITHER)
    metric = next(ranked, "")
    numbers = [axis for axis in ("steps", "calls") if axis in (*spec.rows, *spec.columns)]
    columns = [axis for axis in numbers if axis in spec.columns]
    for axes in (columns, ["setting"], numbers, ["system"]):
        if plots := [p for axis in axes for p in _plots(spec, records, merged, metric, axis)]:
            return plots
    return []


def _plots(
    spec: TableSpec, records: Sequence[Record], merged: Merged, wanted: str, axis: str
) -> Iterator[Plot]:
    """The plots of one metric of a table, or of its first stand-in that was measured."""
    metric = first_metric(records, [wanted], merged.metrics)
    ours = of_like_n([r for r in records if r.metric == metric], merged.metrics)
    if axis == "setting" and (families := _families(ours)):
        for name, x in list(families.items())[:MOST_FAMILIES]:
            header = "" if spec.setting_header == "setting" else f"{spec.setting_header}: "
            yield from against(merged, spec, ours, header + name, _of_setting(x))
    elif axis in ("setting", "system"):
        if axis == "system" or len({r.setting for r in ours}) > 1:
            yield from in_rows(merged, spec, at_largest_steps(ours), axis)
    elif axis in ("steps", "calls"):
        yield from against(merged, spec, ours, LABELS[axis], attrgetter(axis), log=True)
    else:
        asking = [s for s in merged.specs if (wanted, axis) in (s.plots or ())]
        numbers = {s: choose(s, drawing.numbers_of(merged, s.source)) for s in asking}
        shared = [
            s for s in asking if numbers[s] and numbers[s][0].benchmark == records[0].benchmark
        ]
        if spec == shared[0]:
            yield from _plane(spec, [r for s in shared for r in numbers[s]], merged, metric, axis)


def _plane(
    spec: TableSpec, records: Sequence[Record], merged: Merged, metric: str, axis: str
) -> Iterator[Plot]:
    """A metric against another of the same row, logarithmic if that is never negative, as sizes are not.
    Settings that differ in a number are a curve. Where the other metric has fewer than FEWEST_PLACES
    values, the systems have a row each instead.
    """
    ours = of_like_n([r for r in records if r.metric == metric], merged.metrics)
    label, x = metric_label(axis, merged.metrics), _beside(records, axis)
    log = axis not in merged.metrics or merged.metrics[axis].least is not None
    families = {"" if name == "…" else name: numbers for name, numbers in _families(ours).items()}
    curves = {s: name for name, numbers in families.items() for s in numbers}
    points = {replace(r, setting=curves.get(r.setting, r.setting)): x(r) for r in ours}
    if 0 < len({*points.values()} - {None}) < FEWEST_PLACES:  # systems of one size
        yield from in_rows(merged, spec, ours, "system")
        return
    yield from against(merged, spec, [*points], label, points.get, log=log, room=SIZE)


def _families(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """Settings that differ in one number, by their text with `…` in its place."""
    families: dict[str, dict[str, float]] = {}
    for setting in dict.fromkeys(r.setting for r in records):
        numbers = NUMBER.findall(setting)
        if len(numbers) == 1:
            families.setdefault(NUMBER.sub("…", setting), {})[setting] = float(numbers[0])
    return {name: numbers for name, numbers in families.items() if len(numbers) > 1}


def _of_setting(numbers: dict[str, float]) -> X:
    return lambda record: numbers.get(record.setting)


def _beside(records: Sequence[Record], metric: str) -> X:
    """The number of another metric in the row of a record."""
    row = attrgetter("system", "setting", "dataset", "split")
    values = {row(r): r.value for r in records if r.metric == metric}
    return lambda record: values.get(row(record)) or None


# ----------------------------------------------------------------------------------------------
# Drawing


def against(
    merged: Merged,
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
    is_plane = room == SIZE and not log
    fields = ("system", "setting", "solver") if log or is_plane else ("system",)
    lines = drawing.series_of(merged, records, x, fields)
    places = [{p.x for p in line.points} for line in lines]
    values = sorted(set().union(*places))
    if len(values) < 2 or (drawing.are_few(lines) and all(len(place) < 2 for place in places)):
        return
    floors = [r for r in records if is_floor(r) and x(r) is None]
    levels = {r.setting or r.system: r.value or 0.0 for r in floors}
    ylabel = heading(records[0].metric, records, merged.metrics)
    dashed = "".join(f"; dashed: {name}" for name in levels)
    texts = [drawing.in_words(lines, "{:g}".format)]
    texts += [f"{name}: {level:.4g}." for name, level in levels.items()]
    log = log or (not is_plane and values[0] > 0 and values[-1] / values[0] >= WIDE)
    decades = _decades(values) if log and room == SIZE else []
    ticks = decades or (spaced(values, room) if log else values)

    def paint(axes: Any) -> None:
        if log:
            axes.set_xscale("log")
        for level in levels.values():
            drawing.rule(axes.axhline, level)
        for line in lines:
            drawing.paint_series(axes, line)
        if not is_plane:
            axes.set_xticks(ticks, [f"{tick:,.10g}" for tick in ticks], minor=False)
            axes.set_xticks([], minor=True)
        drawing.plain_axes(axes, xlabel, ylabel)

    title, text = f"{ylabel} against {xlabel}{dashed}", " ".join(texts)
    svg = drawing.draw(HEIGHT, title, text, paint, LEFT)
    yield Plot(svg, title, text, spec.name, spec.title, lines, True, metric=records[0].metric)


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


def in_rows(merged: Merged, spec: TableSpec, records: list[Record], field: str) -> Iterator[Plot]:
    """A plot of `records` of one metric with a row for each value of `field`, and a rule at the neutral
    value of the metric; none for few points, unless there is a rule.
    """
    if not records:
        return
    metric = merged.metrics.get(records[0].metric)
    mark = metric.neutral if metric else None
    names = _names(records, field)
    rows = {name: float(i) for i, name in enumerate(names)}
    lines = drawing.series_of(merged, records, lambda r: rows.get(getattr(r, field)))
    if mark is None and drawing.are_few(lines):
        return
    label = heading(records[0].metric, records, merged.metrics)
    by = f" by {spec.setting_header}" if field == spec.rows[0] == "setting" else ""
    dashed = f"; dashed: {mark:g}" if mark is not None else ""
    short = [n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 1]}…" for n in names]

    def paint(axes: Any) -> None:
        if mark is not None:
            drawing.rule(axes.axvline, mark)
        drawing.plain_axes(axes, label, "")
        spread = 0 if field == "system" else min(0.5, 0.16 * (len(lines) - 1))
        drawing.paint_rows(axes, lines, short, spread)
        if metric:
            axes.set_xlim(*_within(axes.get_xlim(), metric))

    title = f"{label}{by}, with 95 % intervals{dashed}"
    text = drawing.in_words(lines, lambda x: names[int(x)])
    height = FRAME + ROW * len(names) * (1 if len(names) > 6 else 1.6)
    svg = drawing.draw(height, title, text, paint, 0.15 + CHARACTER * max(map(len, short)), top=0.1)
    yield Plot(svg, title, text, spec.name, spec.title, lines, metric=records[0].metric)


def _within(limits: tuple[float, float], metric: Metric) -> tuple[float, float]:
    """The limits of an axis, not far beyond what a number of `metric` can be."""
    low, high = limits
    if metric.least is not None and metric.most is not None:
        margin = 0.03 * (metric.most - metric.least)
        low, high = max(low, metric.least - margin), min(high, metric.most + margin)
    return low, high


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
