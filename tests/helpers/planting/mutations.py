"""Mutations of a piece of Python: single changes of its syntax tree, each made in the text at its node's place.

A mutation is of one of KINDS. None is in a docstring, an annotation, a decorator, a message (a formatted string,
what is raised, printed or logged) or an `assert`. That one compiles and is another program is checked by `applied`.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

KINDS = {
    "operator": "another operator: + for -, `or` for `and`; `not` or a sign left out",
    "comparison": "another comparison: < for <=, == for !=, `is` for `is not`, `in` for `not in`",
    "constant": "a number plus 1, doubled or 0; True for False; a key or a compared string that is another",
    "term": "a term of a sum or a factor of a product left out",
    "statement": "a statement left out",
    "argument": "a keyword argument left out",
    "swap": "two neighbouring arguments exchanged",
    "falsy": "`not x` for `x is None`, `x or y` for `x if x is not None else y`",
    "axis": "another axis",
    "dtype": "float32 for float64",
    "operands": "b - a for a - b",
    "condition": "an operand of `and` or a filter made True, one of `or` made False",
    "correction": "ddof or correction 0 for 1",
}
OPERATORS: Mapping[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
}
COMPARISONS: Mapping[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: (r"is\s+not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: (r"not\s+in", "in"),
}
NOT_COMMUTATIVE = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)
AXES = {0: (1,), 1: (0, -1), -1: (0,)}
REDUCTIONS = frozenset(
    "all any argmax argmin argsort cat cumsum flip max mean median min norm prod softmax sort squeeze stack std sum "
    "unsqueeze var".split()
)
UNLIKE = frozenset(
    {"getattr", "hasattr", "isinstance", "issubclass", "setattr"}
)  # of unlike arguments
MESSAGES = frozenset({"print", "log", "logger", "logging", "warnings"})

Edit = tuple[int, int, str]  # the characters from start to end become a text


@dataclass(frozen=True)
class Mutation:
    """One change of a file's text; `lines` are the first and the last of the statement that it changes."""

    kind: str
    lines: tuple[int, int]
    edits: tuple[Edit, ...]


