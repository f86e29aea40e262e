"""Convert frozen dataclasses to plain JSON data and back, checking every field.

The file that is read is untrusted.
"""

from dataclasses import MISSING, fields, is_dataclass
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from diffae.system.settings import checked
from reports.records.reading import short

T = TypeVar("T")

LONGEST = 100  # characters quoted of a wrong value


def to_plain(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, as numbers, texts, lists and
    objects of these.
    """
    given = ((f, getattr(instance, f.name)) for f in fields(instance))
    return {
        f.name: _plain(value) for f, value in given if f.default is MISSING or value != f.default
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_plain(value)
    return list(value) if isinstance(value, tuple) else value


def from_plain(kind: type[T], content: object) -> T:
    """Make a dataclass of `kind` from the output of `to_plain`.

    Raises ValueError naming the field for any other data.
    """
    if not isinstance(content, dict):
        raise ValueError(f"not an object but {short(repr(content), 40)}")
    hints, known = get_type_hints(kind), fields(kind)  # type: ignore[arg-type]
    for name in content:
        if name not in {f.name for f in known}:
            raise ValueError(f"there is no field {short(repr(name), 40)}")
    for f in known:
        if f.default is MISSING and f.name not in content:
            raise ValueError(f"no {f.name}")
    given = {}
    for name, value in content.items():
        try:
            given[name] = _value(hints[name], value)
        except ValueError as error:
            raise ValueError(f"{name}: {short(error, LONGEST)}") from None
    return kind(**given)


def _value(hint: Any, value: Any) -> Any:
    parts = [part for part in get_args(hint) if part is not NoneType]
    if NoneType in get_args(hint):
        return None if value is None else _value(parts[0], value)
    if is_dataclass(hint):
        return from_plain(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"must be a list, not {value!r}")
        return tuple(_value(parts[0], item) for item in value)
    return checked(value, hint)
