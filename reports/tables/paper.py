"""One table for a paper: a single tabular of systems by metrics, as `reports.make --table` prints it.

Only a number that is beyond noise of all others of its column is bold.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError, naming
from reports.records.metrics import Metrics, with_stand_ins
from reports.records.published import plain
from reports.records.reading import grouped, joined, short
from reports.records.record import Record, record_key, safe_cell
from reports.records.specs import TableSpec
from reports.tables import latex, layout, markdown, numbers
from reports.tables.build import Merged, other_specs
from reports.tables.layout import LABEL, REFERENCE, Cell, Panel
from reports.tables.ranking import choose, of_like_n, sure_best

MARK = "diffae-bench table"
# How a file of each format begins: by this it is known for one of ours.
FORMATS = {"latex": f"% {MARK}", "markdown": f"<!-- {MARK}", "csv": MARK}
APART_BY = ("setting", "steps", "solver")  # fields that are columns if they differ
PUBLISHED = "published values in parentheses are not to be compared with ours, and where there is none the paper has none"


def render(
    merged: Merged, table: str, format: str = "latex", systems: Iterable[str] = (), columns: Iterable[str] = (),
    digits: int | None = None, errors: bool = False, published: bool = False,
) -> tuple[str, list[str]]:  # fmt: skip
    """The text of a table, and remarks on what was left out and why.

    `table` is its name, or that of its benchmark. Shown are the `systems` and metrics (`columns`)
    in this order, by default all systems and the metrics of the headline; `digits` are the decimals
    of all numbers that are no counts.

    Raises UserError for a name that is not there, and if no number is left.
    """
    spec, records = _table(merged, table)
    known, there = merged.known, {r.system for r in records}
    own = _pick("systems", systems, (s for s in merged.systems if s in there))
    measured = [r for r in records if r.system in own and r.value is not None]
    names = (*with_stand_ins(spec.in_order, known), *(r.metric for r in measured))
    chosen = _pick("columns", columns, dict.fromkeys(names))
    wanted = chosen if columns else with_stand_ins(spec.headline or chosen, known)
    shown = of_like_n([r for r in measured if r.metric in wanted], known)
    seen = {name for r in shown for name in (r.system, r.metric)}
    left = [name for name in (*own, *(chosen if columns else ())) if name not in seen]
    remarks = [f"{name} is left out: {_reason(name, records, known)}" for name in left]
    if not shown:
        raise UserError(joined(f"--table {table}: no number", *remarks, by="; "))
    remarks += [PUBLISHED] * published
    bare: dict[str, Any] = {} if errors else {"stderr": None, "spread": None}
    bare |= {} if published else {"published": None}
    spec = replace(spec, metrics=tuple(chosen))
    shown.sort(key=lambda r: own.index(r.system))
    with naming(f"--table {table}", ValueError):
        panel = _panel(merged, spec, shown, bare, digits)
    return _written(panel, format, spec.name, markdown.facts(shown)), remarks


def _reason(name: str, records: Sequence[Record], known: Metrics) -> str:
    """Why a system or a metric is not in a table."""
    others = {r.metric for r in records if r.value is not None}
    instead = [m for m in with_stand_ins((name,), known)[1:] if m in others]
    notes = [r.note for r in records if name in (r.system, r.metric) and r.note]
    why = joined(*(f"{metric} was measured" for metric in instead), *notes[:1])
    return why or "it has no number that can stand beside the others"


def _table(merged: Merged, name: str) -> tuple[TableSpec, list[Record]]:
    """A table that has records, by its name, or the first of a benchmark by the benchmark's."""
    found: dict[str, tuple[TableSpec, list[Record]]] = {}
    specs = sorted(merged.specs, key=attrgetter("order"))
    for spec in (*specs, *other_specs(merged.records, specs)):
        if records := choose(spec, merged.records):
            found.setdefault(records[0].benchmark, (spec, records))
            found[spec.name] = spec, records
    return found[_pick("table", [name], found)[0]]


