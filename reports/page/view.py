"""The contents of the page, laid out for its template, without HTML.

Values are only converted to text.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.page.pictures import FigureView, strip_of
from reports.page.plots import plots_of
from reports.page.verdicts import verdicts
from reports.records.metrics import Metrics
from reports.records.record import Record
from reports.tables.build import Merged
from reports.tables.layout import LABEL, REFERENCE, VALUE, Cell, Panel, Table
from reports.tables.markdown import facts, legend
from reports.tables.numbers import (
    error_text,
    footnote,
    metric_label,
    published_text,
    steps_text,
    value_text,
)

MOST_PROTOCOL_TEXT = 300  # characters of one field


View = dict[str, Any]  # what the template shows, by the names that it uses
Numbers = dict[Record, int]  # the numbers of the page whose details it has, by their index


def sections_of(found: Merged, numbers: Numbers, pictures: Sequence[FigureView]) -> list[View]:
    """The part of the page on each benchmark, in the order of their first tables.

    The first with pictures is the `lead`, whose strip has more of them.
    """
    said = {verdict.benchmark: verdict for verdict in verdicts(found)}
    tables: dict[str, list[View]] = {}
    for table in found.tables[1:]:
        tables.setdefault(table.records[0].benchmark, []).append(table_view(table, numbers))
    sections: list[View] = []
    lead = next((name for name in tables if any(f.benchmark == name for f in pictures)), None)
    for i, (name, ours) in enumerate(tables.items(), 1):
        figures = [figure for figure in pictures if figure.benchmark == name]
        sections.append(
            {
                "id": re.sub(r"[^A-Za-z0-9]+", "-", f"s{i}-{name}"),
                "title": _title(name, ours[0]["table"].title),
                "verdict": said[name],
                "tables": ours,
                "plots": plots_of(name, found),
                "figures": figures,
                "strip": strip_of(figures, whole=name == lead),
                "is_lead": name == lead,
            }
        )
    return sections


def _title(benchmark: str, table: str) -> str:
    """The title of a benchmark's first table without its number in the paper; without one, its name."""
    title = table.partition(": ")[2] or benchmark
    return title[:1].upper() + title[1:]


# ----------------------------------------------------------------------------------------------
# Tables


@dataclass(frozen=True)
class CellView:
    """A cell: its text, an error behind it, its sort value, and the notes that it refers to.

    `number` is the index of its details.
    """

    text: str
    error: str = ""
    sort: str = ""
    best: bool = False
    number: int | None = None
    notes: tuple[int, ...] = ()


def table_view(table: Table, numbers: Numbers, prefix: str = "t") -> View:
    """`table` as the page shows it: its panels, then notes by number, how to read it, and what its
    numbers share. Its id on the page begins with `prefix`.
    """
    notes: dict[str, int] = {}
    panels = [_panel(panel, numbers, notes) for panel in table.panels]
    shared = {name: text for name, text in facts(table.records).items() if name != "protocol"}
    return {
        "id": f"{prefix}-{table.name}",
        "table": table,
        "panels": panels,
        "notes": list(notes),
        "legend": legend(table),
        "facts": shared,
    }


def _panel(panel: Panel, numbers: Numbers, notes: dict[str, int]) -> View:
    """One HTML table; `numeric` says for each column whether it is sorted by value."""
    rows = [[_cell(cell, numbers, notes) for cell in row] for row in panel.rows]
    cells = zip(*panel.rows, strict=True) if rows else ((),) * len(panel.headers)
    numeric = [all(map(_is_numeric, column)) for column in cells]
    return {"heading": panel.heading, "headers": panel.headers, "numeric": numeric, "rows": rows}


def _is_numeric(cell: Cell) -> bool:
    return cell.kind != LABEL or not cell.text or bool(_sort_of_text(cell.text))


def _cell(cell: Cell, numbers: Numbers, notes: dict[str, int]) -> CellView:
    if cell.kind == LABEL:
        return CellView(cell.text, sort=_sort_of_text(cell.text))
    if cell.record is None:
        return CellView("–" if cell.kind == VALUE else "")
    why = "not to be compared: " if cell.kind == REFERENCE else ""
    marks = (footnote(notes, why + cell.note),) if cell.note else ()
    if cell.kind == REFERENCE:
        return CellView(cell.text, sort=_sort_of_number(cell.record.published), notes=marks)
    return CellView(
        cell.text,
        cell.errors,
        _sort_of_number(cell.record.value),
        cell.best,
        numbers.setdefault(cell.record, len(numbers)),
        marks,
    )


def _sort_of_number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(value)


def _sort_of_text(text: str) -> str:
    """The sort value of a text that is a number."""
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return ""
    return _sort_of_number(number)


# ----------------------------------------------------------------------------------------------
# Details of numbers


def details(record: Record, known: Metrics) -> dict[str, str]:
    """All details of a number, for its dialog; `protocol` is the id of its protocol."""
    named = ", ".join(filter(None, (record.system, record.setting, steps_text(record))))
    interval = ""
    if record.ci_low is not None and record.ci_high is not None:
        interval = f"{record.ci_low:.6g} to {record.ci_high:.6g}"
    metric = known.get(record.metric)
    published = published_text(record, known)
    rows = {
        "name": f"{metric_label(record.metric, known)}: {named}",
        "value": value_text(record, known) + error_text(record, known),
        "in full": "" if record.value is None else repr(record.value),
        "unit": record.unit,
        "better": record.direction if record.direction != "neither" else "",
        "95 % interval": interval,
        "images or units (n)": "" if record.n is None else f"{record.n:,}",
        "runs": f"{record.runs:,}, their mean" if record.pooled else "",
        "metric": f"{metric.title} ({metric.reference})" if metric else record.metric,
        "data": ", ".join(part for part in (record.dataset, record.split) if part),
        "network calls per image": "" if record.calls is None else f"{record.calls:,}",
        "published": f"{published}, {record.published_source}" if published else "",
        "comparable": ("no: " + record.not_comparable if record.not_comparable else "yes")
        if published
        else "",
        "note": record.note,
        "protocol": record.protocol,
    }
    return {name: text for name, text in rows.items() if text}


def protocol_rows(protocol: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """The fields of a protocol as names and texts; nested fields are named `field.name`."""
    rows = []
    for name, value in sorted(protocol.items()):
        if isinstance(value, Mapping):
            rows += protocol_rows(value, f"{prefix}{name}.")
        elif value is not None and value != "":
            rows.append((f"{prefix}{name}", _plain(value)))
    return rows


def _plain(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= MOST_PROTOCOL_TEXT else f"{text[:MOST_PROTOCOL_TEXT]} ..."
