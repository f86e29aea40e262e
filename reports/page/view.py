"""The contents of the page, laid out for its template, without HTML.

Values are only converted to text.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from reports.page.names import name_in, name_of_records
from reports.page.pictures import FigureView
from reports.page.plots.drawing import Plot
from reports.page.plots.figures import plots_of
from reports.records.metrics import Metrics
from reports.records.reading import (
    Fields,
    field_text,
    flat,
    grouped,
    joined,
    number_of,
    part_of,
    short,
)
from reports.records.record import NEITHER, Record
from reports.tables.build import Merged
from reports.tables.layout import LABEL, REFERENCE, VALUE, Panel, Table, TableCell, value
from reports.tables.markdown import facts, legend_sentences
from reports.tables.numbers import footnote, metric_label, published_text, steps_text

MOST_PROTOCOL_TEXT = 300  # characters of one field
MOST_ROWS = 60  # of a table on the page: a longer one is left to its CSV file


View = dict[str, Any]  # what the template shows, by the names that it uses
Numbers = dict[Record, int]  # the numbers of the page whose details it has, by their index


def sections_of(merged: Merged, numbers: Numbers, pictures: Sequence[FigureView]) -> list[View]:
    """The part of the page on each benchmark, in the order of their first tables.

    Its first table, plot and picture are shown, and all else is under "more". A table that is too
    long for a page is only named.
    """
    shown = [table for table in merged.tables if table.name not in merged.across]
    tables = grouped(shown, lambda table: table.records[0].benchmark)
    sections: list[View] = []
    for i, (name, (headline, *others)) in enumerate(tables.items(), 1):
        figures = [figure for figure in pictures if figure.benchmark == name]
        long = [table for table in others if _rows(table) > MOST_ROWS]
        kept = [headline, *(table for table in others if table not in long)]
        plots = plots_of(name, merged)
        folded = {"table": len(others), "plot": len(plots) - 1, "picture": len(figures) - 1}
        sections.append(
            {
                "id": re.sub(r"[^A-Za-z0-9]+", "-", f"s{i}-{name}"),
                "title": _title(name, headline.title),
                "tables": [table_view(table, numbers) for table in kept],
                "long": [(table, _rows(table)) for table in long],
                "plots": [_plot_view(plot, merged.metrics) for plot in plots],
                "more": ", ".join(number_of(n, name) for name, n in folded.items() if n > 0),
                "figures": [*_captioned_once(figures)],
            }
        )
        sections[-1]["tables"][0]["warnings"] = [*dict.fromkeys(_warnings(merged, headline))]
    return sections


def _rows(table: Table) -> int:
    return sum(len(panel.rows) for panel in table.panels)


def reading_guide(sections: Sequence[View]) -> list[str]:
    """The sentences of legends that several tables share; they are taken out of the tables."""
    views = [view for section in sections for view in section["tables"]]
    counts = Counter(sentence for view in views for sentence in view["legend"])
    for view in views:
        view["legend"] = [sentence for sentence in view["legend"] if counts[sentence] == 1]
    return [sentence for sentence, count in counts.items() if count > 1]


def _captioned_once(figures: Iterable[FigureView]) -> Iterator[View]:
    """The figures of a section; a caption that several of them have stands at the first."""
    captions: set[str] = set()
    for figure in figures:
        caption = figure.sheet.caption
        yield {"figure": figure, "caption": "" if caption in captions else caption}
        captions.add(caption)


def _plot_view(plot: Plot, metrics: Metrics) -> View:
    return {"plot": plot, "title": name_in(plot.title, plot.metric, metrics)}


def _warnings(merged: Merged, table: Table) -> Iterator[str]:
    """What the runs say against the numbers of a table: systems that were trained on these images,
    enlarged images, and low precision.
    """
    systems = {record.system for record in table.records}
    for run in merged.folders:
        notes = run.notes
        for system, text in part_of(notes, "seen_in_training").items():
            if systems & {system, f"{system} ({run.label})"}:
                yield f"{system}: {short(text, 200)}"
        enlarged = part_of(notes, "enlarged")
        if enlarged.get("images"):
            count, total, size = (
                short(enlarged.get(name), 20) for name in ("images", "of", "size")
            )
            smaller = f"{count} of {total} images are smaller than {size} px"
            yield f"{smaller} and were enlarged; --smallest {size} leaves them out."
        if notes.get("precision") not in (None, "float32"):
            yield f"Measured in {short(notes['precision'], 20)}, not in float32."


def _title(benchmark: str, table: str) -> str:
    """The title of a benchmark's first table without its number in the paper; without one, its name."""
    title = table.partition(": ")[2] or benchmark
    return title[:1].upper() + title[1:]


# ----------------------------------------------------------------------------------------------
# Tables


def table_view(table: Table, numbers: Numbers, prefix: str = "t") -> View:
    """`table` as the page shows it: its panels, then notes by number, how to read it, and what its
    numbers share. Its id on the page begins with `prefix`.
    """
    notes: dict[str, int] = {}
    panels = [_panel(panel, numbers, notes, table.metrics) for panel in table.panels]
    shared = {name: text for name, text in facts(table.records).items() if name != "protocol"}
    about = {"id": f"{prefix}-{table.name}", "legend": legend_sentences(table), "facts": shared}
    return {"table": table, "panels": panels, "notes": list(notes), "warnings": []} | about


