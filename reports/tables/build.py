"""Tables, made from records and the specifications of tables.

    write_tables(merge([read_run(folder)]).tables, out, title, context)

Each benchmark brings the specs of its tables. Records of a table without one get a plain table;
`overview` has the headlines of all.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffae.system.whole import write_whole
from reports.records.metrics import METRICS, Metrics
from reports.records.record import COLUMNS, Record, safe_cell
from reports.records.specs import TableSpec
from reports.tables import markdown
from reports.tables.contests import UncertaintyOf, choose, headlines, unknown
from reports.tables.layout import (
    FIELD_LABELS,
    Cell,
    Panel,
    Table,
    build,
    field_text,
    label,
    reference,
    shown_fields,
    value,
)
from reports.tables.numbers import detectable_change, heading, number_text
from reports.tables.run_record import extra_columns, is_pooled

if TYPE_CHECKING:
    import pandas as pd


def write_tables(
    tables: Iterable[Table], out: Path, title: str, context: Mapping[str, str]
) -> None:
    """Write tables to the folder `out`, as NAME.md and NAME.csv.

    Every Markdown file has `title` at its head and `context` (run, profile, ...) at its foot. The
    CSV files hold the same records with plain numbers.
    """
    out.mkdir(parents=True, exist_ok=True)
    for table in tables:
        page = markdown.render(table, title, context)
        cells = to_frame(table).to_csv(index=False, lineterminator="\n")
        write_whole(out / f"{table.name}.md", page.encode())
        write_whole(out / f"{table.name}.csv", cells.encode())


def build_tables(
    records: Sequence[Record],
    specs: Iterable[TableSpec] = (),
    known: Metrics = METRICS,
    uncertainty: UncertaintyOf = unknown,
) -> list[Table]:
    """The overview, then each table of `records`, ready for any renderer: by `specs`, plain without
    one.

    `known` defines the metrics, and `uncertainty` gives what decides on bold type. Raises ValueError
    if two records claim one cell, or two tables one name.
    """
    specs = sorted(specs, key=lambda spec: spec.order)
    chosen = [(s, choose(s, records)) for s in (*specs, *_other_specs(records, specs))]
    tables = [
        _overview(chosen, known),
        *(build(s, some, known, uncertainty) for s, some in chosen if some),
    ]
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise ValueError(f"two tables would be written to one file: {', '.join(sorted(names))}")
    return tables


def to_frame(table: Table) -> "pd.DataFrame":
    """The records of `table` in reading order: plain numbers, and text safe in a spreadsheet."""
    import pandas as pd  # takes half a second, which --help does not need

    names = (*COLUMNS, *extra_columns(table.records))
    rows = [
        {name: getattr(r, name) for name in names}
        | {
            "best": r in table.best,
            "detectable_change": _detectable(r),
            "difference": _difference(r),
        }
        for r in table.records
    ]
    rows = [{name: safe_cell(value) for name, value in row.items()} for row in rows]
    frame = pd.DataFrame(rows, columns=[*names, "best", "detectable_change", "difference"])
    return frame.astype({name: "Int64" for name in ("steps", "n", "calls")})


def printed(table: Table) -> "pd.DataFrame":
    """The cells of `table` as they are printed, without notes; of several panels, one below the other."""
    import pandas as pd

    frames = []
    for panel in table.panels:
        headers = list(panel.headers)
        for column in range(1, len(headers)):
            if headers[column].startswith("published"):  # the measured value is on its left
                headers[column] = f"{headers[column]}, {panel.headers[column - 1]}"
        rows = [[cell.text + cell.errors for cell in row] for row in panel.rows]
        frames.append(pd.DataFrame(rows, columns=headers))
        if panel.heading:
            frames[-1].insert(0, "metric", panel.heading)
    return pd.concat(frames, ignore_index=True)


def _other_specs(records: Sequence[Record], specs: Sequence[TableSpec]) -> list[TableSpec]:
    known = {spec.source for spec in specs}
    others = dict.fromkeys(r.table for r in records if r.table not in known)
    return [
        TableSpec(
            name=re.sub(r"[^A-Za-z0-9._-]+", "_", source).strip("._-")[:100] or "other",
            title=source or "Other numbers",
            caption="",
            source=source,
            rows=("system", "setting", "steps", "solver"),
            columns=("metric",),
            headline=tuple(dict.fromkeys(r.metric for r in records if r.table == source)),
        )
        for source in others
    ]


def _overview(chosen: Iterable[tuple[TableSpec, list[Record]]], known: Metrics) -> Table:
    records = [record for spec, some in chosen for record in headlines(spec, some, known)]
    fields = shown_fields(
        records, ("benchmark", "dataset", "system", "setting", "steps", "solver", "calls")
    )
    headers = (
        *(FIELD_LABELS.get(field, field) for field in fields),
        "metric",
        "value",
        "smallest detectable change",
        "n",
        "published",
        "protocol",
    )
    rows = tuple(_overview_row(record, fields, known) for record in records)
    caption = (
        "The headline of each benchmark, at the largest T. The smallest detectable change is 2.8 √2 times "
        "the standard error: of systems that differ by so much, two independent runs show it at the 5 % level "
        "4 times in 5."
    )
    panel = Panel("", headers, rows)
    return Table("overview", "Overview", caption, (panel,), tuple(records), frozenset(), known)


def _difference(record: Record) -> float | None:
    """Ours minus the published value, if the two may be compared."""
    if record.not_comparable or record.value is None or record.published is None:
        return None
    return record.value - record.published


def _detectable(record: Record) -> float | None:
    """The detectable change of one run; that of several would depend on what they share."""
    return None if is_pooled(record) else detectable_change(record.stderr)


def _overview_row(record: Record, fields: Sequence[str], known: Metrics) -> tuple[Cell, ...]:
    change = _detectable(record)
    return (
        *(label(field_text(record, field)) for field in fields),
        label(heading(record.metric, [record], known)),
        value(record, known),
        label("" if change is None else number_text(change, record.metric, known)),
        label("" if record.n is None else f"{record.n:,}"),
        reference(record, known),
        label(record.protocol),
    )
