r"""Text escaped for LaTeX, for every encoding and document class, without packages.

    escape(r"50% of \input{x}, a_b")      50\% of \textbackslash{}input\{x\}, a\_b

pdfTeX has no letters of most alphabets: an unsupported letter becomes its number, such as [U+4E2D], which keeps names distinct.
"""

import re
import unicodedata

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
