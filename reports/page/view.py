"""The contents of the page, laid out for its template, without HTML.

Values are only converted to text.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.page.pictures import FigureView, Strip
from reports.page.plots import Plot
from reports.page.reading import Found
from reports.page.verdicts import Verdict, verdicts
from reports.records.metrics import Metrics
from reports.records.record import Record
from reports.tables.layout import Cell, Label, Panel, Reference, Table, Value
from reports.tables.markdown import facts, legend
from reports.tables.numbers import (
    error_text,
    footnote,
    metric_label,
    published_text,
    reference_note,
    reference_text,
    steps_text,
    value_note,
    value_text,
)
from reports.tables.run_record import is_pooled

TITLES = {
    "reconstruction": "Reconstruction",
    "probes": "What the code knows",
    "fewshot": "Samples of a class from a few labels",
    "unconditional": "Samples",
    "interpolation": "Interpolation",
    "identity": "Identity under edits",
    "variation": "What each part of the code decides",
    "denoising": "Predicted images over t",
    "memorisation": "Nearest training images",
    "cost": "Cost",
}
MOST_PROTOCOL_TEXT = 300  # characters of one field


@dataclass(frozen=True)
class CellView:
    """A cell: its text, an error behind it, its sort value, and the notes that it refers to.

    `number` is the index of its details; `kind` is name, text, value or published.
    """

    kind: str
    text: str
    error: str = ""
    sort: str = ""
    best: bool = False
    number: int | None = None
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class PanelView:
    """One HTML table. `numeric` says for each column whether it is sorted by value."""

    heading: str
    headers: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[CellView, ...], ...]


@dataclass(frozen=True)
class TableView:
    """A table: its panels, then notes by number, how to read it, and what its numbers share."""

    name: str
    title: str
    caption: str
    panels: tuple[PanelView, ...]
    notes: tuple[str, ...]
    legend: str
    facts: tuple[tuple[str, str], ...]


@dataclass
class Section:
    """The part of the page on one benchmark."""

    id: str
    benchmark: str
    title: str
    verdict: Verdict
    tables: list[TableView] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    figures: list[FigureView] = field(default_factory=list)
    strip: Strip | None = None


@dataclass(frozen=True)
class Page:
    """The whole page.

    `lead` is the section whose pictures come first; `numbers` and `protocols` are the details of
    numbers, for the script.
    """

    title: str
    lede: str
    lead: Section | None
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    overview: TableView
    sections: tuple[Section, ...]
    other_figures: tuple[FigureView, ...]
    left_out: tuple[str, ...]
    numbers: tuple[Mapping[str, str], ...]
    protocols: Mapping[str, tuple[tuple[str, str], ...]]


def sections_of(found: Found, numbers: "Numbers") -> list[Section]:
    """A section for each benchmark, in the order of their first tables."""
    said = {verdict.benchmark: verdict for verdict in verdicts(found)}
    sections: dict[str, Section] = {}
    for table in found.tables[1:]:
        name = table.records[0].benchmark
        if name not in sections:
            id = re.sub(r"[^A-Za-z0-9]+", "-", f"s{len(sections) + 1}-{name}")
            sections[name] = Section(id, name, title_of(name), said[name])
        sections[name].tables.append(table_view(table, numbers))
    return list(sections.values())


def title_of(benchmark: str) -> str:
    return TITLES.get(benchmark, benchmark[:1].upper() + benchmark[1:])


# ----------------------------------------------------------------------------------------------
# Tables


class Numbers:
    """The details of the page's numbers, each once, by index."""

    def __init__(self, known: Metrics):
        self._known = known
        self._index: dict[Record, int] = {}

    def index(self, record: Record) -> int:
        return self._index.setdefault(record, len(self._index))

    def all(self) -> tuple[Mapping[str, str], ...]:
        return tuple(_details(record, self._known) for record in self._index)


