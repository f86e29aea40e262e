"""The end of a run on a terminal: the table of headlines, and what forbids a comparison."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from tabulate import tabulate

from reports.records.reading import grouped, joined, short
from reports.tables.build import Merged
from reports.tables.headlines import (
    LABELS,
    REFERENCE,
    cautions,
    code_text,
    competing,
    headline_rows,
    table_of_headlines,
)
from reports.tables.layout import Table, TableCell
from reports.tables.ranking import is_measured

WIDTH = 100  # of a terminal
HEADLINE, SYSTEM, REFERENCES = 30, 11, 27  # columns of a headline, a system and the references
GAP, PADDING = 2, 2  # between columns; that tabulate adds to a heading
NO_BREAK = "\N{NO-BREAK SPACE}"
LONGEST_NAME = 60
MOST_LINES = 3  # of one caution or list of reasons


def summary(merged: Merged) -> list[str]:
    """The lines of the table, of its legend and of the cautions.

    Columns that do not fit beside each other follow below. What is bold on the page has a star.
    """
    rows = headline_rows(merged)
    table = table_of_headlines(merged, rows)
    lines = list(_blocks(table, merged)) if rows else []
    lines += ["", table.caption.replace("Bold", "*")] if rows else []
    for text in (*cautions(merged, rows), *_not_measured(merged)):
        lines += wrap(f"- {text}", WIDTH, subsequent_indent="  ", max_lines=MOST_LINES)
    return [line.rstrip() for line in lines]


def _blocks(table: Table, merged: Merged) -> Iterator[str]:
    """The headlines in blocks of as many columns as fit beside each other."""
    headers, rows = table.panels[0].headers, table.panels[0].rows
    names = [_headline(row[:LABELS]) for row in rows]
    columns = [
        Column(
            _wrapped(f"{system}\n{code_text(system, merged)}", SYSTEM),
            [_text(row[LABELS + place]) for row in rows],
        )
        for place, system in enumerate(competing(merged))
    ]
    if headers[-1] == REFERENCE:
        texts = [_wrapped(row[-1].text.replace("; ", "\n"), REFERENCES) for row in rows]
        columns.append(Column(REFERENCE, texts))
    for i, block in enumerate(_fitted(columns)):
        cells = [[name, *(c.cells[j] for c in block)] for j, name in enumerate(names)]
        heads = ["", *(column.head for column in block)]
        text = tabulate(cells, heads, tablefmt="simple", disable_numparse=True)
        if i:
            yield ""
        yield from text.splitlines()


@dataclass(frozen=True)
class Column:
    """A column of the terminal's table: its heading and its cells, each of one or more lines."""

    head: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        head = max(map(len, self.head.splitlines()), default=0)
        cells = (len(line) for text in self.cells for line in text.splitlines())
        return max((head + PADDING, *cells))


def _fitted(columns: Sequence[Column]) -> list[list[Column]]:
    """The columns in groups that fit a terminal beside the names of the headlines."""
    blocks: list[list[Column]] = []
    room = 0
    for column in columns:
        if not blocks or column.width + GAP > room:
            blocks.append([])
            room = WIDTH - HEADLINE
        blocks[-1].append(column)
        room -= column.width + GAP
    return blocks


def _headline(labels: Sequence[TableCell]) -> str:
    """Benchmark, then metric and how it was measured."""
    benchmark, metric, measured = (label.text for label in labels)
    return _wrapped(f"{benchmark}\n{joined(metric, measured)}", HEADLINE)


def _text(cell: TableCell) -> str:
    """The value, and the error below it."""
    if cell.record is None:
        return "-"
    return f"{'*' * cell.best}{cell.text}\n{cell.errors.strip()}"


def _wrapped(text: str, width: int) -> str:
    paragraphs = (short(part, LONGEST_NAME) for part in text.splitlines() if part)
    whole = (part.replace(" = ", f"{NO_BREAK}={NO_BREAK}") for part in paragraphs)
    lines = (line for part in whole for line in wrap(part, width))
    return "\n".join(lines).replace(NO_BREAK, " ")


def _not_measured(merged: Merged) -> list[str]:
    """The systems without a number in a benchmark, each once and without references.

    The notes of the tables say why.
    """
    measured = {(r.benchmark, r.system) for r in merged.records if is_measured(r)}
    absent: dict[str, list[str]] = {}
    for r in merged.records:
        if (r.benchmark, r.system) not in measured and r.system not in merged.references:
            why = f"{r.system}: {r.note}" if r.system == "all systems" else r.system
            absent.setdefault(why, []).append(r.benchmark)
    systems = grouped(absent, lambda why: tuple(dict.fromkeys(absent[why])))
    texts = [f"{', '.join(names)} ({', '.join(who)})" for names, who in systems.items()]
    return [f"Not measured: {'; '.join(texts)}."] if texts else []