class Source:
    """The text of a file, its syntax tree, and the place of each node in characters."""

    def __init__(self, text: str):
        self.text = text
        self.tree = ast.parse(text)

    @cached_property
    def _lines(self) -> tuple[list[int], list[str]]:
        lines = self.text.splitlines(keepends=True)
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line))
        return starts, lines

    def _offset(self, line: int, column: int) -> int:
        starts, lines = self._lines
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        """The first character of a node, and the one after its last."""
        assert isinstance(node, ast.stmt | ast.expr | ast.keyword | ast.arg)
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self._offset(node.lineno, node.col_offset)
        return start, self._offset(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def operand(self, node: ast.AST) -> str:
        """The text of an expression that may stand beside any operator."""
        loose = isinstance(
            node, ast.BinOp | ast.BoolOp | ast.Compare | ast.IfExp | ast.Lambda | ast.UnaryOp
        )
        return f"({self.of(node)})" if loose else self.of(node)

    def in_brackets(self, node: ast.AST) -> bool:
        start, end = self.span(node)
        return self.text[:start].rstrip()[-1:] == "(" and self.text[end:].lstrip()[:1] == ")"


def applied(source: Source, mutation: Mutation) -> str | None:
    """The text with a mutation, or None where that is no Python or the same program."""
    text = source.text
    for start, end, new in sorted(mutation.edits, reverse=True):
        text = text[:start] + new + text[end:]
    try:
        compile(text, "mutated", "exec")
    except SyntaxError:
        return None
    return None if ast.dump(ast.parse(text)) == ast.dump(source.tree) else text


def mutations(
    source: Source, unit: ast.stmt, defaults: Mapping[str, frozenset[str]] | None = None
) -> Iterator[Mutation]:
    """All mutations of a function or of another statement.

    `defaults` has the parameters that have a default, for each function whose parameters are known: no argument
    is left out that must be there.
    """
    found: set[Mutation] = set()
    for statement, node, parents in _nodes(unit):
        for kind, edits in _of(source, node, parents, defaults or {}):
            mutation = Mutation(kind, _lines(statement), tuple(edits))
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
    return _is_message(node) and _name(node.value.func) != "print"  # type: ignore[attr-defined]


def _is_message(node: ast.AST) -> bool:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    return ast.unparse(node.value.func).split(".")[0] in MESSAGES


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(name) | ast.Attribute(_, name):
            return name
    return ""


# ----------------------------------------------------------------------------------------------
# What they are


def _of(
    source: Source,
    node: ast.AST,
    parents: Sequence[ast.AST],
    defaults: Mapping[str, frozenset[str]],
) -> Iterator[tuple[str, list[Edit]]]:
    parent = parents[-1] if parents else None
    match node:
        case ast.BinOp():
            yield from _arithmetic(source, node, parent)
        case ast.BoolOp():
            yield from _logic(source, node)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield "operator", [(*source.span(node), source.operand(operand))]
        case ast.Compare():
            yield from _comparison(source, node)
        case ast.IfExp():
            yield from _choice(source, node)
        case ast.Constant():
            yield from _constant(source, node, parents)
        case ast.Call():
            yield from _call(source, node, defaults.get(_name(node.func)))
        case ast.Attribute(_, "float64" | "double"):
            end = source.span(node)[1]
            new = "float32" if node.attr == "float64" else "float"
            yield "dtype", [(end - len(node.attr), end, new)]
        case ast.comprehension(ifs=filters):
            yield from (("condition", [(*source.span(each), "True")]) for each in filters)
        case ast.stmt():
            yield from _statement(source, node, parents)


def _arithmetic(
    source: Source, node: ast.BinOp, parent: ast.AST | None
) -> Iterator[tuple[str, list[Edit]]]:
    if _is_text(node.left) or _is_text(node.right):
        return  # texts and paths
    start, end = source.span(node)
    left, right = source.operand(node.left), source.operand(node.right)
    within = isinstance(parent, ast.BinOp | ast.UnaryOp) and not source.in_brackets(node)

    def whole(text: str) -> list[Edit]:
        return [(start, end, f"({text})" if within else text)]

    if type(node.op) in OPERATORS:
        yield "operator", whole(f"{left} {OPERATORS[type(node.op)][1]} {right}")
    if isinstance(node.op, NOT_COMMUTATIVE) and left != right:
        symbol = OPERATORS.get(type(node.op), ("@",))[0]
        yield "operands", whole(f"{right} {symbol} {left}")
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
        yield "term", [(start, end, left)]
    if isinstance(node.op, ast.Add | ast.Mult):
        yield "term", [(start, end, right)]
    if isinstance(node.op, ast.Sub):
        yield "term", whole(f"-{right}")


def _logic(source: Source, node: ast.BoolOp) -> Iterator[tuple[str, list[Edit]]]:
    old, new, neutral = (
        ("and", "or", "True") if isinstance(node.op, ast.And) else ("or", "and", "False")
    )
    gaps = [_between(source, *sides, old, new) for sides in pairwise(node.values)]
    yield "operator", gaps
    for value in node.values:
        yield "condition", [(*source.span(value), neutral)]


def _comparison(source: Source, node: ast.Compare) -> Iterator[tuple[str, list[Edit]]]:
    sides = [node.left, *node.comparators]
    for op, (one, other) in zip(node.ops, pairwise(sides), strict=True):
        old, new = COMPARISONS[type(op)]
        yield "comparison", [_between(source, one, other, old, new)]
    match node:
        case ast.Compare(left, [ast.Is()], [ast.Constant(None)]):
            yield "falsy", [(*source.span(node), f"(not {source.operand(left)})")]
        case ast.Compare(left, [ast.IsNot()], [ast.Constant(None)]):
            yield "falsy", [(*source.span(node), f"bool({source.of(left)})")]


def _between(source: Source, one: ast.AST, other: ast.AST, old: str, new: str) -> Edit:
    """The edit that puts another operator between two operands."""
    start, end = source.span(one)[1], source.span(other)[0]
    found = re.compile(rf"\b{old}\b" if old[0].isalpha() else re.escape(old)).search(
        source.text, start, end
    )
    assert found
    return (*found.span(), new)


def _choice(source: Source, node: ast.IfExp) -> Iterator[tuple[str, list[Edit]]]:
    match node.test:
        case ast.Compare(left, [ast.IsNot()], [ast.Constant(None)]):
            kept, other = node.body, node.orelse
        case ast.Compare(left, [ast.Is()], [ast.Constant(None)]):
            kept, other = node.orelse, node.body
        case _:
            return
    if ast.dump(kept) == ast.dump(left) and not (
        isinstance(other, ast.Constant) and other.value is None
    ):
        text = f"{source.operand(left)} or {source.operand(other)}"
        yield "falsy", [(*source.span(node), text if source.in_brackets(node) else f"({text})")]


def _constant(
    source: Source, node: ast.Constant, parents: Sequence[ast.AST]
) -> Iterator[tuple[str, list[Edit]]]:
    value, place = node.value, source.span(node)
    within = _keyword(parents)
    if isinstance(value, bool):
        yield "constant", [(*place, str(not value))]
    elif isinstance(value, int | float):
        if within in ("ddof", "correction"):
            yield "correction", [(*place, str(int(not value)))]
        elif within not in ("dim", "axis"):
            others = dict.fromkeys(other for other in (value + 1, value * 2, 0) if other != value)
            yield from (("constant", [(*place, repr(other))]) for other in others)
    elif value in ("float64", "double"):
        yield "dtype", [(*place, '"float32"')]
    elif isinstance(value, str) and _is_looked_up(node, parents):
        yield "constant", [(*place, json.dumps(value + "_"))]


def _keyword(parents: Sequence[ast.AST]) -> str | None:
    """The name of the argument that a constant is, be it negative."""
    above = [parent for parent in parents if not isinstance(parent, ast.UnaryOp)][-1:]
    return above[0].arg if above and isinstance(above[0], ast.keyword) else None


def _is_looked_up(node: ast.Constant, parents: Sequence[ast.AST]) -> bool:
    """Whether a text is compared or is a key, alone or in a tuple."""
    chain = [parent for parent in parents if not isinstance(parent, ast.Tuple | ast.Set | ast.List)]
    match chain[-1] if chain else None:
        case ast.Compare() | ast.Subscript():
            return True
        case ast.Dict(keys):
            return any(key is node for key in keys)
        case ast.Call(ast.Attribute(_, "get" | "pop" | "setdefault"), [first, *_]):
            return first is node
    return False


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _call(
    source: Source, node: ast.Call, defaults: frozenset[str] | None
) -> Iterator[tuple[str, list[Edit]]]:
    values = [keyword.value for keyword in node.keywords if keyword.arg]
    for one, other in (*pairwise(node.args), *pairwise(values)):
        if _is_exchanged(one, other) and _name(node.func) not in UNLIKE:
            edits = [(*source.span(one), source.of(other)), (*source.span(other), source.of(one))]
            yield "swap", edits
    for keyword in node.keywords:
        if (
            keyword.arg
            and keyword.arg != "strict"
            and (defaults is None or keyword.arg in defaults)
        ):
            yield "argument", [_without(source, keyword)]
        if keyword.arg in ("dim", "axis"):
            yield from _axis(source, keyword.value)
    if _name(node.func) in REDUCTIONS:
        yield from (each for value in node.args for each in _axis(source, value))


def _is_exchanged(one: ast.expr, other: ast.expr) -> bool:
    """Whether two arguments differ and could be taken for each other: a text and a number could not."""
    starred = isinstance(one, ast.Starred) or isinstance(other, ast.Starred)
    return not starred and _is_text(one) == _is_text(other) and ast.dump(one) != ast.dump(other)


def _without(source: Source, keyword: ast.keyword) -> Edit:
    """The edit that leaves an argument out, with the comma before it or, if it is the first, after it."""
    start, end = source.span(keyword)
    before = source.text[:start].rstrip()
    if before.endswith(","):
        return (len(before) - 1, end, "")
    return (start, end + len(re.match(r"\s*,?\s*", source.text[end:])[0]), "")  # type: ignore[index]


def _axis(source: Source, value: ast.expr) -> Iterator[tuple[str, list[Edit]]]:
    try:
        axis = ast.literal_eval(value)
    except ValueError:
        return
    if type(axis) is int:
        for other in AXES.get(axis, ()):
            yield "axis", [(*source.span(value), str(other))]


def _statement(
    source: Source, node: ast.stmt, parents: Sequence[ast.AST]
) -> Iterator[tuple[str, list[Edit]]]:
    match node:
        case ast.With(items, body) if all(item.optional_vars is None for item in items):
            head = source.text[source.span(node)[0] : source.span(body[0])[0]]
            indent = re.search(r":[^:]*$", head)
            assert indent
            yield (
                "statement",
                [(source.span(node)[0], source.span(body[0])[0], "if True" + indent[0])],
            )
        case ast.Assign(targets) if _binds_first(targets, node, parents):
            return  # what follows would not find the name
        case ast.If(orelse=[]) | ast.Assign() | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield "statement", [(*source.span(node), "pass")]
        case ast.Expr() | ast.Break() | ast.Continue():
            yield "statement", [(*source.span(node), "pass")]


def _binds_first(targets: Sequence[ast.expr], node: ast.stmt, parents: Sequence[ast.AST]) -> bool:
    """Whether an assignment is the first of one of its names."""
    names = {name for target in targets for name in _stored(target)}
    function = next((each for each in parents if isinstance(each, ast.FunctionDef)), None)
    if function is None:
        return bool(names)
    before = {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)}
    before |= {
        name for each in ast.walk(function) if _line(each) < node.lineno for name in _stored(each)
    }
    return bool(names - before)


def _stored(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node) if isinstance(node, ast.expr) else ():
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", sys.maxsize)
