"""Parts of made pages: tables, escaped text, and what the docstring of a dataclass says about its fields."""

import inspect
import re
from collections.abc import Iterable, Sequence

CODE = re.compile(r"(`[^`]*`)|[<*$]|(?<!\w)_")


def table(rows: Iterable[Sequence[str]], heads: Sequence[str]) -> str:
    """A table in Markdown without padding, so that one long cell does not widen every line."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(re.sub(" +", " ", f"| {' | '.join(line)} |") for line in lines)


def meanings_of(kind: type) -> dict[str, str]:
    """The meaning of each field, from lines of a name, two or more spaces and a text.

    A text may continue on indented lines.
    """
    meanings: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        if match := re.match(r"(\w+) {2,}(.+)", line):
            name = match[1]
            meanings[name] = match[2]
        elif name and line.startswith("  "):
            meanings[name] += " " + line.strip()
        else:
            name = ""
    return meanings


def escaped(text: str) -> str:
    """Text with its marks of Markdown escaped, but not those in code: indented lines and backticks."""
    return "\n".join(
        line if line.startswith("    ") else CODE.sub(lambda m: m[0] if m[1] else f"\\{m[0]}", line)
        for line in text.splitlines()
    )
