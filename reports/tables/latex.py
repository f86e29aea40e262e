r"""Tables as LaTeX: floats to be \input into a paper, and a single tabular.

    render(table, title, context)     one file: a table* for each panel, with its notes below it
    tabular(panel, notes)             the lines of one panel, with the rules of booktabs

The floats need the packages booktabs and graphicx. A panel that is wider or longer than the page is scaled to fit it.
A cell shows the same as in Markdown (`reports.tables.markdown`).
"""

import re
import unicodedata
from collections.abc import Mapping

from pylatexenc.latexencode import UnicodeToLatexEncoder

from reports.records.reading import joined
from reports.tables.layout import LABEL, VALUE, Panel, Table, TableCell
from reports.tables.markdown import facts, is_name, legend
from reports.tables.numbers import footnote

# \resizebox with the natural size where that fits, once for the width and once for the height.
FIT = (
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    "\n"
    r"\resizebox*{!}{\ifdim\totalheight>.6\textheight .6\textheight\else\totalheight\fi}{%"
)


def render(table: Table, title: str, context: Mapping[str, str]) -> str:
    r"""The file of a table: one float for each panel. `\label{tab:NAME}` is that of the first."""
    shared = {**facts(table.records), **context}
    lines = [comment(f"{table.title}. {title}")]
    lines += [comment(f"{name}: {text}") for name, text in shared.items()]
    name = rf"\textbf{{{escape(table.title)}}}"
    about = escape(joined(table.caption, legend(table), by=" "))
    caption = rf"{name}. {about}\label{{tab:{table.name.replace('%', '')}}}"
    for panel in table.panels:
        lines += ["", *_float(panel, caption)]
        caption = f"{name}, continued."
    return "\n".join(lines) + "\n"


def _float(panel: Panel, caption: str) -> list[str]:
    notes: dict[str, int] = {}
    lines = [r"\begin{table*}[!htbp]", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"]
    lines.append(rf"\caption{{{caption}}}")
    if panel.heading:
        lines.append(rf"\textbf{{{escape(panel.heading)}}}\par\smallskip")
    lines += [FIT, *tabular(panel, notes), "}}"]
    if notes:
        texts = (rf"{_mark(notes, note)} {escape(note)}.\par" for note in notes)
        lines.append(r"\par\smallskip\begin{minipage}{\linewidth}\raggedright\scriptsize")
        lines += [*texts, r"\end{minipage}"]
    return [*lines, r"\end{table*}"]


def tabular(panel: Panel, notes: dict[str, int]) -> list[str]:
    """The lines of a tabular; notes that are new in it are added to `notes`, with their numbers."""
    align = "".join("l" if is_name(panel, i) else "r" for i in range(len(panel.headers)))
    heads = " & ".join(map(escape, panel.headers))
    rows = [" & ".join(_cell(cell, notes) for cell in row) for row in panel.rows]
    return [
        rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}",
        *(r"\toprule", rf"{heads} \\", r"\midrule"),
        *(rf"{row} \\" for row in rows),
        *(r"\bottomrule", r"\end{tabular}"),
    ]


def _mark(notes: dict[str, int], note: str) -> str:
    return rf"\textsuperscript{{{footnote(notes, note)}}}"


def _cell(cell: TableCell, notes: dict[str, int]) -> str:
    if cell.kind == LABEL:
        return number(cell.text)
    if cell.kind == VALUE and cell.record is None:
        return r"\textendash{}"
    return _value(cell) + (_mark(notes, cell.note) if cell.note else "")


def _value(cell: TableCell) -> str:
    text = number(cell.text)
    if cell.best:
        text = rf"\textbf{{\boldmath {text}}}"
    if cell.error:
        text += rf" $\pm$ {number(cell.error)}"
    if cell.within:
        text += rf" {{[}}{number(cell.within)}{{]}}"
    return text


# ----------------------------------------------------------------------------------------------
# Text from outside, as text

NUMBER = re.compile(r"([-+]?)(\d+(?:,\d{3})*(?:\.\d+)?)(?:e([-+]\d+))?")
# A number, or two: a value and its difference, its error, or the other end of an interval.
NUMBERS = re.compile(rf"\(?{NUMBER.pattern}(?:(?:, | ± | to ){NUMBER.pattern})?\)?")
LIGATURE = re.compile(r"([-,])(?=\1)")  # two of these would be another character
# At the start of a row brackets and stars would be arguments of the end of the row before; a bar is a dash in some fonts.
CHARACTERS = str.maketrans({"[": "{[}", "]": "{]}", "*": "{*}", "|": r"{\textbar}"})
ENCODER = UnicodeToLatexEncoder(
    unknown_char_policy=lambda c: f"[U+{ord(c):04X}]", unknown_char_warning=False
)


def comment(text: str) -> str:
    """A line of comment in LaTeX: one line, whatever `text` holds."""
    return "% " + "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def escape(text: str) -> str:
    """`text` on one line, as LaTeX that prints it; a letter that LaTeX lacks becomes its number."""
    line = " ".join(unicodedata.normalize("NFC", text).split())
    return LIGATURE.sub(r"\1{}", ENCODER.unicode_to_latex(line)).translate(CHARACTERS)


def number(text: str) -> str:
    """The text of a cell: numbers with a minus for a hyphen and 10 to a power for `e`, or plain text."""
    if not NUMBERS.fullmatch(text):
        return escape(text)
    return NUMBER.sub(_typeset, text).replace("±", r"\ensuremath{\pm}")


def _typeset(match: re.Match[str]) -> str:
    sign, digits, power = match.groups()
    if not sign and power is None:
        return digits
    digits = digits.replace(",", "{,}")
    scale = "" if power is None else rf" \times 10^{{{int(power)}}}"
    return f"${sign}{digits}{scale}$"
