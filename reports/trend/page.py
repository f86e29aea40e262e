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
from reports.tables.numbers import ARROWS
from reports.trend.entries import Entry, Number
from reports.trend.exports import value_of

if TYPE_CHECKING:
    from matplotlib import figure as matplotlib
    from matplotlib.axes import Axes

HEIGHT, LEFT = 2.8, 0.7  # inches
TICKS = 7  # commits that have a label
SHOWN = 200  # runs, the newest
ROWS = 30  # of a table

Runs = Sequence[tuple[int, Entry]]  # in order, each with its place on the axis


@dataclass(frozen=True)
class Axis:
    """A kind of page, and the axis of its runs.

    `caption` is above the plots. The axis has its `label`, the headings and contents of the first
    two `columns` of tables, and its ticks.
    """

    kind: str
    caption: str
    label: str
    columns: tuple[str, str]
    cells: Callable[[int, Entry], tuple[str, str]]
    tick: "Callable[[Axes, Runs], None]"


@dataclass(frozen=True)
class Figure:
    """One metric of a benchmark: its plot, and the newest runs, each with its identifying cells and
    the value of each series (empty if not measured).
    """

    id: str
    benchmark: str
    plot: Plot
    rows: list[tuple[tuple[str, str], list[str]]]


def render(entries: Sequence[Entry]) -> str:
    """The page of `entries`, in their order; of many, only the last."""
    entries = entries[-SHOWN:]
    axis = COMMITS if len(entries) > 1 else replace(COMMITS, caption=f"{ONE} {COMMITS.caption}")
    found = sections(list(enumerate(entries)), axis)
    return render_page("Headlines by commit", facts(entries), found, axis)


def render_page(
    title: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[tuple[str, Sequence[Figure]]],
    axis: Axis,
) -> str:
    """A self-contained page of plots, as text."""
    return filled("trend.html.j2", "", title=title, facts=facts, sections=sections, axis=axis)


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
                group.setdefault((n.system, n.steps, n.solver), {})[x] = n
    for i, group in enumerate(found.values()):
        yield _figure(f"f{of}{i}", list(group.values()), runs, axis)


def _figure(name: str, group: Sequence[Numbers], runs: Runs, axis: Axis) -> Figure:
    newest = group[0][max(group[0])]
    lines = [line for i, numbers in enumerate(group) for line in lines_of(i, numbers)]

    def paint(figure: "matplotlib.Figure") -> None:
        axes = figure.add_subplot()
        for line in lines:
            paint_series(axes, line)
        axis.tick(axes, runs)
        plain_axes(axes, axis.label, "")
        place(figure, LEFT)

    title, text = _title(newest), "; ".join(map(_in_words, group)) + "."
    keyed = tuple({line.name: line for line in lines}.values())
    plot = Plot(draw(HEIGHT, title, text, paint), title, text, "", "", keyed, lines=True)
    measured = sorted({x for numbers in group for x in numbers}, reverse=True)[:ROWS]
    entries, rows = dict(runs), []
    for x in measured:
        values = [value_of(numbers[x]) if x in numbers else "" for numbers in group]
        rows.append((axis.cells(x, entries[x]), values))
    return Figure(name, newest.benchmark, plot, rows)


def _title(n: Number) -> str:
    unit = f" ({n.unit})" if n.unit else ""
    return f"{n.label}{unit}{ARROWS.get(n.direction, '')}{n.setting and ', '}{n.setting}"


def lines_of(own: int, numbers: Numbers) -> list[Series]:
    """One system's numbers as lines.

    A line breaks where the protocol changed, or the n if the metric depends on it.
    """
    newest = numbers[max(numbers)]
    at = f"T = {newest.steps}" if newest.steps is not None else ""
    name = ", ".join(filter(None, (newest.system, at)))
    parts: list[list[Point]] = []
    before = None
    for x, number in sorted(numbers.items()):
        alike = (number.protocol, comparable_n(number))
        if alike != before:
            parts.append([])
        parts[-1].append(point(x, number))
        before = alike
    turn = own // COLOURS
    look = own % COLOURS, (own + turn) % MARKERS, turn % DASHES
    return [Series(name, tuple(points), *look) for points in parts]


def _in_words(numbers: Numbers) -> str:
    first, last = numbers[min(numbers)], numbers[max(numbers)]
    if len(numbers) == 1:
        return f"{last.system}: {value_of(last)}"
    return f"{last.system}: {value_of(first)} at first, {value_of(last)} at last"


# ----------------------------------------------------------------------------------------------
# By commit


def _cells(x: int, entry: Entry) -> tuple[str, str]:
    return f"{entry.when:%Y-%m-%d %H:%M}", commit_of(entry)


def _tick(axes: "Axes", runs: Runs) -> None:
    every = max(1, math.ceil(len(runs) / TICKS))
    shown = runs[::-1][::every][::-1]
    axes.set_xticks([x for x, _ in shown], [commit_of(entry)[:7] for _, entry in shown])
    axes.set_xlim(-0.5, len(runs) - 0.5)


ONE = "One run so far: these are its headlines, and with the next commit's run they begin to be a trend."
COMMITS = Axis(
    "trend",
    "Bars are the 95 % interval of each number alone. Runs of one seed have their images in common, so a change that is "
    "smaller than the bars can be real: the gate compares them in pairs. A line is broken where numbers were measured by "
    "a different protocol, or depend on n and have a different n.",
    "commit",
    ("date", "commit"),
    _cells,
    _tick,
)
