"""Data of plots: series of points with their intervals, distinguishable without colour."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.records.reading import joined
from reports.records.record import Record
from reports.records.uncertainty import t_quantile
from reports.tables.build import Merged
from reports.tables.numbers import solver_name

COLOURS = MARKERS = 8
DASHES = 4
LARGEST = 1e30  # number that is drawn
X = Callable[[Record], float | None]  # what a number is drawn against; None: it is left out
FEWEST = 5  # points of a plot: fewer are better in a table
Z = t_quantile(0.975, math.inf)


@dataclass(frozen=True)
class Point:
    """A measured number at `x`: its value and its 95 % interval (the value alone if unknown)."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """Points that belong together: `name` in the key, and the indices of its colour, marker and dashes."""

    name: str
    points: tuple[Point, ...]
    colour: int
    marker: int
    dash: int = 0


@dataclass(frozen=True)
class Plot:
    """A plot as shown on the page: its picture, the key of its series, and the table that has its
    numbers.
    """

    svg: Markup
    title: str
    text: str
    table: str
    table_title: str
    key: tuple[Series, ...]
    lines: bool = False


def numbers_of(found: Merged, table: str) -> list[Record]:
    """The records of `table` that can be drawn."""
    return [r for r in found.records if r.table == table and is_drawable(r)]


def is_drawable(record: Record) -> bool:
    return record.value is not None and abs(record.value) < LARGEST


def point(x: float, record: Record) -> Point:
    value = record.value if record.value is not None else math.nan
    low, high = record.ci_low, record.ci_high
    if low is None or high is None:
        half = Z * record.stderr if record.stderr is not None else 0.0
        low, high = value - half, value + half
    if not (abs(low) < LARGEST and abs(high) < LARGEST):
        low = high = value
    return Point(x, value, min(low, value), max(high, value))


def colour_of(found: Merged, system: str) -> int:
    """The index of a system among all on the page: it has the same colour in every plot."""
    return found.systems.index(system)


def series_of(
    found: Merged, records: Sequence[Record], x: X, fields: Sequence[str] = ("system",)
) -> tuple[Series, ...]:
    """A series for each system, setting and solver, or the first of these `fields`; a record without an
    `x` is left out.

    A system has its colour, a setting its dashes, and all three together a marker.
    """
    groups: dict[tuple[str, ...], list[Point]] = {}
    for record in records:
        if (at := x(record)) is not None:
            key = tuple(getattr(record, field) for field in fields)
            groups.setdefault(key, []).append(point(at, record))
    settings, solvers = (list(dict.fromkeys(key[i : i + 1] for key in groups)) for i in (1, 2))
    made = []
    for key, points in groups.items():
        own = colour_of(found, key[0])
        setting, solver = settings.index(key[1:2]), solvers.index(key[2:3])
        marker = (own + own // COLOURS + 3 * solver + 5 * setting) % MARKERS
        distinct = dict.fromkeys(points)  # a number may be in two tables
        ordered = tuple(sorted(distinct, key=lambda p: p.x))
        told = map(solver_name, key[2:] if len(solvers) > 1 else ())
        name = joined(*key[:2], *told)
        made.append(Series(name, ordered, own % COLOURS, marker, setting % DASHES))
    return tuple(made)


def are_few(series: Iterable[Series]) -> bool:
    """Whether the points are so few that a table shows them better."""
    return sum(len(one.points) for one in series) < FEWEST


def in_words(series: Iterable[Series], where: Callable[[float], str]) -> str:
    """Each series from its lowest value to its highest: the text alternative of a plot."""
    texts = []
    for one in series:
        ends = dict.fromkeys(f(one.points, key=lambda p: p.y) for f in (min, max))
        texts.append(f"{one.name}: {' to '.join(f'{p.y:.4g} at {where(p.x)}' for p in ends)}")
    return f"{'; '.join(texts)}."
