"""Mutations of a piece of Python: single changes of its syntax tree, each made in the text at its node's place.

A mutation is of one of KINDS. None is in a docstring, an annotation, a decorator, a message (a formatted string,
what is raised, printed or logged) or an `assert`. That one compiles and is another program is checked by `applied`.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .kinds import edits
from .source import Edit, Source, name_of

MESSAGES = frozenset({"print", "log", "logger", "logging", "warnings"})


@dataclass(frozen=True)
class Mutation:
    """One change of a file's text; `lines` are the first and the last of the statement that it changes."""

    kind: str
    lines: tuple[int, int]
    edits: tuple[Edit, ...]


def applied(source: Source, mutation: Mutation) -> str | None:
    """The text with a mutation, or None where that is no Python or the same program."""
    text = source.text
    for start, end, new in sorted(mutation.edits, reverse=True):
        text = text[:start] + new + text[end:]
    try:
        compile(text, "mutated", "exec")
    except SyntaxError:
        return None
    return None if ast.dump(ast.parse(text)) == source.dump else text


def mutations(
    source: Source, unit: ast.stmt, defaults: Mapping[str, frozenset[str]] | None = None
) -> Iterator[Mutation]:
    """All mutations of a function or of another statement.

    `defaults` has the parameters that have a default, for each function whose parameters are known: no argument
    is left out that must be there.
    """
    found: set[Mutation] = set()
    for statement, node, parents in _nodes(unit):
        for kind, made in edits(source, node, parents, defaults or {}):
            mutation = Mutation(kind, _lines(statement), tuple(made))
            if mutation not in found:
                found.add(mutation)
                yield mutation


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """The lines of a statement, without those of its block."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno
    return statement.lineno, max(statement.lineno, last or 0)


# ----------------------------------------------------------------------------------------------
# Where mutations are made


def _nodes(unit: ast.stmt) -> Iterator[tuple[ast.stmt, ast.AST, Sequence[ast.AST]]]:
    """The nodes of a unit, each with the statement that it is in and with its parents, the next one last."""
    stack: list[tuple[ast.stmt, ast.AST, tuple[ast.AST, ...]]] = [(unit, unit, ())]
    while stack:
        statement, node, parents = stack.pop()
        if _is_left_alone(node):
            continue
        yield statement, node, parents
        for child in _children(node):
            inner = child if isinstance(child, ast.stmt) else statement
            stack.append((inner, child, (*parents, node)))


def _children(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Raise) or _is_message(node):
        return []
    without = {"annotation", "returns", "decorator_list", "type_params"}
    if isinstance(node, ast.ClassDef):
        without |= {"bases", "keywords"}
    fields = [value for name, value in ast.iter_fields(node) if name not in without]
    if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: a guard that nothing trips
        return []
    listed = [each for value in fields for each in (value if isinstance(value, list) else [value])]
    return [each for each in listed if isinstance(each, ast.AST)][::-1]


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(ast.Constant()):  # a docstring, or `...`
            return True
        case ast.Assign([ast.Name("__all__")]) | ast.If(ast.Name("TYPE_CHECKING")):
            return True
    return _is_message(node) and name_of(node.value.func) != "print"  # type: ignore[attr-defined]


def _is_message(node: ast.AST) -> bool:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    return ast.unparse(node.value.func).split(".")[0] in MESSAGES