def _panel(panel: Panel, numbers: Numbers, notes: dict[str, int], metrics: Metrics) -> View:
    """One HTML table; `numeric` says for each column whether it is sorted by value, and `names` are its
    headers with the metrics in them.
    """
    rows = [[_cell(cell, numbers, notes, metrics, row) for cell in row] for row in panel.rows]
    columns = list(zip(*panel.rows, strict=True)) or [()] * len(panel.headers)
    numeric = [all(c.kind != LABEL or not c.text or _sort(c) for c in column) for column in columns]
    names = [
        name_of_records(header, _records(column), metrics)
        for header, column in zip(panel.headers, columns, strict=True)
    ]
    heading = name_of_records(panel.heading, _records(itertools.chain(*panel.rows)), metrics)
    named = {"heading": heading if panel.heading else None, "names": names}
    return named | {"headers": panel.headers, "numeric": numeric, "rows": rows}


def _records(cells: Iterable[TableCell]) -> Iterator[Record]:
    return (cell.record for cell in cells if cell.record)


def _cell(
    cell: TableCell,
    numbers: Numbers,
    notes: dict[str, int],
    metrics: Metrics,
    row: Sequence[TableCell],
) -> View:
    """A cell: its text, the error behind it, what it is sorted by, the notes that it refers to, and
    the `number` of its details. A label that begins with the metric of its row has it as its `name`.
    """
    record = cell.record if cell.kind == VALUE else None
    empty = cell.kind == VALUE and not record
    why = "not to be compared: " if cell.kind == REFERENCE else ""
    shown = {"text": "–" if empty else cell.text, "error": cell.errors, "best": cell.best}
    number = numbers.setdefault(record, len(numbers)) if record else None
    marks = [footnote(notes, why + cell.note)] if cell.note else []
    name = name_of_records(cell.text, _records(row), metrics) if cell.kind == LABEL else None
    is_name = name is not None and not name.before and name.after[:1] in ("", " ")
    shown |= {"name": name if is_name else None, "why": cell.note and why + cell.note}
    return shown | {"sort": _sort(cell), "number": number, "notes": marks}


def _sort(cell: TableCell) -> str:
    """The number that a cell is sorted by; empty if it has none."""
    number: float | None
    if cell.record is not None:
        number = cell.record.published if cell.kind == REFERENCE else cell.record.value
    else:
        try:
            number = float(cell.text.replace(",", ""))
        except ValueError:
            number = None
    return "" if number is None or math.isnan(number) else repr(number)


# ----------------------------------------------------------------------------------------------
# Details of numbers


def details(record: Record, metrics: Metrics) -> dict[str, str]:
    """All details of a number, for its dialog; `protocol` is the id of its protocol."""
    r, metric = record, metrics.get(record.metric)
    named = joined(r.system, r.setting, steps_text(r))
    has_interval = None not in (r.ci_low, r.ci_high)
    published, shown = published_text(r, metrics), value(r, metrics)
    rows = {
        "name": f"{metric_label(r.metric, metrics)}: {named}",
        "value": shown.text + shown.errors,
        "in full": "" if r.value is None else repr(r.value),
        "unit": r.unit,
        "better": r.direction if r.direction != NEITHER else "",
        "95 % interval": f"{r.ci_low:.6g} to {r.ci_high:.6g}" if has_interval else "",
        "images or units (n)": "" if r.n is None else f"{r.n:,}",
        "runs": f"{r.runs:,}, their mean" if r.pooled else "",
        "metric": f"{metric.title} ({metric.reference})" if metric else r.metric,
        "data": joined(r.dataset, r.split),
        "network calls per image": "" if r.calls is None else f"{r.calls:,}",
        "published": published and f"{published}, {r.published_source}",
        "comparable": published and (f"no: {r.not_comparable}" if r.not_comparable else "yes"),
        "note": r.note,
        "protocol": r.protocol,
    }
    return {name: text for name, text in rows.items() if text}


def dialogs(
    numbers: Iterable[Record], metrics: Metrics, protocols: Mapping[str, Fields]
) -> dict[str, Any]:
    """What the dialogs of numbers show, for the page's script: their details in the order of their
    indices, and the rows of their protocols.
    """
    return {
        "numbers": [details(record, metrics) for record in numbers],
        "protocols": protocols_of(numbers, protocols),
    }


def protocols_of(
    records: Iterable[Record], protocols: Mapping[str, Fields]
) -> dict[str, list[tuple[str, str]]]:
    """The rows of each protocol that one of the records has."""
    used = dict.fromkeys(r.protocol for r in records if r.protocol in protocols)
    return {name: _protocol_rows(protocols[name]) for name in used}


def _protocol_rows(protocol: Fields) -> list[tuple[str, str]]:
    """The fields of a protocol as names and texts; nested fields are named `field.name`."""
    rows = []
    for name, content in sorted(flat(protocol), key=itemgetter(0)):
        is_list = isinstance(content, list)
        text = ", ".join(map(str, content)) if is_list else field_text(name, content)
        more = " ..." if len(text) > MOST_PROTOCOL_TEXT else ""
        if content != "":
            rows.append((name, text[:MOST_PROTOCOL_TEXT] + more))
    return rows
