"""One table for a paper: a single tabular of systems by metrics, as `reports.make --table` prints it.

Only a number that is beyond noise of all others of its column is bold.
"""

import csv
import io
import re
from collections.abc import Iterable
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
from reports.tables.latex_pagination import Part
from reports.tables.layout import LABEL, REFERENCE, Cell, Panel
from reports.tables.ranking import choose, of_like_n, sure_best

MARK = "diffae-bench table"
# How a file of each format begins: by this it is known for one of ours.
FORMATS = {"latex": f"% {MARK}", "markdown": f"<!-- {MARK}", "csv": MARK}
PARENTHESES = "published values in parentheses are not to be compared with ours: the tables of a report say why"


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
    every = with_stand_ins(spec.in_order, known)
    chosen = _pick("columns", columns, dict.fromkeys((*every, *(r.metric for r in measured))))
    wanted = chosen if columns else with_stand_ins(spec.headline or chosen, known)
    shown = of_like_n([r for r in measured if r.metric in wanted], known)
    seen = {name for r in shown for name in (r.system, r.metric)}
    remarks = []
    for name in (*own, *(chosen if columns else ())):
        if name not in seen:
            others = {r.metric for r in measured} & {*with_stand_ins((name,), known)[1:]}
            notes = [r.note for r in records if name in (r.system, r.metric) and r.note]
            why = joined(*(f"{other} was measured" for other in others), *notes[:1])
            remarks.append(f"{name} is left out: {why or 'it has no number here'}")
    if not shown:
        raise UserError(joined(f"--table {table}: no number", *remarks, by="; "))
    if published:
        apart = any(r.not_comparable for r in shown if r.published is not None)
        some = any(r.published is not None for r in shown)
        remarks += [PARENTHESES] * apart + ["no published value of these numbers is known"] * (
            not some
        )
    shown.sort(key=lambda r: own.index(r.system))
    bare = {} if errors else {"stderr": None, "spread": None}
    bare |= {} if published else {"published": None}
    with naming(f"--table {table}", ValueError):
        panel = _panel(
            merged, replace(spec, metrics=tuple(chosen)), shown, bare, _to(digits, known)
        )
    told = (f"{name}: {text.replace('; ', ', ')}" for name, text in markdown.facts(shown).items())
    about = joined(f"{MARK} {spec.name}", *told, by="; ")
    if format == "csv":
        return _csv(panel, spec.name), remarks
    if format == "markdown":
        return f"<!-- {markdown.escape(about)} -->\n\n{markdown.grid(panel, {})}\n", remarks
    names = tuple(markdown.is_name(panel, i) for i in range(len(panel.headers)))
    lines = latex.tabular(Part("", panel.headers, names, panel.rows), {})
    return "\n".join([latex.comment(about), *lines, ""]), remarks


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


def _to(digits: int | None, known: Metrics) -> Metrics:
    """The metrics, each for itself and no stand-in, with these decimals and never a power of ten."""
    more: dict[str, Any] = {} if digits is None else {"digits": digits, "unbiased": True}
    return {
        name: replace(row, stands_in_for="", **(more if row.digits != 0 else {}))
        for name, row in known.items()
    }


def _panel(
    merged: Merged, spec: TableSpec, shown: list[Record], bare: dict[str, Any], known: Metrics
) -> Panel:
    """The table as cells: rows by system and whatever else differs, a column for each metric."""
    best: set[str] = set()
    for rivals in grouped(shown, attrgetter("metric", "dataset", "split")).values():
        texts = [numbers.value_text(r, known) for r in rivals]  # equal ones are a tie to the reader
        sure = sure_best(rivals, merged.uncertainty, merged.known)
        best |= {record_key(r) for r in sure if texts.count(numbers.value_text(r, known)) == 1}
    several = [
        f for f in layout.DISTINGUISHING[:3] if len({getattr(r, f) for r in shown} - {"", None}) > 1
    ]
    spec = replace(spec, rows=("system", *several), columns=("metric",), headline=(), panels=False)
    (panel,) = layout.build(spec, [replace(r, **bare) for r in shown], known).panels

    def cell(one: Cell) -> Cell:
        """Without notes, and of a published number without the difference to ours."""
        is_best = one.record is not None and record_key(one.record) in best
        return (
            one
            if one.kind == LABEL
            else replace(one, text=one.text.partition(", ")[0], note="", best=is_best)
        )

    return replace(panel, rows=tuple(tuple(map(cell, row)) for row in panel.rows))


def _csv(panel: Panel, name: str) -> str:
    """Plain numbers, their errors in columns of their own; the first column names the table."""
    made, headers = io.StringIO(), list(panel.headers)
    for i, cell in enumerate(panel.rows[0]):
        if cell.kind == REFERENCE:
            headers[i] += f", {headers[i - 1]}"
    lines = [[(MARK, ""), *((header, f"± {header}") for header in headers)]]
    for row in panel.rows:
        texts = (
            str(safe_cell(c.text)) if c.kind == LABEL else re.sub("[,()]", "", c.text) for c in row
        )
        lines.append([(name, ""), *zip(texts, (c.error for c in row), strict=True)])
    columns = [1 + any(error for _, error in pairs) for pairs in zip(*lines[1:], strict=True)]
    for line in lines:
        cells = (text for pair, n in zip(line, columns, strict=True) for text in pair[:n])
        csv.writer(made, lineterminator="\n").writerow(cells)
    return made.getvalue()
