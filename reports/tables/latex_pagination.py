"""Layout of a LaTeX table: parts that fit the page's width, in floats that fit its height."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from textwrap import wrap

from reports.tables.layout import LABEL, REFERENCE, Cell, Panel, Table
from reports.tables.markdown import is_name

WIDEST = 124  # characters of \footnotesize across a page
LONGEST = 55  # its lines down a page of plain `article`
SEPARATION = 2  # of two columns, in characters
CAPTION, AROUND = 6, 4  # lines of a caption, and of the heading and space of a tabular
FEWEST = 4  # rows: smaller tabulars are not divided
NARROWEST = 11  # characters: a heading is not broken below this width
NOTE_WIDTH = 150  # characters of \scriptsize in a line


@dataclass(frozen=True)
class Part:
    """Some columns and rows of a panel, set as one tabular."""

    heading: str
    headers: tuple[str, ...]
    names: tuple[bool, ...]  # which columns hold names, which are left-aligned
    rows: tuple[tuple[Cell, ...], ...]


def _parts(table: Table) -> Iterator[Part]:
    for panel in table.panels:
        blocks = _blocks(panel)
        for columns in blocks:
            rows = [tuple(row[i] for i in columns) for row in panel.rows]
            if len(blocks) > 1:  # a row may only have numbers in other columns
                rows = [row for row in rows if any(cell.record is not None for cell in row)]
            headers = tuple(panel.headers[i] for i in columns)
            names = tuple(is_name(panel, i) for i in columns)
            yield from _fitting(Part(panel.heading, headers, names, tuple(rows)))


def _fitting(part: Part) -> Iterator[Part]:
    """A part, or its rows divided in halves until each fits a page with its notes."""
    half = ceil(len(part.rows) / 2)
    if _height([part]) <= LONGEST or half < FEWEST:
        yield part
    else:
        for rows in (part.rows[:half], part.rows[half:]):
            yield from _fitting(replace(part, rows=rows))


def _blocks(panel: Panel) -> list[list[int]]:
    """The columns of `panel` in blocks of similar width that fit a page."""
    width = [_width(panel, i) for i in range(len(panel.headers))]
    found = [_divided(panel, width, widest) for widest in range(WIDEST, 0, -4)]
    return [blocks for blocks in found if len(blocks) == len(found[0])][-1]


def _divided(panel: Panel, width: Sequence[int], widest: int) -> list[list[int]]:
    """The columns, of `width`, in blocks of at most `widest` characters, each after the names of
    the rows.

    A published value stays beside the measured one.
    """
    named = list(range(_identifying(panel)))
    blocks = [list(range(_labels(panel)))]
    for group in _groups(panel, len(blocks[0])):
        full = sum(width[i] for i in (*blocks[-1], *group)) > widest
        if full and len(blocks[-1]) > len(named):
            blocks.append([*named])
        blocks[-1] += group
    return blocks


def _labels(panel: Panel) -> int:
    """The number of leading columns that only name or describe."""
    columns = range(len(panel.headers))
    return next((i for i in columns if any(r[i].kind != LABEL for r in panel.rows)), len(columns))


def _groups(panel: Panel, first: int) -> Iterator[list[int]]:
    columns = range(first, len(panel.headers))
    starts = [i for i in columns if not any(row[i].kind == REFERENCE for row in panel.rows)]
    for start, end in pairwise([*starts, len(panel.headers)]):
        yield list(range(start, end))


def _identifying(panel: Panel) -> int:
    """The number of leading columns that identify a row."""
    labels, rows = _labels(panel), panel.rows
    return next((n for n in range(1, labels) if len({r[:n] for r in rows}) == len(rows)), labels)


def _width(panel: Panel, column: int) -> int:
    content = content_width(panel.rows, column)
    lines = heading_lines(panel.headers[column], content)
    return max(content, *map(len, lines)) + SEPARATION


def content_width(rows: Sequence[Sequence[Cell]], column: int) -> int:
    """The length of the longest cell of a column, with the mark of its note."""
    cells = (row[column] for row in rows)
    return max((len(cell.text + cell.errors) + bool(cell.note) for cell in cells), default=0)


def heading_lines(header: str, content: int) -> list[str]:
    """A heading in lines not much longer than the cells below it; an arrow stays with its word."""
    header = header.replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")
    return wrap(header, max(content, NARROWEST), break_long_words=False) or [""]


def floats_of(table: Table) -> Iterator[list[Part]]:
    """The parts of a table in floats, as many in each as fit a page with their notes."""
    held: list[Part] = []
    for part in _parts(table):
        if held and _height([*held, part]) > LONGEST:
            yield held
            held = []
        held.append(part)
    yield held


def _height(parts: Sequence[Part]) -> int:
    notes = {cell.note for part in parts for row in part.rows for cell in row}
    lines = sum(ceil(len(note) / NOTE_WIDTH) for note in notes)
    return CAPTION + lines + sum(len(part.rows) + AROUND for part in parts)
