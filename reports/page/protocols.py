"""Metrics of the same images by the protocols of several evaluation codes, and why they differ:
as text, as CSV, as a page and as a picture.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from textwrap import fill
from typing import Any

import numpy as np
from markupsafe import Markup
from tabulate import tabulate

from reports.page.html import filled
from reports.page.plots.drawing import INK, SOFT, draw, plain_axes, rule
from reports.records.metrics import METRICS
from reports.records.reading import joined
from reports.tables.numbers import error_pair, labelled, metric_label

ROW, FRAME, CHARACTER = 0.17, 0.75, 0.082  # inches
PROTOCOLS, CAUSES = 34, 60  # columns of a terminal
HEADERS = ("protocol", "value", "difference", "cause")
COLUMNS = "metric protocol value stderr n difference causes not_computed left_out".split()
Z_95 = 1.96


@dataclass(frozen=True)
class Line:
    """A number that one or several protocols agree on as it is printed; `difference` is that from the
    first line's protocol, and `causes` are its parts, each a text and a number (None: not known). Both
    leave out `left_out` pairs, whose images are equal. `each` has a line for each protocol alone.
    """

    protocols: tuple[str, ...]
    value: float
    stderr: float | None
    difference: float | None
    causes: tuple[tuple[str, float | None], ...]
    left_out: int = 0
    each: tuple["Line", ...] = ()


@dataclass(frozen=True)
class Section:
    """A metric on n pairs, or other units: its lines, the first that with which the others are compared;
    and the protocols for which it could not be computed, each group with the reason.
    """

    metric: str
    n: int
    lines: tuple[Line, ...]
    missing: tuple[tuple[tuple[str, ...], str], ...] = ()
    units: str = "pairs"

    @property
    def label(self) -> str:
        row = METRICS[self.metric]
        return labelled(metric_label(self.metric), row.unit, row.direction)

    def value(self, line: Line) -> str:
        return joined(*error_pair(line.value, line.stderr, self.metric), by=" ± ")

    def signed(self, difference: float | None) -> str:
        """A difference with three significant digits; empty if it is unknown or none."""
        if not difference:
            return ""
        text = np.format_float_positional(difference, 3, fractional=False, sign=True, trim="k")
        return text.removesuffix(".")  # of 123 or more

    def causes(self, line: Line) -> str:
        """`range 2 instead of range 1: +0.11; ...`, the largest first."""
        if len(line.causes) == 1:
            return line.causes[0][0]
        parts = ((text, "not known" if x is None else self.signed(x)) for text, x in line.causes)
        return "; ".join(joined(*part, by=": ") for part in parts)

    @property
    def left_out(self) -> str:
        """What differences and causes leave out, and in which lines; empty if nothing."""
        lines = [line for line in self.lines if line.left_out]
        if not lines:
            return ""
        names = ", ".join(name for line in lines for name in line.protocols)
        lines_meant = "" if len(lines) == len(self.lines) else f" of {names}"
        pairs = f"{lines[0].left_out:,} of {self.n:,} {self.units}"
        return f"left out of differences and causes{lines_meant}: {pairs}, of equal images (infinite {metric_label(self.metric)})"

    def rows(self) -> list[list[str]]:
        """The cells of each line, under HEADERS."""
        return [
            [", ".join(x.protocols), self.value(x), self.signed(x.difference), self.causes(x)]
            for x in self.lines
        ]


def text(sections: Sequence[Section]) -> str:
    """The tables for a terminal."""
    parts = []
    for section in sections:
        rows = [
            [fill(names, PROTOCOLS, break_on_hyphens=False), *numbers, fill(causes, CAUSES)]
            for names, *numbers, causes in section.rows()
        ]
        table = _grid(rows, "simple")
        missing = [f"not computed: {', '.join(names)}: {why}" for names, why in section.missing]
        head = f"{section.label}, {section.n:,} {section.units}"
        parts.append(joined(head, table, section.left_out, *missing, by="\n"))
    return "\n\n".join(parts)


def markdown(sections: Sequence[Section]) -> str:
    """The same in Markdown."""
    parts = []
    for section in sections:
        parts += [
            f"### {section.label}, {section.n:,} {section.units}",
            _grid(section.rows(), "pipe"),
        ]
        parts.append(section.left_out and f"{section.left_out}.")
        parts += [f"Not computed: {', '.join(names)}: {why}." for names, why in section.missing]
    return joined(*parts, by="\n\n") + "\n"


def _grid(rows: list[list[str]], tablefmt: str) -> str:
    return tabulate(rows, HEADERS, tablefmt=tablefmt, disable_numparse=True) if rows else ""


def table(sections: Sequence[Section]) -> str:
    """CSV with a row for each metric and protocol."""
    file = io.StringIO()
    write = csv.writer(file, lineterminator="\n").writerow
    write(COLUMNS)
    for section in sections:
        for line in (part for whole in section.lines for part in whole.each or (whole,)):
            numbers = (line.value, line.stderr, section.n, line.difference, section.causes(line))
            for name in line.protocols:
                write([section.metric, name, *numbers, "", line.left_out])
        for names, why in section.missing:
            for name in names:
                write([section.metric, name, "", "", section.n, "", "", why, ""])
    return file.getvalue()


def page(title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """A self-contained page."""
    plots = {section.metric: _plot(section) for section in sections if section.lines}
    units = "pairs of images" if sections[0].units == "pairs" else sections[0].units
    shown = {"facts": facts, "sections": sections, "plots": plots, "headers": HEADERS}
    return filled("protocols.html.j2", "", title=title, units=units, **shown)


def picture(title: str, sections: Sequence[Section]) -> bytes:
    """A PNG with a panel for each metric: its value by each protocol, with 95 % intervals."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [section for section in sections if section.lines]
    heights = [_height(section) for section in shown]
    buffer = io.BytesIO()
    with style.context(["default", {"font.size": 9}]):
        figure = Figure(figsize=(8, sum(heights) + 0.5), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title)
        panels = figure.subplots(len(shown), 1, height_ratios=heights, squeeze=False)[:, 0]
        for axes, section in zip(panels, shown, strict=True):
            _paint(axes, section, "black", "grey")
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _height(section: Section) -> float:
    return FRAME + ROW * sum(map(_room, section.lines))


