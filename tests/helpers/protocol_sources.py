"""The lines that protocols name as sources, and whether they stand in the functions named with them.

PYTHONPATH=. python tests/helpers/protocol_sources.py CLONES     looks all of them up in clones of
                                                                 the repositories: CLONES/OWNER/NAME

A source has parts, separated by "; ", and may end with remarks in parentheses:

    l.59, l.62 in evaluate_tokenizer                lines of the file that `code` names
    src/eval/utils.py l.89 in LPIPS.__init__        of another one
    l.6 at module level
    README.md l.50 "torch-fidelity"                 where there are no functions: a text of the line
    env.yaml@386becd l.261 "torchmetrics==0.7.3"    of another commit
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.metrics.protocols import edits, schema
from benchmarks.metrics.protocols.library import Head

LINES = r"l\.\d+(?:-\d+)?"
PART = (
    r"(?:(?P<file>[\w./-]+\.\w+)(?:@(?P<commit>[0-9a-f]{7,40}))? )?"
    rf"(?P<lines>{LINES}(?:, {LINES})*) (?P<place>in [\w.]+|at module level|\"[^\"]+\")"
)
REMARK = r" \([^()]+\)"
MODULE = "at module level"


@dataclass(frozen=True)
class Part:
    """Lines (first, last) of one file; `commit` is empty for that of the protocol."""

    file: str
    commit: str
    lines: tuple[tuple[int, int], ...]
    place: str


def parts(source: str) -> list[Part]:
    """The parts of a source as `Protocol.sources` has it, behind the repository.

    Raises ValueError if it has another form.
    """
    text = re.sub(rf"(?:{REMARK})+$", "", source.partition(" ")[2])
    found, file = [], ""
    for one in text.split("; "):
        match = re.fullmatch(PART, one)
        if match is None or not (file := match["file"] or file):
            raise ValueError(f"not FILE l.LINE in FUNCTION: {one!r}")
        spans = [span[2:].partition("-") for span in match["lines"].split(", ")]
        lines = tuple((int(first), int(last or first)) for first, _, last in spans)
        found.append(Part(file, match["commit"] or "", lines, match["place"]))
    return found


def place(text: str, line: int) -> str:
    """Where a line of Python stands: the innermost function or class, with those around it."""
    names: list[str] = []
    nodes: list[ast.AST] = [ast.parse(text)]
    while nodes:
        inner = [n for node in nodes for n in ast.iter_child_nodes(node)]
        nodes = [
            n for n in inner if getattr(n, "lineno", line) <= line <= getattr(n, "end_lineno", line)
        ]
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        names += [n.name for n in nodes if isinstance(n, kinds)]
    return f"in {'.'.join(names)}" if names else MODULE


def wrong(part: Part, text: str) -> str:
    """What is wrong with a part, whose file has this text; empty if nothing is."""
    rows = text.splitlines()
    numbers = [number for first, last in part.lines for number in range(first, last + 1)]
    if max(numbers) > len(rows):
        return f"{part.file} has {len(rows)} lines"
    if part.place.startswith('"'):
        told = "\n".join(rows[number - 1] for number in numbers)
        return "" if part.place.strip('"') in told else f"{part.file}: no {part.place} in {told!r}"
    stand = {place(text, n) for n in numbers if rows[n - 1].strip()}
    return "" if stand == {part.place} else f"{part.file}: {sorted(stand)}, not {part.place}"


def faults(
    name: str, read: Callable[[Part], str], named: Callable[[str], Head] = schema.named
) -> Iterator[str]:
    """What is wrong with the sources of a protocol, by field; `read` gives the text of a file."""
    for field, source in named(name).sources.items():
        for part in parts(source):
            if fault := wrong(part, read(part)):
                yield f"{name} {field} {part.lines}: {fault}"


def main(clones: Path) -> int:
    found = []
    libraries = {name: one for one in (schema, edits) for name in one.names()}
    for name, library in libraries.items():
        protocol = library.named(name)
        if not protocol.commit:
            continue
        folder = clones / protocol.code.partition("@")[0]

        def read(part: Part, folder: Path = folder, commit: str = protocol.commit) -> str:
            named = f"{part.commit or commit}:{part.file}"
            shown = subprocess.run(["git", "-C", folder, "show", named], capture_output=True)
            return shown.stdout.decode() if shown.returncode == 0 else ""

        found += faults(name, read, library.named)
    print("\n".join(found) or "every line stands where its source says")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
