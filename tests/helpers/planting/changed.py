"""What changed in the packages since a commit, and a sample of the mutations of that."""

import ast
import hashlib
import io
import math
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .mutations import Mutation, applied, mutations
from .runner import tracked
from .source import Source

PACKAGES = ("diffae", "probes", "benchmarks", "reports")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Unit:
    """A function, or another statement of a class or a module.

    `name` is its qualified name, or that of the class; `lines` are its own, or those of the class or the module.
    """

    name: str
    node: ast.stmt
    lines: range

    @property
    def statements(self) -> int:
        return sum(isinstance(node, ast.stmt) for node in ast.walk(self.node))

    def content(self) -> tuple[str, str]:
        """What is the same where only the place, the layout or a docstring differs."""
        copy = ast.parse(ast.unparse(self.node))
        for node in ast.walk(copy):
            if isinstance(node, Function) and ast.get_docstring(node) is not None:
                del node.body[0]
        return self.name, ast.dump(copy)


@dataclass(frozen=True)
class Planted:
    """A mutation in a file: the name of its function, the lines that a test must reach, the text of the file with it."""

    file: str
    unit: str
    lines: range
    mutation: Mutation
    text: str


def units(tree: ast.Module) -> Iterator[Unit]:
    """All functions and methods, and all other statements of modules and classes but imports."""

    def of(body: Sequence[ast.stmt], prefix: str, within: range) -> Iterator[Unit]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from of(node.body, f"{prefix}{node.name}.", _lines(node))
            elif isinstance(node, Function):
                yield Unit(prefix + node.name, node, _lines(node))
            elif not isinstance(node, ast.Import | ast.ImportFrom):
                yield Unit(prefix.rstrip("."), node, within)

    end = max((node.end_lineno or 0 for node in tree.body), default=0)
    return of(tree.body, "", range(1, end + 1))


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def files_at(commit: str, root: Path) -> dict[str, str]:
    """The Python files of the packages at a commit: path -> text.

    Raises ValueError with what git says.
    """
    has = subprocess.run(
        ["git", "ls-tree", "--name-only", commit, *PACKAGES],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if has.returncode:
        raise ValueError(has.stderr.strip())
    command = ["git", "archive", commit, *has.stdout.split()]
    archive = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            member.name: data.read().decode()
            for member in tar
            if member.name.endswith(".py") and (data := tar.extractfile(member))
        }


def files_of(root: Path) -> dict[str, str]:
    """The Python files of the packages in the working tree, if git tracks them: path -> text."""
    paths = (name for name in tracked(root, *PACKAGES) if name.endswith(".py"))
    return {name: (root / name).read_text() for name in paths}


def changed(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, list[Unit]]:
    """The units of each new file that are nowhere in the old ones with the same name and content."""
    known = {unit.content() for text in old.values() for unit in units(ast.parse(text))}
    found = {
        path: [unit for unit in units(ast.parse(text)) if unit.content() not in known]
        for path, text in new.items()
    }
    return {path: here for path, here in found.items() if here}


def defaults(texts: Iterable[str]) -> dict[str, frozenset[str]]:
    """For the name of each function and class: the parameters and fields that have a default in any of that name."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                found.setdefault(node.name, set()).update(_with_default(node.args))
            elif isinstance(node, ast.ClassDef):
                own = found.setdefault(node.name, set())
                for inner in node.body:
                    if isinstance(inner, ast.AnnAssign) and inner.value:
                        own.add(ast.unparse(inner.target))
                    elif isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                        own.update(_with_default(inner.args))
    return {name: frozenset(names) for name, names in found.items()}


def _with_default(arguments: ast.arguments) -> Iterator[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    yield from (each.arg for each in positional[len(positional) - len(arguments.defaults) :])
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from (each.arg for each, default in keywords if default is not None)


def sample(
    files: Mapping[str, str], changed: Mapping[str, Sequence[Unit]], count: int | None, seed: int
) -> list[Planted]:
    """`count` mutations of the changed units, or all of them.

    A function is as likely as it has statements, then each kind of mutation that it has, then each of these. Which
    are drawn depends on the seed and on the functions alone: where some of these change, the others' mostly stay
    (Efraimidis and Spirakis, 2006: the least of -log(u) / p, with u from a hash).
    """
    with_default = defaults(files.values())
    sources = {path: Source(files[path]) for path in changed}
    drawn: list[tuple[float, str, Unit, Mutation]] = []
    for path, those in changed.items():
        for unit in those:
            found = list(mutations(sources[path], unit.node, with_default))
            number = Counter(mutation.kind for mutation in found)
            of_kind = unit.statements / len(number) if number else 0.0
            for mutation in found:
                key = _key(seed, path, unit, sources[path], mutation)
                drawn.append(
                    (-math.log(key) * number[mutation.kind] / of_kind, path, unit, mutation)
                )
    drawn.sort(key=lambda each: each[0])
    planted = (
        Planted(path, unit.name, _to_reach(unit, mutation), mutation, text)
        for _, path, unit, mutation in drawn
        if (text := applied(sources[path], mutation)) is not None
    )
    if count is None:
        return sorted(
            planted, key=lambda each: (each.file, each.mutation.lines, each.mutation.edits)
        )
    return [each for each, _ in zip(planted, range(count), strict=False)]


def _to_reach(unit: Unit, mutation: Mutation) -> range:
    """The lines of the changed statement; those of the unit where that runs on import, as defaults do."""
    first, last = mutation.lines
    in_body = isinstance(unit.node, Function) and first > unit.node.lineno
    return range(first, last + 1) if in_body else unit.lines


def _key(seed: int, path: str, unit: Unit, source: Source, mutation: Mutation) -> float:
    """A number in (0, 1) that a mutation has wherever its function is in its file."""
    start = source.span(unit.node)[0]
    edits = [(place - start, end - start, new) for place, end, new in mutation.edits]
    words = repr((seed, path, unit.name, mutation.kind, edits))
    return (int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]) + 1) / (2**64 + 2)
