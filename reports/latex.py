r"""Tables as LaTeX: floats to be \input into a paper, and a document of them all.

    render(table, title, context)     one file: table*, booktabs, notes below; what is too long or too wide goes on
                                      below or in another float, and nothing is wider than the text
    document(names, title)            tables.tex, which \inputs them and compiles as it is

They need the packages booktabs and graphicx. A cell is as in the Markdown (`reports.markdown`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil
from textwrap import wrap

from reports.latex_text import escape, number
from reports.layout import Cell, Label, Panel, Reference, Table, Value
from reports.markdown import facts, is_name, legend
from reports.metrics import Metrics
from reports.numbers import (
    MISSING,
    difference_text,
    error_text,
    error_texts,
    published_text,
    reference_note,
    reference_text,
    value_note,
    value_text,
)
from reports.records import Record

PACKAGES = ("booktabs", "graphicx")
WIDEST = 124  # characters of \footnotesize across a page
LONGEST = 55  # its lines down a page of plain `article`
SEPARATION = 2  # of two columns, in characters
CAPTION, AROUND = 6, 4  # lines of a caption, and of what stands above and below a tabular
FEWEST = 4  # rows that are worth a tabular
NARROWEST = 11  # a column that a heading is broken for
NOTE_WIDTH = 150  # characters of \scriptsize in a line
PAPER = "Preechakul et al. 2022"
NOT_IN_CAPTIONS = (
    "protocol",
    "published",
    "run",
    "not alike",
)  # they stand in comments, and in notes
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def render(table: Table, title: str, context: Mapping[str, str]) -> str:
    r"""The file of `table`: one float, or several where one page does not hold it. `\label{tab:NAME}` is the first's."""
    floats = list(_floats(_parts(table), table.known))
    name = table.name.replace("%", "")
    lines = [_comment(f"{table.title}. {title}")]
    lines += [_comment(f"{key}: {text}") for key, text in _all_facts(table, context).items()]
    for i, parts in enumerate(floats):
        caption = _caption(table, context) if i == 0 else f"{_title(table)}, continued."
        label = rf"\label{{tab:{name}}}" if i == 0 else ""
        lines += ["", *_float(parts, caption, escape(table.title), label, table.known)]
    return "\n".join(lines) + "\n"


def document(files: Sequence[str], title: str) -> str:
    """A document that compiles as it is and holds `files`, which lie beside it."""
    packages = "\n".join(rf"\usepackage{{{name}}}" for name in PACKAGES)
    inputs = "\n".join(rf"\input{{{name}}}\clearpage" for name in files)
    return rf"""% pdflatex tables.tex
\documentclass[10pt,a4paper]{{article}}
\usepackage[T1]{{fontenc}}
\usepackage{{lmodern}}
\usepackage[margin=18mm]{{geometry}}
{packages}
\begin{{document}}
\noindent {escape(title)}
{inputs}
\end{{document}}
"""


# ----------------------------------------------------------------------------------------------
# What stands where


@dataclass(frozen=True)
class _Part:
    """Some columns and rows of a panel, which stand as one tabular."""

    heading: str
    headers: tuple[str, ...]
    names: tuple[bool, ...]  # which columns are names, and stand at their left
    rows: tuple[tuple[Cell, ...], ...]

    def notes(self, known: Metrics) -> list[str]:
        found = (_note(cell, known) for row in self.rows for cell in row)
        return list(dict.fromkeys(note for note in found if note))


def _parts(table: Table) -> Iterator[_Part]:
    for panel in table.panels:
        blocks = _blocks(panel, table.known)
        for columns in blocks:
            rows = [tuple(row[i] for i in columns) for row in panel.rows]
            rows = [row for row in rows if len(blocks) == 1 or _says_something(row)]
            headers = tuple(panel.headers[i] for i in columns)
            names = tuple(is_name(panel, i) for i in columns)
            yield from _fitting(_Part(panel.heading, headers, names, tuple(rows)), table.known)


def _fitting(part: _Part, known: Metrics) -> Iterator[_Part]:
    """A part, or its rows in halves, until a page holds each with its notes."""
    half = ceil(len(part.rows) / 2)
    if _height([part], known) <= LONGEST or half < FEWEST:
        yield part
    else:
        for rows in (part.rows[:half], part.rows[half:]):
            yield from _fitting(replace(part, rows=rows), known)


