"""The page of a history: a plot of each headline by commit, and the numbers behind it.

The horizontal axis is an `Axis`: `reports.trend.training` has another, of images seen.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reports.page.html import filled
from reports.page.plots.data import (
    COLOURS,
    DASHES,
    MARKERS,
    Plot,
    Point,
    Series,
    is_drawable,
    point,
)
from reports.page.plots.drawing import draw, place, plain_axes
from reports.page.plots.lines import paint_series
from reports.records.metrics import comparable_n
from reports.records.record import HIGHER, LOWER
from reports.trend.entries import Entry, Number
from reports.trend.exports import value_of

if TYPE_CHECKING:
    from matplotlib import figure as matplotlib
    from matplotlib.axes import Axes

HEIGHT, LEFT = 2.8, 0.7  # inches
TICKS = 7  # commits that have a label
SHOWN = 200  # runs, the newest
ROWS = 30  # of a table
BETTER = {HIGHER: " ↑", LOWER: " ↓"}


Runs = Sequence[tuple[int, Entry]]  # in order, each with its place on the axis


@dataclass(frozen=True)
class Axis:
    """The axis of runs: its `label`, the headings and contents of the first two `columns` of
    tables, and its ticks.
    """

    label: str
    columns: tuple[str, str]
    cells: Callable[[int, Entry], tuple[str, str]]
    tick: "Callable[[Axes, Runs], None]"


@dataclass(frozen=True)
class Words:
    """The texts of a page; `caption` is above the plots."""

    kind: str
    title: str
    caption: str


@dataclass(frozen=True)
class Row:
    """A run in a table: its two identifying cells, and the values of each series (empty if not
    measured).
    """

    cells: tuple[str, str]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """One metric of a benchmark: its plot, and the newest runs with their values."""

    id: str
    benchmark: str
    title: str
    plot: Plot
    headers: tuple[str, ...]
    rows: tuple[Row, ...]


def render(entries: Sequence[Entry]) -> str:
    """The page of `entries`, in their order; of many, only the last."""
    entries = entries[-SHOWN:]
    words = WORDS if len(entries) > 1 else replace(WORDS, caption=f"{ONE} {WORDS.caption}")
    return render_page(words, facts(entries), sections(list(enumerate(entries)), COMMITS), COMMITS)


def render_page(
    words: Words,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[tuple[str, Sequence[Figure]]],
    axis: Axis,
) -> str:
    """A self-contained page of plots, as text."""
    content = {"words": words, "facts": facts, "sections": sections, "columns": axis.columns}
    return filled("trend.html.j2", "", **content)


def facts(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """The facts that the runs share, for the head of the page."""
    first, last = entries[0], entries[-1]
    span = " to ".join(dict.fromkeys(f"{one.when:%Y-%m-%d}" for one in (first, last)))
    return [
        ("Runs", f"{len(entries)}"),
        ("From", span),
        ("Data", each(e.dataset for e in entries)),
        ("Profile", each(e.profile for e in entries)),
        ("Newest", f"{commit_of(last)}, version {last.version or 'not said'}"),
    ]


def each(values: Iterable[str]) -> str:
    """Several values without duplicates."""
    return ", ".join(dict.fromkeys(filter(None, values))) or "not said"


def commit_of(entry: Entry) -> str:
    return (entry.commit[:9] or "no commit") + ("+" if entry.dirty else "")


# ----------------------------------------------------------------------------------------------
# Figures

Numbers = dict[int, Number]  # of one series, by the place of their run


def sections(runs: Runs, axis: Axis, of: str = "") -> list[tuple[str, list[Figure]]]:
    """Each benchmark with its figures; `of` is a prefix of their names, and of their ids."""
    found: dict[str, list[Figure]] = {}
    for figure in figures(runs, axis, of):
        found.setdefault(figure.benchmark, []).append(figure)
    return [(f"{of}: {name}" if of else name, made) for name, made in found.items()]


def figures(runs: Runs, axis: Axis, of: str = "") -> Iterator[Figure]:
    """The figures of a benchmark: one for each metric and setting, with a line for each system and T."""
    found: dict[tuple[str, str, str], dict[tuple[object, ...], Numbers]] = {}
    for x, entry in runs:
        for n in entry.numbers:
            if is_drawable(n):
                group = found.setdefault((n.benchmark, n.metric, n.setting), {})
                group.setdefault(n.series, {})[x] = n
    for i, group in enumerate(found.values()):
        yield _figure(f"f{of}{i}", list(group.values()), runs, axis)


def _figure(name: str, group: Sequence[Numbers], runs: Runs, axis: Axis) -> Figure:
    newest = group[0][max(group[0])]
    lines = [line for i, numbers in enumerate(group) for line in lines_of(i, numbers)]
    title, text = _title(newest), "; ".join(map(_in_words, group)) + "."
    svg = draw(HEIGHT, title, text, lambda figure: _paint(figure, lines, runs, axis))
    keyed = tuple({line.name: line for line in lines}.values())
    plot = Plot(svg, title, text, "", "", keyed, lines=True)
    measured = sorted({x for numbers in group for x in numbers}, reverse=True)[:ROWS]
    entries = dict(runs)
    rows = tuple(
        Row(
            axis.cells(x, entries[x]),
            tuple(value_of(numbers[x]) if x in numbers else "" for numbers in group),
        )
        for x in measured
    )
    return Figure(name, newest.benchmark, title, plot, tuple(line.name for line in keyed), rows)


def _title(n: Number) -> str:
    unit = f" ({n.unit})" if n.unit else ""
    return f"{n.label}{unit}{BETTER.get(n.direction, '')}{n.setting and ', '}{n.setting}"


def lines_of(own: int, numbers: Numbers) -> Iterator[Series]:
    """One system's numbers as lines.

    A line breaks where the protocol changed, or the n if the metric depends on it.
    """
    newest = numbers[max(numbers)]
    at = f"T = {newest.steps}" if newest.steps is not None else ""
    name = ", ".join(part for part in (newest.system, at) if part)
    points: list[Point] = []
    before = None
    for x, number in sorted(numbers.items()):
        alike = (number.protocol, comparable_n(number))
        if before not in (None, alike):
            yield _one(name, points, own)
            points = []
        points.append(point(x, number))
        before = alike
    yield _one(name, points, own)


def _one(name: str, points: Sequence[Point], own: int) -> Series:
    turn = own // COLOURS
    return Series(name, tuple(points), own % COLOURS, (own + turn) % MARKERS, turn % DASHES)


def _in_words(numbers: Numbers) -> str:
    first, last = numbers[min(numbers)], numbers[max(numbers)]
    went = (
        f"{value_of(first)} at first, {value_of(last)} at last"
        if len(numbers) > 1
        else value_of(last)
    )
    return f"{last.system}: {went}"


def _paint(figure: "matplotlib.Figure", lines: Sequence[Series], runs: Runs, axis: Axis) -> None:
    axes = figure.add_subplot()
    for line in lines:
        paint_series(axes, line)
    axis.tick(axes, runs)
    plain_axes(axes, axis.label, "")
    place(figure, LEFT)


# ----------------------------------------------------------------------------------------------
# By commit


def _cells(x: int, entry: Entry) -> tuple[str, str]:
    return f"{entry.when:%Y-%m-%d %H:%M}", commit_of(entry)


def _tick(axes: "Axes", runs: Runs) -> None:
    every = max(1, math.ceil(len(runs) / TICKS))
    shown = runs[::-1][::every][::-1]
    axes.set_xticks([x for x, _ in shown], [commit_of(entry)[:7] for _, entry in shown])
    axes.set_xlim(-0.5, len(runs) - 0.5)


COMMITS = Axis("commit", ("date", "commit"), _cells, _tick)
ONE = "One run so far: these are its headlines, and with the next commit's run they begin to be a trend."
WORDS = Words(
    "trend",
    "Headlines by commit",
    "Bars are the 95 % interval of each number alone. Runs of one seed have their images in common, so a change that is "
    "smaller than the bars can be real: the gate compares them in pairs. A line is broken where numbers were measured by "
    "another protocol, or are of another n on which they depend.",
)
