"""Metrics of the same images by the protocols of several evaluation codes, and why they differ:
as text, as Markdown and as CSV.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from tabulate import tabulate

from reports.records.metrics import METRICS
from reports.records.reading import joined
from reports.tables.markdown import escape
from reports.tables.numbers import error_pair, labelled, metric_label

PROTOCOLS, CAUSES = 34, 60  # columns of a terminal
HEADERS = ("protocol", "value", "difference", "cause")
COLUMNS = "metric protocol value stderr n difference causes not_computed left_out".split()


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


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The same in Markdown, under a title."""
    parts = [f"## {escape(title)}"]
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
