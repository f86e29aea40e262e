"""Frozen dataclasses as plain data of JSON, and back again: checked field by field, for the file may be anybody's."""

from dataclasses import MISSING, fields, is_dataclass
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from reports.reading import short

T = TypeVar("T")

LONGEST = 2_000  # characters of a text
WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def to_plain(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults: numbers, texts, lists and objects of such."""
    given = ((f, getattr(instance, f.name)) for f in fields(instance))
    return {
        f.name: _plain(value) for f, value in given if f.default is MISSING or value != f.default
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_plain(value)
    return list(value) if isinstance(value, tuple) else value


def from_plain(kind: type[T], content: object) -> T:
    """A dataclass of `kind` from what `to_plain` gave. Raises ValueError, naming the field, of anything else."""
    if not isinstance(content, dict):
        raise ValueError(f"not an object but {short(repr(content), 40)}")
    hints, known = get_type_hints(kind), fields(kind)  # type: ignore[arg-type]
    for name in content:
        if name not in {f.name for f in known}:
            raise ValueError(f"there is no field {short(repr(name), 40)}")
    for f in known:
        if f.default is MISSING and f.name not in content:
            raise ValueError(f"no {f.name}")
    return kind(**{name: _value(hints[name], value, name) for name, value in content.items()})


def _value(hint: Any, value: Any, name: str) -> Any:
    optional = [part for part in get_args(hint) if part is not NoneType]
    if NoneType in get_args(hint):
        return None if value is None else _value(optional[0], value, name)
    if is_dataclass(hint):
        return from_plain(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{name} is {short(repr(value), 40)}, not a list")
        return tuple(_value(optional[0], item, name) for item in value)
    if hint is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not hint or (hint is str and len(value) > LONGEST):
        raise ValueError(f"{name} is {short(repr(value), 40)}, not {WORDS[hint]}")
    return value
