"""From records to the rows and columns of a table, before any output format.

A `TableSpec` says which record fields name a row and which a column; `build` pivots records by it.
Cells keep the records themselves, so a renderer only decides how a number is formatted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from reports.records.metrics import METRICS, Metrics, with_stand_ins
from reports.records.reading import grouped
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.tables import numbers
from reports.tables.ranking import groups_of, leading, of_like_n

FIELD_LABELS = {"steps": "T", "dataset": "data set"}
# Fields that distinguish records if a table's own keys do not, in the order in which they are tried.
DISTINGUISHING = ("setting", "steps", "solver", "protocol")

Field = str | int | float | bool | None  # the value of a record's field
Key = tuple[Field, ...]


# Kinds of cells.
LABEL, VALUE, REFERENCE = "label", "value", "reference"


@dataclass(frozen=True)
class TableCell:
    """A cell as plain text, and what its number needs.

    A LABEL names a row or describes it. A VALUE is a measured number: `error` follows ±, `within`
    is in brackets, and it is `best` if it is the best of its contest or within noise of it. A
    REFERENCE is the published number beside it. Without a `record` nothing was measured.
    """

    kind: str
    text: str = ""
    error: str = ""
    within: str = ""
    note: str = ""
    record: Record | None = None
    best: bool = False

    @property
    def errors(self) -> str:
        """All that follows the text: ` ± ` and the error, then what is in brackets."""
        error = f" ± {self.error}" if self.error else ""
        return f"{error} [{self.within}]" if self.within else error


def label(text: str) -> TableCell:
    return TableCell(LABEL, text)


def value(record: Record | None, metrics: Metrics = METRICS, best: bool = False) -> TableCell:
    if record is None:
        return TableCell(VALUE)
    texts = numbers.value_texts(record, metrics)
    return TableCell(VALUE, *texts, numbers.value_note(record), record, best)


def reference(record: Record | None, metrics: Metrics) -> TableCell:
    if record is None:
        return TableCell(REFERENCE)
    note = numbers.reference_note(record, metrics)
    return TableCell(REFERENCE, numbers.reference_text(record, metrics), note=note, record=record)


@dataclass(frozen=True)
class Panel:
    """A block of a table: `headers` over `rows` of cells."""

    heading: str
    headers: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]


@dataclass(frozen=True)
class Table:
    """A table ready to be rendered.

    `records` are all that it shows, in reading order, and `metrics` defines their metrics.

    `absent` are records of systems whose column would have no number: why nothing was measured.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    records: tuple[Record, ...]
    best: frozenset[Record]
    metrics: Metrics
    absent: tuple[Record, ...] = ()


def build(
    spec: TableSpec,
    chosen: Sequence[Record],
    metrics: Metrics = METRICS,
) -> Table:
    """Pivot the records that `choose` picked. Raises ValueError if two of them claim one cell."""
    shown, absent = list(chosen), list[Record]()
    if "system" in spec.columns:  # a column without a number is left out
        measured = {r.system for r in chosen if r.value is not None}
        absent = [r for r in chosen if r.system not in measured]
        shown = [r for r in chosen if r.system in measured]
    if not shown:  # nothing was measured at all: one row per system, with its reason
        fields = (field for field in spec.rows if field != "metric")
        spec = replace(spec, rows=("system", *fields), columns=("metric",), panels=False)
        shown, absent = absent, []
    blocks = ("metric",) * spec.panels
    records = _spread_missing(shown, (*blocks, *spec.columns))
    rows = _row_fields(spec, records)
    in_order = with_stand_ins(spec.in_order, metrics)
    ordered = _sort(records, (*blocks, *rows, *spec.columns), in_order)
    best = bold(spec, ordered, metrics)
    alike = of_like_n(ordered, metrics)
    kept = frozenset(alike)
    panels = [_panel(spec, part, rows, best, metrics) for part in _group(alike, blocks).values()]
    if apart := [r for r in ordered if r not in kept]:
        panels.append(replace(_panel(spec, apart, rows, best, metrics), heading=_of_n(apart)))
    heading, all_records = (spec.name, spec.title, spec.caption), (*ordered, *absent)
    return Table(*heading, tuple(panels), all_records, best, metrics, tuple(absent))


def shown_fields(records: Sequence[Record], fields: Sequence[str]) -> list[str]:
    """Those of `fields` that are set in at least one record."""
    return [field for field in fields if any(field_text(r, field) for r in records)]


def field_text(record: Record, field: str) -> str:
    """A record's field as text; empty where it does not apply."""
    value = getattr(record, field)
    return "" if value is None else numbers.solver_name(value) if field == "solver" else str(value)


def reference_header(records: Sequence[Record], metrics: Metrics = METRICS) -> str:
    """`published`, with the paper's metric if all of `records` are stand-ins for it."""
    pairs = {(r.published_metric or r.metric, r.metric) for r in records if r.published is not None}
    published, measured = pairs.pop() if len(pairs) == 1 else ("", "")
    if published == measured:
        return "published"
    return f"published {numbers.metric_label(published, metrics)}"


def _panel(
    spec: TableSpec,
    records: Sequence[Record],
    rows: Sequence[str],
    best: frozenset[Record],
    metrics: Metrics,
) -> Panel:
    shown = shown_fields(records, rows)
    labels = FIELD_LABELS | {"setting": spec.setting_header}
    headers = [labels.get(field, field) for field in shown]
    in_order = with_stand_ins(spec.in_order, metrics)
    columns = _group(_sort(records, spec.columns, in_order), spec.columns)
    with_reference = {_key(r, spec.columns) for r in records if r.published is not None}
    for key, column in columns.items():
        headers.append(_column_header(spec, column, metrics))
        if key in with_reference:
            headers.append(reference_header(column, metrics))
    body = []
    for row in _group(records, rows).values():
        cells = _cells(spec, row)
        line = [label(text) for text in _labels(row[0], shown)]
        for key in columns:
            record = cells.get(key)
            line.append(value(record, metrics, record in best))
            if key in with_reference:
                line.append(reference(record, metrics))
        body.append(tuple(line))
    title = numbers.heading(records[0].metric, records, metrics) if spec.panels else ""
    return Panel(title, tuple(headers), tuple(body))


