"""The kinds of mutation: what each makes of a node of a syntax tree, as edits of the text."""

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from .source import Edit, Source, name_of

KINDS = {
    "operator": "another operator: + for -, `or` for `and`, max for min; `not` or a sign left out",
    "comparison": "another comparison: < for <=, == for !=, `is` for `is not`, `in` for `not in`",
    "constant": "a number plus 1, doubled or 0; True for False; a key or a compared string that is another",
    "term": "a term of a sum or a factor of a product left out",
    "element": "an item of a list, a dict or a tuple of constants left out, or a bound of a slice",
    "call": "x for f(x) or x.f(), where both are of one type",
    "statement": "a statement left out",
    "argument": "a keyword argument left out",
    "swap": "two neighbouring arguments exchanged",
    "falsy": "`not x` for `x is None`, `x or y` for `x if x is not None else y`",
    "axis": "another axis",
    "dtype": "float32 for float64",
    "operands": "b - a for a - b",
    "condition": "an operand of `and`, a filter or a test made True, an operand of `or` or a test made False",
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
FUNCTIONS = {"min": "max", "any": "all", "floor": "ceil", "argmin": "argmax", "minimum": "maximum"}
FUNCTIONS |= {other: name for name, other in FUNCTIONS.items()}
AXES = {0: (1,), 1: (0, -1), -1: (0,)}
REDUCTIONS = frozenset(
    "all any argmax argmin argsort cat cumsum flip max mean median min norm prod softmax sort squeeze stack std sum "
    "unsqueeze var".split()
)
ALIKE = frozenset(
    "abs as_posix ceil clamp clip clone copy deepcopy detach double exp expanduser flip float floor frozenset list "
    "log log1p lower max mean median min normalize permute removeprefix removesuffix resolve reversed round set "
    "softmax sorted sqrt square strip sum transpose tuple upper".split()
)  # functions and methods that return something like what they are given
UNLIKE = frozenset("getattr hasattr isinstance issubclass setattr".split())  # their arguments


def edits(
    source: Source,
    node: ast.AST,
    parents: Sequence[ast.AST],
    defaults: Mapping[str, frozenset[str]],
) -> Iterator[tuple[str, list[Edit]]]:
    """The mutations of a node itself, as its kind and its edits; `parents` end with the next one.

    `defaults`: see `mutations`.
    """
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
            yield from _test(source, node.test, ("True", "False"))
            yield from _choice(source, node)
        case ast.List() | ast.Set() | ast.Dict() | ast.Tuple():
            yield from _elements(source, node, parent)
        case ast.Slice():
            bounds = [each for each in (node.lower, node.upper, node.step) if each]
            yield from (("element", [(*source.span(each), "")]) for each in bounds)
        case ast.Constant():
            yield from _constant(source, node, parents)
        case ast.Call():
            yield from _call(source, node, defaults.get(name_of(node.func)))
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


def _test(
    source: Source, test: ast.expr, values: Sequence[str]
) -> Iterator[tuple[str, list[Edit]]]:
    if not any(isinstance(each, ast.NamedExpr) for each in ast.walk(test)):
        yield from (("condition", [(*source.span(test), value)]) for value in values)


def _elements(
    source: Source, node: ast.List | ast.Set | ast.Dict | ast.Tuple, parent: ast.AST | None
) -> Iterator[tuple[str, list[Edit]]]:
    if isinstance(node, ast.Dict):
        starts = [key or value for key, value in zip(node.keys, node.values, strict=True)]
        items = list(zip(starts, node.values, strict=True))
    elif isinstance(node, ast.Tuple) and not all(isinstance(e, ast.Constant) for e in node.elts):
        return  # mostly unpacked
    else:
        items = [(each, each) for each in node.elts]
    if isinstance(getattr(node, "ctx", None), ast.Store) or isinstance(parent, ast.Subscript):
        return
    for first, last in items:
        start, end = source.span(first)[0], source.span(last)[1]
        if isinstance(node, ast.Dict) and first is last:  # **value
            start = source.text.rindex("**", 0, start)
        yield "element", [_without(source, start, end)]


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
        if _is_exchanged(one, other) and name_of(node.func) not in UNLIKE:
            edits = [(*source.span(one), source.of(other)), (*source.span(other), source.of(one))]
            yield "swap", edits
    name = name_of(node.func)
    if name in FUNCTIONS:
        end = source.span(node.func)[1]
        yield "operator", [(end - len(name), end, FUNCTIONS[name])]
    yield from _inner(source, node)
    for keyword in node.keywords:
        may_go = keyword.arg not in (None, "strict")
        if may_go and (defaults is None or keyword.arg in defaults):
            yield "argument", [_without(source, *source.span(keyword))]
        if keyword.arg in ("dim", "axis"):
            yield from _axis(source, keyword.value)
    if name_of(node.func) in REDUCTIONS:
        yield from (each for value in node.args for each in _axis(source, value))


def _inner(source: Source, node: ast.Call) -> Iterator[tuple[str, list[Edit]]]:
    """The argument or the object of a function or a method that returns the like."""
    if name_of(node.func) not in ALIKE:
        return
    match node:
        case ast.Call(ast.Attribute(value)) if ast.unparse(value) not in source.modules:
            yield "call", [(*source.span(node), source.of(value))]
        case ast.Call(_, [first, *_]) if not isinstance(first, ast.Starred | ast.GeneratorExp):
            yield "call", [(*source.span(node), source.operand(first))]


def _is_exchanged(one: ast.expr, other: ast.expr) -> bool:
    """Whether two arguments differ and could be taken for each other: a text and a number could not."""
    starred = isinstance(one, ast.Starred) or isinstance(other, ast.Starred)
    return not starred and _is_text(one) == _is_text(other) and ast.dump(one) != ast.dump(other)


def _without(source: Source, start: int, end: int) -> Edit:
    """The edit that leaves an item out, with the comma after it or, if it is the last, before it."""
    after = re.compile(r"\s*,[^\S\n]*").match(source.text, end)
    if after:
        return (start, after.end(), "")
    before = source.text[:start].rstrip()
    return (len(before) - before.endswith(","), end, "")


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
            start, end = source.span(node)[0], source.span(body[0])[0]
            colon = source.text.rindex(":", start, end)
            yield "statement", [(start, colon, "if True")]
        case ast.Assign(targets) if _binds_first(targets, node, parents):
            return  # what follows would not find the name
        case ast.If(test, orelse=orelse):
            yield from _test(source, test, ("True", "False") if orelse else ("True",))
            if not orelse:
                yield "statement", [(*source.span(node), "pass")]
        case ast.AugAssign(target, operator, value):
            if type(operator) in OPERATORS:
                old, new = OPERATORS[type(operator)]
                yield "operator", [_between(source, target, value, f"{old}=", f"{new}=")]
            yield "statement", [(*source.span(node), "pass")]
        case ast.Assign() | ast.Raise() | ast.Delete():
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