def table_view(table: Table, numbers: Numbers) -> TableView:
    """`table` as the page shows it."""
    notes: dict[str, int] = {}
    panels = tuple(_panel(panel, table.known, numbers, notes) for panel in table.panels)
    shared = tuple(
        (name, text) for name, text in facts(table.records).items() if name != "protocol"
    )
    return TableView(
        table.name, table.title, table.caption, panels, tuple(notes), legend(table), shared
    )


def _panel(panel: Panel, known: Metrics, numbers: Numbers, notes: dict[str, int]) -> PanelView:
    rows = tuple(tuple(_cell(cell, known, numbers, notes) for cell in row) for row in panel.rows)
    columns = range(len(panel.headers))
    numeric = tuple(all(_is_numeric(row[i]) for row in rows) for i in columns)
    return PanelView(panel.heading, panel.headers, numeric, rows)


def _is_numeric(cell: CellView) -> bool:
    return cell.kind in ("value", "published") or not cell.text or bool(cell.sort)


def _cell(cell: Cell, known: Metrics, numbers: Numbers, notes: dict[str, int]) -> CellView:
    if isinstance(cell, Label):
        return CellView("text", cell.text, sort=_sort_of_text(cell.text))
    if cell.record is None:
        return CellView("value", "–" if isinstance(cell, Value) else "")
    if isinstance(cell, Reference):
        return _published(cell.record, known, notes)
    return _value(cell.record, cell.best, known, numbers, notes)


def _value(
    record: Record, best: bool, known: Metrics, numbers: Numbers, notes: dict[str, int]
) -> CellView:
    return CellView(
        "value",
        value_text(record, known),
        error_text(record, known),
        _sort_of_number(record.value),
        best,
        numbers.index(record),
        _marks(value_note(record), notes),
    )


def _published(record: Record, known: Metrics, notes: dict[str, int]) -> CellView:
    why = reference_note(record, known)
    return CellView(
        "published",
        reference_text(record, known),
        sort=_sort_of_number(record.published),
        notes=_marks(f"not to be compared: {why}" if why else "", notes),
    )


def _marks(note: str, notes: dict[str, int]) -> tuple[int, ...]:
    return (footnote(notes, note),) if note else ()


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


def name_of(record: Record, known: Metrics) -> str:
    """What a record measures, in words."""
    at = steps_text(record)
    parts = (record.system, record.setting, at)
    metric = metric_label(record.metric, known)
    return f"{metric}: {', '.join(part for part in parts if part)}"


def _details(record: Record, known: Metrics) -> dict[str, str]:
    """All details of a number, for its dialog; `protocol` is the id of its protocol."""
    interval = ""
    if record.ci_low is not None and record.ci_high is not None:
        interval = f"{record.ci_low:.6g} to {record.ci_high:.6g}"
    metric = known.get(record.metric)
    published = published_text(record, known)
    rows = {
        "name": name_of(record, known),
        "value": value_text(record, known) + error_text(record, known),
        "in full": "" if record.value is None else repr(record.value),
        "unit": record.unit,
        "better": record.direction if record.direction != "neither" else "",
        "95 % interval": interval,
        "images or units (n)": "" if record.n is None else f"{record.n:,}",
        "runs": f"{record.runs:,}, their mean" if is_pooled(record) else "",
        "metric": f"{metric.title} ({metric.reference})" if metric else record.metric,
        "data": ", ".join(part for part in (record.dataset, record.split) if part),
        "network calls an image": "" if record.calls is None else f"{record.calls:,}",
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
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = str(value)
    return text if len(text) <= MOST_PROTOCOL_TEXT else f"{text[:MOST_PROTOCOL_TEXT]} ..."


def used_protocols(
    records: Sequence[Record], found: Found
) -> dict[str, tuple[tuple[str, str], ...]]:
    """The protocols of `records` by id, as rows."""
    used = dict.fromkeys(r.protocol for r in records if r.protocol in found.protocols)
    return {name: tuple(protocol_rows(found.protocols[name])) for name in used}