def _says_something(row: Sequence[Cell]) -> bool:
    """Where columns are divided, a row may have no number among some of them: it stands with the others."""
    return any(not isinstance(cell, Label) and cell.record is not None for cell in row)


def _blocks(panel: Panel, known: Metrics) -> list[list[int]]:
    """The columns of `panel` in blocks that a page is wide enough for, of about one width."""
    width = [_width(panel, i, known) for i in range(len(panel.headers))]
    blocks = _divided(panel, width, WIDEST)
    for narrower in range(WIDEST - 4, 0, -4):
        balanced = _divided(panel, width, narrower)
        if len(balanced) > len(blocks):
            break
        blocks = balanced
    return blocks


def _divided(panel: Panel, width: Sequence[int], widest: int) -> list[list[int]]:
    """The columns, of `width`, in blocks of at most `widest` characters, each after the names of the rows.

    A published value stays beside the measured one.
    """
    named = list(range(_identifying(panel)))
    blocks = [list(range(_labels(panel)))]
    for group in _groups(panel, len(blocks[0])):
        full = sum(width[i] for i in (*blocks[-1], *group)) > widest
        if full and len(blocks[-1]) > len(named):
            blocks.append([*named])
        blocks[-1] += group
    return blocks


def _labels(panel: Panel) -> int:
    """How many of the first columns only name or describe."""
    flags = [
        all(isinstance(row[i], Label) for row in panel.rows) for i in range(len(panel.headers))
    ]
    return flags.index(False) if False in flags else len(flags)


def _groups(panel: Panel, first: int) -> Iterator[list[int]]:
    group: list[int] = []
    for i in range(first, len(panel.headers)):
        if group and not any(isinstance(row[i], Reference) for row in panel.rows):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _identifying(panel: Panel) -> int:
    """How many of the first columns tell the rows apart."""
    labels = _labels(panel)
    for count in range(1, labels):
        if len({row[:count] for row in panel.rows}) == len(panel.rows):
            return count
    return labels


def _width(panel: Panel, column: int, known: Metrics) -> int:
    content = max((len(_plain(row[column], known)) for row in panel.rows), default=0)
    return max(content, *map(len, _lines(panel.headers[column], content))) + SEPARATION


def _lines(header: str, content: int) -> list[str]:
    """A heading in lines hardly longer than what stands below it."""
    return wrap(header, max(content, NARROWEST), break_long_words=False) or [""]


def _floats(parts: Iterator[_Part], known: Metrics) -> Iterator[list[_Part]]:
    """As many parts in a float as a page holds with their notes."""
    held: list[_Part] = []
    for part in parts:
        if held and _height([*held, part], known) > LONGEST:
            yield held
            held = []
        held.append(part)
    yield held


def _height(parts: Sequence[_Part], known: Metrics) -> int:
    notes = {note for part in parts for note in part.notes(known)}
    lines = sum(ceil(len(note) / NOTE_WIDTH) for note in notes)
    return CAPTION + lines + sum(len(part.rows) + AROUND for part in parts)


# ----------------------------------------------------------------------------------------------
# How it looks


