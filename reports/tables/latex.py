r"""Tables as LaTeX: floats to be \input into a paper, and a document of them all.

    render(table, title, context)     one file: a table* with booktabs for each panel, notes below
    document(names, title)            tables.tex, which \inputs the files and compiles as it is

They need the packages booktabs and graphicx. A table that is wider or longer than the page is scaled to fit it.
A cell is as in the Markdown (`reports.tables.markdown`).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pylatexenc.latexencode import UnicodeToLatexEncoder

from reports.records.reading import joined
from reports.tables.layout import LABEL, REFERENCE, Cell, Panel, Table
from reports.tables.markdown import facts, is_name, legend
from reports.tables.numbers import footnote, with_decimals

NOT_IN_CAPTIONS = ("protocol", "published", "run", "not alike")  # comments and notes have them
# \resizebox with the natural size where that fits, once for the width and once for the height.
FIT = (
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    "\n"
    r"\resizebox*{!}{\ifdim\totalheight>.6\textheight .6\textheight\else\totalheight\fi}{%"
)
DOCUMENT = r"""% pdflatex tables.tex
\documentclass[10pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage[margin=18mm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
\noindent TITLE
INPUTS
\end{document}
"""


def render(table: Table, title: str, context: Mapping[str, str]) -> str:
    r"""The file of a table: one float for each panel. `\label{tab:NAME}` is that of the first."""
    shared = {**facts(table.records), **context}
    lines = [comment(f"{table.title}. {title}")]
    lines += [comment(f"{key}: {text}") for key, text in shared.items()]
    caption = rf"{_caption(table, shared)}\label{{tab:{table.name.replace('%', '')}}}"
    for panel in table.panels:
        lines += ["", *_float(panel, caption)]
        caption = rf"\textbf{{{escape(table.title)}}}, continued."
    return "\n".join(lines) + "\n"


def document(files: Sequence[str], title: str) -> str:
    """A document that compiles as it is and holds `files`, which lie beside it."""
    inputs = "\n".join(rf"\input{{{name}}}\clearpage" for name in files)
    return DOCUMENT.replace("TITLE", escape(title)).replace("INPUTS", inputs)


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
    rows = [" & ".join(_cell(cell, notes) for cell in row) for row in panel.rows]
    heads = " & ".join(escape(header) for header in panel.headers)
    begin = [rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}", r"\toprule"]
    body = [rf"{heads} \\", r"\midrule", *(rf"{row} \\" for row in rows)]
    return [*begin, *body, r"\bottomrule", r"\end{tabular}"]


def _mark(notes: dict[str, int], note: str) -> str:
    return rf"\textsuperscript{{{footnote(notes, note)}}}"


def _cell(cell: Cell, notes: dict[str, int]) -> str:
    mark = _mark(notes, cell.note) if cell.note and cell.kind != LABEL else ""
    if cell.kind == LABEL:
        return number(cell.text)
    if cell.kind == REFERENCE:
        numbers = ", ".join(map(number, cell.text.strip("()").split(", ")))
        return (f"({numbers})" if cell.text.startswith("(") else numbers) + mark
    if cell.record is None:
        return r"\textendash{}"
    return _value(cell) + mark


def _value(cell: Cell) -> str:
    """A measured number with its errors; those of a power of ten stand in brackets before it."""
    value, errors, power = cell.text, [cell.error, cell.within], ""
    if "e" in cell.text and "e" in cell.error:
        value, _, exponent = cell.text.partition("e")
        scale = -int(exponent)
        errors = [with_decimals(float(Decimal(e).scaleb(scale)), 2) if e else "" for e in errors]
        power = rf" $\times\, 10^{{{int(exponent)}}}$"
    text = rf"\textbf{{\boldmath {number(value)}}}" if cell.best else number(value)
    text += rf" $\pm$ {number(errors[0])}" if errors[0] else ""
    text += rf" {{[}}{number(errors[1])}{{]}}" if errors[1] else ""
    return f"({text}){power}" if power else text


def _caption(table: Table, shared: Mapping[str, str]) -> str:
    """The title, what the table shows, and the facts that its numbers share, but for long ones."""
    sentences = [
        f"{key if len(key) == 1 else key.capitalize()}: {text}.".replace("; ", ", ")
        for key, text in shared.items()
        if key not in NOT_IN_CAPTIONS
    ]
    title = rf"\textbf{{{escape(table.title)}}}."
    return joined(title, *map(escape, (table.caption, legend(table), *sentences)), by=" ")


# ----------------------------------------------------------------------------------------------
# Text from outside, as text

# Names of the paper, as it typesets them.
MATHS = {"x_T": "$x_T$", "x_0": "$x_0$", "x_t": "$x_t$", "z_sem": r"$z_{\mathrm{sem}}$"}
_MATHS = re.compile(r"(?<![A-Za-z0-9_\\])(x_T|x_0|x_t|z_sem)(?![A-Za-z0-9_])")
_NUMBER = re.compile(r"([-+]?)(\d[\d,]*(?:\.\d+)?|\.\d+)(?:e([-+]\d+))?")
_LIGATURE = re.compile(r"([-,])(?=\1)")  # two of these would be another character
# At the start of a row brackets and stars would be arguments of the end of the row before; a bar is a dash in some fonts.
_CHARACTERS = {"[": "{[}", "]": "{]}", "*": "{*}", "|": r"{\textbar}"}
_ENCODER = UnicodeToLatexEncoder(unknown_char_policy=lambda c: f"[U+{ord(c):04X}]", unknown_char_warning=False)  # fmt: skip


def comment(text: str) -> str:
    """A line of comment in LaTeX: one line, whatever `text` holds."""
    return "% " + "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def escape(text: str) -> str:
    """`text` on one line, as LaTeX that prints it; a letter that LaTeX lacks becomes its number."""
    parts = _MATHS.split(" ".join(unicodedata.normalize("NFC", text).split()))
    return "".join(MATHS[part] if i % 2 else _plain(part) for i, part in enumerate(parts))


def _plain(text: str) -> str:
    encoded = _LIGATURE.sub(r"\1{}", _ENCODER.unicode_to_latex(text))
    return "".join(_CHARACTERS.get(character, character) for character in encoded)


def number(text: str) -> str:
    """A number that `reports.tables.numbers` wrote, with a minus for a hyphen and 10 to a power for
    `e`; else plain text.

    Two numbers with ± or `to` between them are numbers too.
    """
    parts = re.split(" (±|to) ", text)
    if len(parts) > 3 or not all(_NUMBER.fullmatch(part) for part in parts[::2]):
        return escape(text)
    return " ".join(_number(part) if i % 2 == 0 else escape(part) for i, part in enumerate(parts))


def _number(text: str) -> str:
    match = _NUMBER.fullmatch(text)
    assert match is not None
    sign, digits, power = match[1], match[2].replace(",", "{,}"), match[3]
    scale = "" if power is None else rf" \times 10^{{{int(power)}}}"
    return f"${sign}{digits}{scale}$" if sign or scale else match[2]
