"""Data of plots, as series that differ also without colour, and Matplotlib's SVG adapted to the page.

Colours are classes, so that they follow light, dark and print; text stays text; there are no inline
styles, which the page's policy forbids; and ids are unique on the page.

Drawing uses placeholder colours (`INK`, that of a series, ...), each of which becomes a class here. Text
is taken literally: a `$` starts no formula.
"""

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from diffae.system.files import hash_of
from reports.records.estimate import t_quantile
from reports.records.reading import for_xml, joined
from reports.records.record import Record
from reports.tables.build import Merged
from reports.tables.numbers import solver_name

SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")  # as in the template's key
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
COLOURS, MARKERS = 8, len(SHAPES)
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
    """A plot as shown on the page: its picture, the key of its series, its metric, and the table that
    has its numbers.
    """

    svg: Markup
    title: str
    text: str
    table: str
    table_title: str
    key: tuple[Series, ...]
    lines: bool = False
    metric: str = ""


def numbers_of(merged: Merged, table: str) -> list[Record]:
    """The records of `table` that can be drawn."""
    return [r for r in merged.records if r.table == table and is_drawable(r)]


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


def colour_of(merged: Merged, system: str) -> int:
    """The index of a system among all on the page: it has the same colour in every plot."""
    return merged.systems.index(system)


def series_of(
    merged: Merged, records: Sequence[Record], x: X, fields: Sequence[str] = ("system",)
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
        own = colour_of(merged, key[0])
        setting, solver = settings.index(key[1:2]), solvers.index(key[2:3])
        marker = (own + own // COLOURS + 3 * solver + 5 * setting) % MARKERS
        distinct = dict.fromkeys(points)  # a number may be in two tables
        ordered = tuple(sorted(distinct, key=lambda p: p.x))
        names = map(solver_name, key[2:] if len(solvers) > 1 else ())
        name = joined(*key[:2], *names)
        made.append(Series(name, ordered, own % COLOURS, marker, setting % len(DASHES)))
    return tuple(made)


def are_few(series: Iterable[Series]) -> bool:
    """Whether the points are so few that a table shows them better."""
    return sum(len(line.points) for line in series) < FEWEST


def in_words(series: Iterable[Series], where: Callable[[float], str]) -> str:
    """Each series from its lowest value to its highest: the text alternative of a plot."""
    texts = []
    for line in series:
        ends = dict.fromkeys(f(line.points, key=lambda p: p.y) for f in (min, max))
        texts.append(f"{line.name}: {' to '.join(f'{p.y:.4g} at {where(p.x)}' for p in ends)}")
    return f"{'; '.join(texts)}."


# ----------------------------------------------------------------------------------------------
# Matplotlib's SVG adapted to the page

INK, SOFT, RULE, PAPER = "#000001", "#000002", "#000003", "#000004"
CLASSES = {INK: "ink", SOFT: "soft", RULE: "rule", PAPER: "paper"}
FIRST = 0x10
CLASSES |= {f"#0000{FIRST + i:02x}": f"s{i}" for i in range(COLOURS)}
SVG, LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
WIDTH, RIGHT, BOTTOM = 5.0, 0.12, 0.52  # inches, 72 units each: of a figure, and of its margins
Paint = Callable[[Any], None]  # draws on axes
SETTINGS: dict[str, Any] = {  # beside Matplotlib's defaults
    "svg.fonttype": "none",
    "svg.hashsalt": "reports.page",
    "text.parse_math": False,
    "path.simplify": False,
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), SOFT),
    **dict.fromkeys(("axes.labelcolor", "axes.titlecolor", "text.color"), INK),
    **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor"), "none"),
}


def draw(
    height: float, title: str, text: str, paint: Paint, left: float, top: float = 0.3
) -> Markup:
    """What `paint` draws on axes, as SVG with a title and a text alternative.

    The figure is `height` inches high, with margins in inches: Matplotlib's own layouts draw
    everything twice, with the widths of another font than the page's.
    """
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, height))
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        sides = {"left": left / WIDTH, "right": 1 - RIGHT / WIDTH}
        figure.subplots_adjust(**sides, bottom=BOTTOM / height, top=1 - top / height)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _for_page(*map(for_xml, (buffer.getvalue(), title, text)))