class _Notes:
    """Footnotes by letter in order of first mention, equal ones once."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def mark(self, note: str) -> str:
        letter = self._letters.setdefault(note, _letters(len(self._letters)))
        return rf"\textsuperscript{{{letter}}}"

    def lines(self) -> list[str]:
        if not self._letters:
            return []
        texts = (rf"{self.mark(note)} {escape(note)}.\par" for note in self._letters)
        begin = r"\par\smallskip\begin{minipage}{\linewidth}\raggedright\scriptsize"
        return [begin, *texts, r"\end{minipage}"]


def _letters(i: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    return ("" if i < 26 else _letters(i // 26 - 1)) + chr(ord("a") + i % 26)


def _float(
    parts: Sequence[_Part], caption: str, short: str, label: str, known: Metrics
) -> list[str]:
    notes = _Notes()
    lines = [r"\begin{table*}[!htbp]", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"]
    lines.append(rf"\caption[{{{short}}}]{{{caption}}}{label}")
    heading = ""
    for part in parts:
        above = rf"\par\medskip\textbf{{{escape(part.heading)}}}\par\smallskip"
        lines.append(above if part.heading != heading else r"\par\medskip")
        heading = part.heading
        lines += _tabular(part, notes, known)
    return [*lines, *notes.lines(), r"\end{table*}"]


def _tabular(part: _Part, notes: _Notes, known: Metrics) -> list[str]:
    align = "".join("l" if name else "r" for name in part.names)
    rows = [" & ".join(_cell(cell, notes, known) for cell in row) for row in part.rows]
    return [
        FIT,
        rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}",
        r"\toprule",
        " & ".join(_header(part, i, known) for i in range(len(part.headers))) + r" \\",
        r"\midrule",
        *(rf"{row} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}}",
    ]


def _header(part: _Part, column: int, known: Metrics) -> str:
    content = max((len(_plain(row[column], known)) for row in part.rows), default=0)
    lines = [escape(line) for line in _lines(part.headers[column], content)]
    side, stacked = "l" if part.names[column] else "r", r"\\".join(lines)
    return lines[0] if len(lines) == 1 else rf"\shortstack[{side}]{{{stacked}}}"


def _cell(cell: Cell, notes: _Notes, known: Metrics) -> str:
    if isinstance(cell, Label):
        return number(cell.text)
    if cell.record is None:
        return r"\textendash{}" if isinstance(cell, Value) else ""
    note = _note(cell, known)
    mark = notes.mark(note) if note else ""
    if isinstance(cell, Reference):
        return _reference(cell.record, known) + mark
    return _value(cell.record, cell.best, known) + mark


def _value(record: Record, best: bool, known: Metrics) -> str:
    value, (error, within) = value_text(record, known), error_texts(record, known)
    if value == MISSING:
        return escape(value)
    if "e" in value and "e" in error:
        return _scientific(value, error, within, best)
    text = rf"\textbf{{\boldmath {number(value)}}}" if best else number(value)
    text += rf" $\pm$ {number(error)}" if error else ""
    return text + (rf" {{[}}{number(within)}{{]}}" if within else "")


def _scientific(value: str, error: str, within: str, best: bool) -> str:
    """A value and its errors times one power of ten."""
    digits, power = value.split("e")
    error, within = (f"{Decimal(t).scaleb(-int(power)):.2f}" if t else "" for t in (error, within))
    digits = rf"\mathbf{{{digits}}}" if best else digits
    inside = rf"\,[{within}]" if within else ""
    return rf"$({digits} \pm {error}{inside}) \times 10^{{{int(power)}}}$"


def _reference(record: Record, known: Metrics) -> str:
    parts = [number(t) for t in (published_text(record, known), difference_text(record, known))]
    text = ", ".join(part for part in parts if part)
    return f"({text})" if text and record.not_comparable else text


def _note(cell: Cell, known: Metrics) -> str:
    if isinstance(cell, Label) or cell.record is None:
        return ""
    if isinstance(cell, Reference):
        return reference_note(cell.record, known)
    return value_note(cell.record)


def _plain(cell: Cell, known: Metrics) -> str:
    """A cell as text about as long as it is set, with its mark."""
    if isinstance(cell, Label):
        return cell.text
    if cell.record is None:
        return ""
    mark = "a" if _note(cell, known) else ""
    if isinstance(cell, Reference):
        return reference_text(cell.record, known) + mark
    return value_text(cell.record, known) + error_text(cell.record, known) + mark


# ----------------------------------------------------------------------------------------------
# What is said of it


def _title(table: Table) -> str:
    """`Table 1: reconstruction` as a paper would say it that has numbers of its own."""
    match = re.fullmatch(r"((?:Table|Section|Figure|Appendix) [\w.]+): (.+)", table.title)
    if match is None:
        return rf"\textbf{{{escape(table.title)}}}"
    return rf"\textbf{{{escape(_capital(match[2]))}}} (as {escape(f'{match[1]} of {PAPER}')})"


def _caption(table: Table, context: Mapping[str, str]) -> str:
    said = (f"{_capital(k)}: {v}." for k, v in _all_facts(table, context, False).items())
    texts = (table.caption, legend(table), *(text.replace("; ", ", ") for text in said))
    return " ".join([f"{_title(table)}.", *(escape(text) for text in texts if text)])


def _all_facts(table: Table, context: Mapping[str, str], every: bool = True) -> dict[str, str]:
    """What a table's numbers share; protocols, which a caption has no room for, only on demand."""
    found = {**facts(table.records), **context}
    return found if every else {k: v for k, v in found.items() if k not in NOT_IN_CAPTIONS}


def _capital(text: str) -> str:
    """A capital at the beginning, but for the names of numbers (n, T)."""
    return text[:1].upper() + text[1:] if len(text) > 1 else text


def _comment(text: str) -> str:
    """A line of comment: one line, whatever `text` holds."""
    return "% " + "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
