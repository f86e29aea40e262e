"""The pages `api/MODULE`: the public names of each module, with their signatures and docstrings."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from types import ModuleType

from benchmarks.reference.tables import escaped

OURS = ("benchmarks", "diffae", "reports")  # packages whose inherited methods are shown
WIDEST = 88


def page(module: str) -> str:
    loaded = importlib.import_module(module)
    parts = [f"# {module}", escaped(inspect.getdoc(loaded) or "")]
    for name, value in public(loaded):
        level = "###" if "." in name else "##"
        parts += [f"{level} `{name}`", f"```python\n{declaration(name, value)}\n```"]
        parts.append(escaped(in_columns(docstring(value))))
    return "\n\n".join(part for part in parts if part) + "\n"


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The public names of a module, and those of its classes as "Class.method", inherited ones too."""
    for name in module.__all__:
        value = getattr(module, name)
        yield name, value
        bases = inspect.getmro(value)[::-1] if inspect.isclass(value) else ()
        members: dict[str, object] = {}
        for base in bases:
            if base.__module__.startswith(OURS):
                members |= {key: member for key, member in vars(base).items() if key[0] != "_"}
        for key, member in members.items():
            if callable(function_of(member)):
                yield f"{name}.{key}", member


def function_of(value: object) -> object:
    """The function behind a property, a cached one, a class method or a static method."""
    for attribute in ("fget", "func", "__func__"):
        value = getattr(value, attribute, value)
    return value


def docstring(value: object) -> str:
    """Its own docstring; "" for a constant, whose class has one."""
    function = function_of(value)
    is_own = inspect.isclass(function) or inspect.isroutine(function)
    return (inspect.getdoc(function) or "") if is_own else ""


def in_columns(text: str) -> str:
    """A docstring whose paragraphs of names and meanings in columns are indented, so that they are shown so."""
    paragraphs = text.split("\n\n")
    is_table = [re.match(r"\w+ {2,}\S", paragraph) for paragraph in paragraphs]
    shown = zip(paragraphs, is_table, strict=True)
    return "\n\n".join(textwrap.indent(p, "    ") if table else p for p, table in shown)


def declaration(name: str, value: object) -> str:
    """How a name is defined: the signature of a function, the fields of a class, or a value."""
    short = name.rpartition(".")[2]
    function = function_of(value)
    if inspect.isclass(function):
        return _class(short, function)
    if not inspect.isfunction(function):
        text = repr(value)
        return f"{short}: {type(value).__name__}" if text[0] == "<" else f"{short} = {text}"
    node = _parsed(function)
    assert isinstance(node, ast.FunctionDef)
    if callable(value) or isinstance(value, classmethod | staticmethod):
        return _signature(f"def {short}", node)
    return f"{short}: {_written(node.returns)}"  # a property


def _class(name: str, kind: type) -> str:
    """The fields of a dataclass, or the arguments of another class."""
    if is_dataclass(kind):
        node = _parsed(kind)
        assert isinstance(node, ast.ClassDef)
        fields = [ast.unparse(line) for line in node.body if isinstance(line, ast.AnnAssign)]
        return "\n    ".join([f"class {name}:", *(fields or ["..."])])
    constructor = inspect.getattr_static(kind, "__init__")
    if not inspect.isfunction(constructor):  # as of an exception
        return f"class {name}"
    node = _parsed(constructor)
    assert isinstance(node, ast.FunctionDef)
    return _signature(f"class {name}", node, returns=False)


def _signature(start: str, node: ast.FunctionDef, returns: bool = True) -> str:
    """The arguments of a function and what it returns, on several lines if they are long."""
    arguments = [text for text in _arguments(node.args) if text not in ("self", "cls")]
    end = f" -> {_written(node.returns)}" if returns else ""
    line = f"{start}({', '.join(arguments)}){end}"
    if len(line) <= WIDEST:
        return line
    return "\n".join([f"{start}(", *(f"    {text}," for text in arguments), f"){end}"])


def _arguments(arguments: ast.arguments) -> list[str]:
    """The arguments as they are written, with the marks of those that are by position or by name."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults]
    texts = [_argument(*pair) for pair in zip(positional, defaults, strict=True)]
    if arguments.posonlyargs:
        texts.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg:
        texts.append(f"*{ast.unparse(arguments.vararg)}")
    elif arguments.kwonlyargs:
        texts.append("*")
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    texts += [_argument(*pair) for pair in named]
    return texts + ([f"**{ast.unparse(arguments.kwarg)}"] if arguments.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation:
        text += f": {_written(argument.annotation)}"
    if default is None:
        return text
    return (
        f"{text} = {ast.unparse(default)}"
        if argument.annotation
        else f"{text}={ast.unparse(default)}"
    )


def _written(node: ast.expr | None) -> str:
    """A type as it is written, without quotes."""
    return ast.unparse(node).strip("'") if node else "None"


def _parsed(definition: type | Callable[..., object]) -> ast.stmt:
    return ast.parse(textwrap.dedent(inspect.getsource(definition))).body[0]