def _of_n(records: Sequence[Record]) -> str:
    """The heading of references that no system can be held against."""
    counts = [f"{n:,}" for n in sorted({r.n for r in records if r.n is not None})]
    return f"Of {', '.join(counts)} images, which no system has: not to be compared with the numbers above"


def _labels(record: Record, fields: Sequence[str]) -> list[str]:
    """The labels of a row; a record without T, such as real images, says so if no other label
    identifies it.
    """
    texts = [field_text(record, field) for field in fields]
    if fields and not any(texts):
        texts[0] = _part(record, fields[0])
    return texts


def _cells(spec: TableSpec, row: Sequence[Record]) -> dict[Key, Record]:
    cells = _group(row, spec.columns)
    for records in cells.values():
        if len(records) > 1:
            raise ValueError(
                f"{spec.name}: two records for one cell: {records[0]} and {records[1]}"
            )
    return {key: record for key, (record, *_) in cells.items()}


def _column_header(spec: TableSpec, column: Sequence[Record], metrics: Metrics) -> str:
    parts = [_part(column[0], field) for field in spec.columns if field != "metric"]
    if "metric" in spec.columns:
        parts.append(numbers.heading(column[0].metric, column, metrics))
    return " ".join(part for part in parts if part)


def _part(record: Record, field: str) -> str:
    if field == "steps":
        return "no T" if record.steps is None else f"T = {record.steps}"
    if field == "calls":
        return "one pass" if record.calls is None else f"{record.calls} calls"
    return field_text(record, field)


def _row_fields(spec: TableSpec, records: Sequence[Record]) -> tuple[str, ...]:
    """The fields of the spec, data set and split if there are several, and whatever else is needed
    to keep cells distinct.
    """
    several = [f for f in ("dataset", "split") if len({getattr(r, f) for r in records} - {""}) > 1]
    rows = (*several, *spec.rows)
    for field in DISTINGUISHING:
        keys = (*rows, *spec.columns, "metric")
        apart = len(_group(records, keys))
        if apart < len(records) and len(_group(records, (*keys, field))) > apart:
            rows = (*rows, field)
    return rows


def bold(spec: TableSpec, chosen: Sequence[Record], metrics: Metrics) -> frozenset[Record]:
    """The numbers of a table that are in bold, in every format."""
    groups = contests(spec, chosen, metrics)
    return frozenset(r for rivals in groups for r in leading(rivals, metrics))


def contests(
    spec: TableSpec, chosen: Sequence[Record], metrics: Metrics = METRICS
) -> list[list[Record]]:
    """The numbers of a table that compete with each other, in reading order."""
    rows = _row_fields(spec, chosen)
    # They agree in the fields of a column and `alike`, or of a row of systems.
    fields = (*spec.columns, *spec.alike) if "system" in rows else (*rows, *spec.columns)
    return groups_of(chosen, fields, metrics)


def _spread_missing(records: Sequence[Record], fields: Sequence[str]) -> list[Record]:
    """Repeat the rows of systems that could not be measured in every column that other systems fill:
    they have no metric or T. A row of a metric is repeated in the columns of that metric.
    """
    cell = ("system", "dataset", "split", "setting", "steps", "solver", "calls", "metric")
    spread = list(records)
    for field in fields:
        spread = list(_spread(spread, field))
    given, whole = set(records), {_key(record, cell) for record in records}
    return [r for r in spread if r in given or _key(r, cell) not in whole]


def _spread(records: Sequence[Record], field: str) -> Iterator[Record]:
    filled = [(r.metric, getattr(r, field)) for r in records if not _is_open(r, field)]
    for record in records:
        if filled and _is_open(record, field):
            own = [value for metric, value in filled if metric == record.metric]
            values = dict.fromkeys(own or [value for _, value in filled])
            yield from (replace(record, **{field: value}) for value in values)
        else:
            yield record  # not a copy: from Python 3.13 on, records with nan equal only themselves


def _is_open(record: Record, field: str) -> bool:
    return record.value is None and getattr(record, field) in ("", None)


def _sort(records: Sequence[Record], fields: Sequence[str], metrics: Sequence[str]) -> list[Record]:
    ranks = {name: _ranks([getattr(r, name) for r in records], name, metrics) for name in fields}
    return sorted(records, key=lambda r: [ranks[field][getattr(r, field)] for field in fields])


def _ranks(values: Sequence[Field], field: str, metrics: Sequence[str]) -> dict[Field, int]:
    """The order of values: T by size, metrics as listed, everything else by appearance."""
    distinct = list(dict.fromkeys(values))
    if field in ("steps", "calls"):
        distinct.sort(key=lambda count: count if isinstance(count, int) else -1)
    if field == "metric":
        distinct.sort(key=lambda metric: (*metrics, str(metric)).index(str(metric)))
    return {value: rank for rank, value in enumerate(distinct)}


def _group(records: Iterable[Record], fields: Sequence[str]) -> dict[Key, list[Record]]:
    return grouped(records, lambda record: _key(record, fields))


def _key(record: Record, fields: Sequence[str]) -> Key:
    return tuple(getattr(record, field) for field in fields)