def _room(line: Line) -> float:
    """The rows of text that a line takes, with the space around them."""
    return _wrapped(line).count("\n") + 1.6


def _wrapped(line: Line) -> str:
    return fill(", ".join(line.protocols), PROTOCOLS, break_on_hyphens=False)


def _plot(section: Section) -> Markup:
    longest = max(len(text) for line in section.lines for text in _wrapped(line).split("\n"))

    text = "; ".join(f"{', '.join(x.protocols)}: {section.value(x)}" for x in section.lines)
    title = f"{section.label} by protocol, with 95 % intervals"
    left = 0.15 + CHARACTER * longest
    paint = partial(_paint, section=section, ink=INK, soft=SOFT)
    return draw(_height(section), title, f"{text}.", paint, left, top=0.1)


def _paint(axes: Any, section: Section, ink: str, soft: str) -> None:
    """The value of each line as a dot with its interval; a rule at the first line's value."""
    ends = list(accumulate(map(_room, section.lines)))
    places = [end - _room(line) / 2 for end, line in zip(ends, section.lines, strict=True)]
    values = [line.value for line in section.lines]
    errors = [Z_95 * (line.stderr or 0.0) for line in section.lines]
    rule(axes.axvline, values[0], soft)
    colours = {"color": ink, "ecolor": ink}
    axes.errorbar(values, places, xerr=errors, fmt="o", elinewidth=1, markersize=4, **colours)
    edge: dict[str, Any] = {"ha": "right", "va": "center", "transform": axes.get_yaxis_transform()}
    for y, line in zip(places, section.lines, strict=True):
        if not np.isfinite(line.value):  # at the right edge, as text
            axes.text(0.99, y, section.value(line), color=ink, **edge)
    axes.set_yticks(places, list(map(_wrapped, section.lines)))
    axes.set_ylim(ends[-1], 0)
    plain_axes(axes, section.label, "")
