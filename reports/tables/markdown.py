"""Tables as Markdown (GitHub's), each a self-contained page.

**0.9912** ± 0.0003             best of the systems beside it, with its standard error
0.991, +0.000                   a published value measured in the same way, and ours minus it
<sub>(0.991, +0.000)</sub> 1    a published value that must not be compared: note 1 says why
n/a 2                           could not be measured: note 2 says why
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from reports.records.reading import joined, named
from reports.records.record import FAST, FAST_SOLVER, Record
from reports.tables.layout import LABEL, REFERENCE, Panel, Table, TableCell
from reports.tables.numbers import difference_text, footnote, solver_name, value_note
from reports.tables.ranking import by_code


def render(table: Table, title: str, context: Mapping[str, str]) -> str:
    """The page of `table` under the run's `title`, followed by notes, sources and `context`."""
    notes: dict[str, int] = {}
    parts = [f"# {escape(table.title)}", f"**{escape(title)}**", escape(table.caption)]
    for panel in table.panels:
        parts.append(f"## {escape(panel.heading)}" if panel.heading else "")
        parts.append(grid(panel, notes))
    listed = "\n".join(f"{number}. {escape(text)}" for text, number in notes.items())
    shared = {**facts(table.records), **context}.items()
    context_lines = "\n".join(f"- {escape(name)}: {escape(text)}" for name, text in shared)
    return joined(*parts, listed, legend(table), context_lines, by="\n\n") + "\n"


def facts(records: Sequence[Record]) -> dict[str, str]:
    """What a table's numbers share or range over: data, images, protocols, sources."""
    counts = [f"{n:,}" for n in sorted({r.n for r in records if r.n is not None})]
    shared = {
        "data set": _listed(r.dataset for r in records),
        "split": _listed(r.split for r in records),
        "n": " to ".join(dict.fromkeys(counts[:1] + counts[-1:])),
        "T": _listed(map(str, sorted({r.steps for r in records if r.steps is not None}))),
        "solver": _listed(solver_name(r.solver) for r in records),
        "network calls per image": _listed(map(str, sorted({r.calls for r in records if r.calls}))),
        "protocol": _listed(r.protocol for r in records),
        "published": _listed(r.published_source for r in records),
    }
    return {name: text for name, text in shared.items() if text}


def escape(text: str) -> str:
    """`text` from outside as literal Markdown on one line, inside or outside of a table."""
    unknown, line = "\N{REPLACEMENT CHARACTER}", " ".join(text.split())
    text = html.escape("".join(c if c.isprintable() else unknown for c in line), quote=False)
    text = re.sub(r"([\\|*`\[\]$~])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def grid(panel: Panel, notes: dict[str, int]) -> str:
    """A panel as a table; notes that are new in it are added to `notes`, with their numbers."""
    rows = [[_cell(cell, notes) for cell in row] for row in panel.rows]
    align = ["left" if is_name(panel, i) else "right" for i in range(len(panel.headers))]
    headers = [escape(header) for header in panel.headers]
    return tabulate(rows, headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def is_name(panel: Panel, column: int) -> bool:
    """Whether a column holds names, which are left-aligned."""
    cells = [row[column] for row in panel.rows]
    return any(cell.kind == LABEL and not _is_number(cell.text) for cell in cells)


def _cell(cell: TableCell, notes: dict[str, int]) -> str:
    if cell.kind == LABEL:
        return escape(cell.text)
    mark = f"<sup>{footnote(notes, cell.note)}</sup>" if cell.note else ""
    if cell.kind == REFERENCE:
        return f"<sub>{cell.text}</sub> {mark}" if mark else cell.text
    if cell.record is None:
        return "–"
    return (f"**{cell.text}**" if cell.best else cell.text) + cell.errors + mark


def legend(table: Table) -> str:
    """The meaning of bold type, ±, values below 0, differences and parentheses, as far as `table` has them."""
    return " ".join(legend_sentences(table))


def legend_sentences(table: Table) -> list[str]:
    records, metrics = table.records, table.metrics
    alike = ", among those measured alike" if any(r.contest for r in records) else ""
    pooled = sorted({r.runs for r in records if r.pooled})
    several = " to ".join(dict.fromkeys(map(str, (*pooled[:1], *pooled[-1:]))))
    signed = [r for r in records if r.metric in metrics and metrics[r.metric].unbiased]
    reasons = dict.fromkeys(named(r.system, value_note(r)) for r in table.absent)
    sentences = {
        f"Bold: the best of the systems measured here{alike}, and those that chance (95 %) may have put behind it. "
        "None where chance may explain all differences.": table.best,
        "Codes with inverted noise are compared only among themselves.": table.best and len(by_code(records)) > 1,
        f"{FAST}: the solver of that name (diffae-bench docs solvers), {FAST_SOLVER} in CSV files.":
            any(r.solver == FAST_SOLVER for r in records),
        "±: one standard error.":
            any(r.value is not None and r.stderr is not None and not r.pooled for r in records),
        "Below 0: chance; an estimate without bias is so every second time for two equal sets.":
            any(r.value is not None and r.value < 0 for r in signed),
        f"With brackets: the mean of {several} runs ± the standard deviation between them, and in brackets the "
        "standard error of one run.": pooled,
        "After a published value: ours minus it.": any(difference_text(r, metrics) for r in records),
        "In parentheses: published, not to be compared, for the reason in the note.":
            any(r.published is not None and r.not_comparable for r in records),
        f"Not measured: {'; '.join(reasons)}.": reasons,
    }  # fmt: skip
    return [text for text, holds in sentences.items() if holds]


def _listed(texts: Iterable[str]) -> str:
    return joined(*dict.fromkeys(texts), by="; ")


def _is_number(text: str) -> bool:
    return not text or re.fullmatch(r"[-+\d.,e]+( (±|to) [-+\d.,e]+)?", text) is not None
