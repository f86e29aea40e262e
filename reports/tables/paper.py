"""One table for a paper: a single tabular of systems by metrics, as `reports.make --table` prints it."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError, naming
from reports.records.metrics import with_stand_ins
from reports.records.published import without_published
from reports.records.reading import joined, plain, short
from reports.records.record import Record, safe_cell
from reports.records.specs import TableSpec
from reports.tables import latex, layout, markdown
from reports.tables.build import Merged, other_specs
from reports.tables.layout import LABEL, Panel, TableCell
from reports.tables.ranking import choose, of_like_n

MARK = "diffae-bench table"
# How a file of each format begins: this says that it is one of ours.
FORMATS = {"latex": f"% {MARK}", "markdown": f"<!-- {MARK}", "csv": MARK}
APART_BY = ("setting", "steps", "solver")  # fields that are columns if they differ


def render(
    merged: Merged,
    table: str,
    format: str = "latex",
    systems: Sequence[str] = (),
    columns: Sequence[str] = (),
    errors: bool = False,
) -> tuple[str, list[str]]:
    """The text of a table, and remarks on what was left out and why.

    `table` is its name, or that of its benchmark. It shows the `systems` and the metrics (`columns`)
    in this order, by default all systems and the metrics of the headline.

    Raises UserError for a name that does not exist, and if no number is left.
    """
    spec, shown, remarks = selected(merged, table, systems, columns)
    panel = _panel(merged, spec, shown, errors)
    return _written(panel, format, spec.name, shown), remarks


def selected(
    merged: Merged, table: str, systems: Sequence[str] = (), columns: Sequence[str] = ()
) -> tuple[TableSpec, list[Record], list[str]]:
    """The specification of a table, with its metrics in the order asked for; the records that it
    shows, and remarks on what was left out. The arguments and errors are those of `render`.
    """
    spec, records = _table(merged, table)
    measured = [r for r in records if r.value is not None]
    present = {r.system for r in records}
    rows = _chosen("systems", systems, [name for name in merged.systems if name in present])
    names = (*with_stand_ins(spec.in_order, merged.metrics), *(r.metric for r in measured))
    order = _chosen("columns", columns, dict.fromkeys(names))
    wanted = order if columns else with_stand_ins(spec.headline or order, merged.metrics)
    shown = [r for r in measured if r.system in rows and r.metric in wanted]
    shown = sorted(of_like_n(shown, merged.metrics), key=lambda r: rows.index(r.system))
    seen = {name for r in shown for name in (r.system, r.metric)}
    left_out = [name for name in (*rows, *(order if columns else ())) if name not in seen]
    remarks = [f"{name} is left out: {_reason(name, merged, records)}" for name in left_out]
    if not shown:
        raise UserError(joined(f"--table {table}: no number", *remarks, by="; "))
    bare = list(map(without_published, shown))
    return replace(spec, metrics=tuple(order)), bare, remarks


def _table(merged: Merged, name: str) -> tuple[TableSpec, list[Record]]:
    """A table that has records, by its name, or the first of a benchmark by the benchmark's."""
    tables: dict[str, tuple[TableSpec, list[Record]]] = {}
    for spec in (*merged.specs, *other_specs(merged.records, merged.specs)):
        if records := choose(spec, merged.records):
            tables.setdefault(records[0].benchmark, (spec, records))
            tables[spec.name] = spec, records
    return tables[_chosen("table", [name], tables)[0]]


def _chosen(flag: str, words: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names that words stand for, whatever their case and punctuation; all if there are no words.

    Raises UserError with a suggestion for a word that stands for none, or for several.
    """
    names, chosen = list(names), []
    for word in words or names:
        alike = [n for n in names if n == word] or [n for n in names if plain(n) == plain(word)]
        if len(alike) != 1:
            raise UserError(f"--{flag}: no {short(word)}{did_you_mean(word, names)}")
        chosen += alike
    return chosen


def _reason(name: str, merged: Merged, records: Sequence[Record]) -> str:
    """Why a system or a metric is not in a table."""
    others = {r.metric for r in records if r.value is not None}
    stand_ins = others.intersection(with_stand_ins([name], merged.metrics)) - {name}
    notes = [r.note for r in records if name in (r.system, r.metric) and r.note]
    reasons = [*(f"{metric} was measured" for metric in stand_ins), *notes]
    return reasons[0] if reasons else "it has no number that can stand beside the others"


def _panel(merged: Merged, spec: TableSpec, shown: Sequence[Record], errors: bool) -> Panel:
    """The table as cells: rows by system and whatever else differs, a column for each metric."""
    # Each metric stands for itself, so that the columns are in the order of the spec.
    metrics = {name: replace(metric, stands_in_for="") for name, metric in merged.metrics.items()}
    several = [f for f in APART_BY if len({getattr(r, f) for r in shown} - {"", None}) > 1]
    best = layout.bold(spec, shown, merged.metrics)
    spec = replace(spec, rows=("system", *several), columns=("metric",), headline=(), panels=False)
    with naming(f"--table {spec.name}", ValueError):
        (panel,) = layout.build(spec, shown, metrics).panels

    def printed(cell: TableCell) -> TableCell:
        error = cell.error if errors else ""
        return replace(cell, best=cell.record in best, error=error, within="", note="")

    return replace(panel, rows=tuple(tuple(map(printed, row)) for row in panel.rows))


def _written(panel: Panel, format: str, name: str, shown: Sequence[Record]) -> str:
    """A table in one of FORMATS; in its first line its name, and what its numbers share."""
    if format == "csv":
        return _csv(panel, name)
    shared = (f"{fact}: {text.replace('; ', ', ')}" for fact, text in markdown.facts(shown).items())
    about = joined(f"{MARK} {name}", *shared, by="; ")
    if format == "markdown":
        return f"<!-- {markdown.escape(about)} -->\n\n{markdown.grid(panel, {})}\n"
    return "\n".join([latex.comment(about), *latex.tabular(panel, {}), ""])


def _csv(panel: Panel, name: str) -> str:
    """Plain numbers, their errors in columns of their own; the first column names the table."""
    columns = [[MARK, *[name] * len(panel.rows)]]
    for heading, *cells in zip(panel.headers, *panel.rows, strict=True):
        columns.append([heading, *map(_plain, cells)])
        if any(cell.error for cell in cells):
            columns.append([f"± {heading}", *(cell.error.replace(",", "") for cell in cells)])
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(zip(*columns, strict=True))
    return file.getvalue()


def _plain(cell: TableCell) -> str:
    """The text of a cell: a number without commas, a label safe in a spreadsheet."""
    return str(safe_cell(cell.text)) if cell.kind == LABEL else cell.text.replace(",", "")