def plain_axes(axes: Any, xlabel: str, ylabel: str) -> None:
    """Label the axes; the label of y is above the axis, where it reads from left to right."""
    axes.set_xlabel(xlabel)
    axes.set_title(ylabel, loc="left")
    axes.tick_params(length=3)


def rule(level: Callable[..., Any], at: float, colour: str = SOFT) -> None:
    """A dashed line at a level, by `axes.axhline` or `axes.axvline`."""
    level(at, color=colour, linewidth=1, linestyle=(0, (3, 2)))


def paint_series(axes: Any, line: Series, offset: float | None = None) -> None:
    """Draw points with their 95 % intervals, joined by a line.

    With an `offset` they are dots with their values along the horizontal axis, in rows moved by it.
    """
    colour = f"#0000{FIRST + line.colour:02x}"
    bars: dict[str, Any] = {"fmt": "none", "color": colour, "elinewidth": 1}
    marks: dict[str, Any] = {"color": colour, "marker": SHAPES[line.marker]}
    marks |= {"markersize": 5, "markeredgewidth": 0}
    xs, ys = [p.x for p in line.points], [p.y for p in line.points]
    sides = [p.y - p.low for p in line.points], [p.high - p.y for p in line.points]
    if offset is None:
        axes.errorbar(xs, ys, sides, capsize=2, **bars)
        axes.plot(xs, ys, linestyle=DASHES[line.dash], linewidth=1.5, **marks)
    else:
        rows = [x + offset for x in xs]
        axes.errorbar(ys, rows, xerr=sides, **bars)
        axes.plot(ys, rows, linestyle="none", **marks)


def paint_rows(axes: Any, series: Sequence[Series], names: Sequence[str], spread: float) -> None:
    """Draw series as dots in a row for each of `names`, from top to bottom; those of one row are
    `spread` over a part of it.
    """
    for i, line in enumerate(series):
        paint_series(axes, line, spread * (i / max(len(series) - 1, 1) - 0.5))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


# ----------------------------------------------------------------------------------------------
# From Matplotlib's SVG to the page's


def _for_page(text: str, title: str, described: str) -> Markup:
    root = ElementTree.fromstring(text)
    prefix = f"g{hash_of([title, described, text])[:8]}-"  # the same in every process
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style", f"{{{SVG}}}title"):
                parent.remove(child)
    used = set(re.findall(r"#([\w.-]+)", text))
    for element in root.iter():
        _without_style(element)
        _with_own_ids(element, prefix, used)
    for place, (name, said) in enumerate((("title", title), ("desc", described))):
        element = ElementTree.Element(f"{{{SVG}}}{name}", {"id": f"{prefix}{name}"})
        element.text = said
        root.insert(place, element)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    labels = {"aria-labelledby": f"{prefix}title", "aria-describedby": f"{prefix}desc"}
    root.attrib |= {"role": "img", **labels}
    ElementTree.register_namespace("", SVG)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _without_style(element: ElementTree.Element) -> None:
    """Replace declarations by attributes and placeholder colours by classes; the font is the page's."""
    style = re.findall(r"([^:;]+):([^;]*)", element.attrib.pop("style", ""))
    declared = {name.strip(): value.strip() for name, value in style}
    classes = []
    for name in ("fill", "stroke"):
        value = declared.get(name) or element.get(name, "")
        if value in CLASSES:
            classes.append(f"{name}-{CLASSES[value]}")
            declared.pop(name, None)
            element.attrib.pop(name, None)
    if classes:
        element.set("class", " ".join(classes))
    if size := re.search(r"[\d.]+px", declared.pop("font", "")):
        declared["font-size"] = size[0]
    declared.pop("font-family", None)
    element.attrib |= declared


def _with_own_ids(element: ElementTree.Element, prefix: str, used: set[str]) -> None:
    """Keep only the ids that are referred to, each with the plot's prefix."""
    if (own := element.attrib.pop("id", None)) in used:
        element.set("id", f"{prefix}{own}")
    if link := element.attrib.pop(LINK, ""):
        element.set("href", f"#{prefix}{link[1:]}")
    for name, value in list(element.attrib.items()):
        if value.startswith("url(#"):
            element.set(name, f"url(#{prefix}{value[5:]}")
