r"""Tables as LaTeX: floats to be \input into a paper, and a document of them all.

    render(table, title, context)     one file: table*, booktabs, notes below; a table that is too long or too wide
                                      continues below or in another float, and nothing is wider than the text
    document(names, title)            tables.tex, which \inputs them and compiles as it is

They need the packages booktabs and graphicx. A cell is as in the Markdown (`reports.tables.markdown`).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal

from reports.records.reading import joined
from reports.tables.latex_pagination import Part, content_width, floats_of, heading_lines
from reports.tables.layout import LABEL, REFERENCE, Cell, Table
from reports.tables.markdown import facts, legend
from reports.tables.numbers import footnote, with_decimals

PAPER = "Preechakul et al. 2022"
NOT_IN_CAPTIONS = ("protocol", "published", "run", "not alike")  # comments and notes have them
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def render(table: Table, title: str, context: Mapping[str, str]) -> str:
    r"""The file of `table`: one float, or several where one page does not hold it. `\label{tab:NAME}` is the first's."""
    name = table.name.replace("%", "")
    shared = {**facts(table.records), **context}
    lines = [comment(f"{table.title}. {title}")]
    lines += [comment(f"{key}: {text}") for key, text in shared.items()]
    for i, parts in enumerate(floats_of(table)):
        caption = _caption(table, shared) if i == 0 else f"{_title(table)}, continued."
        label = rf"\label{{tab:{name}}}" if i == 0 else ""
        lines += ["", *_float(parts, caption, escape(table.title), label)]
    return "\n".join(lines) + "\n"


def document(files: Sequence[str], title: str) -> str:
    """A document that compiles as it is and holds `files`, which lie beside it."""
    inputs = "\n".join(rf"\input{{{name}}}\clearpage" for name in files)
    return rf"""% pdflatex tables.tex
\documentclass[10pt,a4paper]{{article}}
\usepackage[T1]{{fontenc}}
\usepackage{{lmodern}}
\usepackage[margin=18mm]{{geometry}}
\usepackage{{booktabs}}
\usepackage{{graphicx}}
\begin{{document}}
\noindent {escape(title)}
{inputs}
\end{{document}}
"""


# ----------------------------------------------------------------------------------------------
# Layout


def _mark(notes: dict[str, int], note: str) -> str:
    return rf"\textsuperscript{{{_letters(footnote(notes, note) - 1)}}}"