def _pick(flag: str, words: Iterable[str], known: Iterable[str]) -> list[str]:
    """The known names that words mean, whatever their case and punctuation; all if there are no words.

    Raises UserError with a suggestion for a word that means none, or several.
    """
    known, found = list(known), []
    for word in words or known:
        alike = [n for n in known if n == word] or [n for n in known if plain(n) == plain(word)]
        if len(alike) != 1:
            raise UserError(f"--{flag}: no {short(word)}{did_you_mean(word, known)}")
        found += alike
    return found


def _panel(
    merged: Merged,
    spec: TableSpec,
    shown: Sequence[Record],
    bare: dict[str, Any],
    digits: int | None,
) -> Panel:
    """The table as cells: rows by system and whatever else differs, a column for each metric.

    `bare` has the fields of records that are not to be printed, as None.
    """
    # Each metric stands for itself; `unbiased`: never a power of ten.
    known = {name: replace(row, stands_in_for="") for name, row in merged.known.items()}
    if digits is not None:
        more: dict[str, Any] = {"digits": digits, "unbiased": True}
        known |= {name: replace(row, **more) for name, row in known.items() if row.digits != 0}
    best: set[str] = set()
    same = attrgetter("metric", "dataset", "split", *layout.agreeing(spec, shown))
    for rivals in grouped(shown, same).values():
        texts = [numbers.value_text(r, known) for r in rivals]  # equal ones are a tie to the reader
        sure = sure_best(rivals, merged.uncertainty, merged.known)
        best |= {record_key(r) for r in sure if texts.count(numbers.value_text(r, known)) == 1}
    several = [f for f in APART_BY if len({getattr(r, f) for r in shown} - {"", None}) > 1]
    spec = replace(spec, rows=("system", *several), columns=("metric",), headline=(), panels=False)
    (panel,) = layout.build(spec, [replace(r, **bare) for r in shown], known).panels

    def cell(one: Cell) -> Cell:
        """Without notes, and of a published number without the difference to ours."""
        if one.record is None:
            return one
        text, is_best = one.text.partition(", ")[0], record_key(one.record) in best
        return replace(one, text=text, note="", best=is_best)

    return replace(panel, rows=tuple(tuple(map(cell, row)) for row in panel.rows))


def _written(panel: Panel, format: str, name: str, shared: Mapping[str, str]) -> str:
    """A table in one of FORMATS; in its first line its name, and what its numbers share."""
    told = (f"{fact}: {text.replace('; ', ', ')}" for fact, text in shared.items())
    about = joined(f"{MARK} {name}", *told, by="; ")
    if format == "csv":
        return _csv(panel, name)
    if format == "markdown":
        return f"<!-- {markdown.escape(about)} -->\n\n{markdown.grid(panel, {})}\n"
    return "\n".join([latex.comment(about), *latex.tabular(panel, {}), ""])


def _csv(panel: Panel, name: str) -> str:
    """Plain numbers, their errors in columns of their own; the first column names the table."""
    made, first = io.StringIO(), panel.rows[0]
    heads = [
        joined(head, panel.headers[i - 1] * (first[i].kind == REFERENCE))
        for i, head in enumerate(panel.headers)
    ]
    cells = [list(map(_plain, row)) for row in panel.rows]
    # Of value, error and error of one run: those that a column has.
    kept = [
        [n for n in range(3) if not n or any(row[i][n] for row in cells)] for i in range(len(first))
    ]
    lines = [[(head, f"± {head}", f"± {head}, one run") for head in heads], *cells]
    for own, line in zip([MARK, *[name] * len(cells)], lines, strict=True):
        texts = (cell[n] for cell, there in zip(line, kept, strict=True) for n in there)
        csv.writer(made, lineterminator="\n").writerow([own, *texts])
    return made.getvalue()


def _plain(cell: Cell) -> tuple[str, str, str]:
    """A cell's text and errors, as plain numbers if it is no label."""
    if cell.kind == LABEL:
        return str(safe_cell(cell.text)), "", ""
    value, error, within = (re.sub("[,()]", "", t) for t in (cell.text, cell.error, cell.within))
    return value, error, within