def _letters(i: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    return ("" if i < 26 else _letters(i // 26 - 1)) + chr(ord("a") + i % 26)


def _float(parts: Sequence[Part], caption: str, short: str, label: str) -> list[str]:
    notes: dict[str, int] = {}
    lines = [r"\begin{table*}[!htbp]", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"]
    lines.append(rf"\caption[{{{short}}}]{{{caption}}}{label}")
    heading = ""
    for part in parts:
        above = rf"\par\medskip\textbf{{{escape(part.heading)}}}\par\smallskip"
        lines.append(above if part.heading != heading else r"\par\medskip")
        heading = part.heading
        lines += [FIT, *tabular(part, notes)]
        lines[-1] += "}"
    if notes:
        lines.append(r"\par\smallskip\begin{minipage}{\linewidth}\raggedright\scriptsize")
        lines += [rf"{_mark(notes, note)} {escape(note)}.\par" for note in notes]
        lines.append(r"\end{minipage}")
    return [*lines, r"\end{table*}"]


def tabular(part: Part, notes: dict[str, int]) -> list[str]:
    """The lines of a tabular; notes that are new in it are added to `notes`, with their numbers."""
    align = "".join("l" if name else "r" for name in part.names)
    rows = [" & ".join(_cell(cell, notes) for cell in row) for row in part.rows]
    heads = " & ".join(_header(part, i) for i in range(len(part.headers)))
    begin = [rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}", r"\toprule"]
    body = [rf"{heads} \\", r"\midrule", *(rf"{row} \\" for row in rows)]
    return [*begin, *body, r"\bottomrule", r"\end{tabular}"]


def _header(part: Part, column: int) -> str:
    content = content_width(part.rows, column)
    lines = [escape(line) for line in heading_lines(part.headers[column], content)]
    side, stacked = "l" if part.names[column] else "r", r"\\".join(lines)
    return lines[0] if len(lines) == 1 else rf"\shortstack[{side}]{{{stacked}}}"


def _cell(cell: Cell, notes: dict[str, int]) -> str:
    if cell.kind == LABEL:
        return number(cell.text)
    mark = _mark(notes, cell.note) if cell.note else ""
    if cell.kind == REFERENCE:
        numbers = ", ".join(map(number, cell.text.strip("()").split(", ")))
        return (f"({numbers})" if cell.text.startswith("(") else numbers) + mark
    if cell.record is None:
        return r"\textendash{}"
    return _value(cell) + mark


def _value(cell: Cell) -> str:
    if "e" in cell.text and "e" in cell.error:
        return _scientific(cell)
    text = rf"\textbf{{\boldmath {number(cell.text)}}}" if cell.best else number(cell.text)
    text += rf" $\pm$ {number(cell.error)}" if cell.error else ""
    return text + (rf" {{[}}{number(cell.within)}{{]}}" if cell.within else "")


def _scientific(cell: Cell) -> str:
    """A value and its errors times one power of ten."""
    digits, power = cell.text.split("e")
    errors = (cell.error, cell.within)
    scaled = (float(Decimal(t).scaleb(-int(power))) if t else None for t in errors)
    error, within = ("" if e is None else with_decimals(e, 2) for e in scaled)
    digits = rf"\mathbf{{{digits}}}" if cell.best else digits
    inside = rf"\,[{within}]" if within else ""
    return rf"$({digits} \pm {error}{inside}) \times 10^{{{int(power)}}}$"


# ----------------------------------------------------------------------------------------------
# Captions and notes


def _title(table: Table) -> str:
    """The title without its number, as `Table 1: reconstruction`: a paper numbers its tables itself."""
    match = re.fullmatch(r"((?:Table|Section|Figure|Appendix) [\w.]+): (.+)", table.title)
    if match is None:
        return rf"\textbf{{{escape(table.title)}}}"
    return rf"\textbf{{{escape(_capital(match[2]))}}} (as {escape(f'{match[1]} of {PAPER}')})"


def _caption(table: Table, shared: Mapping[str, str]) -> str:
    """The title, what the table shows, and the facts that its numbers share, but for long ones."""
    told = {key: text for key, text in shared.items() if key not in NOT_IN_CAPTIONS}
    said = (f"{_capital(key)}: {text}.".replace("; ", ", ") for key, text in told.items())
    return joined(_title(table) + ".", *map(escape, (table.caption, legend(table), *said)), by=" ")


def _capital(text: str) -> str:
    """The text with a capital first letter, except for the names of numbers (n, T)."""
    return text[:1].upper() + text[1:] if len(text) > 1 else text


def comment(text: str) -> str:
    """A line of comment in LaTeX: one line, whatever `text` holds."""
    return "% " + "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


# ----------------------------------------------------------------------------------------------
# Text escaped for every encoding and document class, without packages. pdfTeX has no letters of most alphabets: an unsupported
# letter becomes its number, such as [U+4E2D], which keeps names distinct

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}", "|": r"\textbar{}", "`": r"\textquoteleft{}", '"': r"\textquotedblright{}",
    # At the start of a row these would be arguments of the end of the row before.
    "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
SYMBOLS = {
    "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}", "·": r"\ensuremath{\cdot}", "−": r"\ensuremath{-}",
    "√": r"\ensuremath{\surd}", "↑": r"\ensuremath{\uparrow}", "↓": r"\ensuremath{\downarrow}",
    "→": r"\ensuremath{\rightarrow}", "∞": r"\ensuremath{\infty}", "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}", "°": r"\ensuremath{^{\circ}}", "µ": r"\ensuremath{\mu}", "Δ": r"\ensuremath{\Delta}",
    "²": r"\ensuremath{^{2}}", "³": r"\ensuremath{^{3}}", "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}",
    "‘": r"\textquoteleft{}", "’": r"\textquoteright{}", "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}",
    "ß": r"{\ss}", "æ": r"{\ae}", "Æ": r"{\AE}", "œ": r"{\oe}", "Œ": r"{\OE}", "ø": r"{\o}", "Ø": r"{\O}",
    "ł": r"{\l}", "Ł": r"{\L}", "ı": r"{\i}", "§": r"{\S}", "¶": r"{\P}", "©": r"\textcopyright{}",
}  # fmt: skip
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
# Names of the paper, as it typesets them.
MATHS = {"x_T": "$x_T$", "x_0": "$x_0$", "x_t": "$x_t$", "z_sem": r"$z_{\mathrm{sem}}$"}
_MATHS = re.compile(r"(?<![A-Za-z0-9_\\])(x_T|x_0|x_t|z_sem)(?![A-Za-z0-9_])")
_NUMBER = re.compile(r"([-+]?)(\d[\d,]*(?:\.\d+)?|\.\d+)(?:e([-+]\d+))?")
_LIGATURE = re.compile(r"([-,'])(?=\1)")  # two of these would be another character


def escape(text: str) -> str:
    """`text` from outside on one line."""
    parts = _MATHS.split(" ".join(unicodedata.normalize("NFC", text).split()))
    return "".join(MATHS[part] if i % 2 else _plain(part) for i, part in enumerate(parts))


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


def _plain(text: str) -> str:
    return _LIGATURE.sub(r"\1{}", "".join(map(_character, text)))


def _character(c: str) -> str:
    if c in SPECIAL:
        return SPECIAL[c]
    if c.isascii() and c.isprintable():
        return c
    return SYMBOLS.get(c) or _accented(c) or f"{{[}}U+{ord(c):04X}{{]}}"


def _accented(c: str) -> str:
    """A letter with one accent, spelt as an accent and a letter."""
    parts = unicodedata.normalize("NFD", c)
    if len(parts) != 2 or not parts[0].isascii() or parts[1] not in ACCENTS:
        return ""
    letter = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
    return rf"\{ACCENTS[parts[1]]}{{{letter}}}"
