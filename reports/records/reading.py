"""Words and groups of records, names in one form, the published numbers that ship, and untrusted JSON as
frozen dataclasses: errors in one line, with short and harmless quotations.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from importlib import resources
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from diffae.system.cli import printable
from diffae.system.settings import checked

T = TypeVar("T")
K = TypeVar("K")

# Plain values by name, as JSON has them; what a file holds is checked where it is used.
Fields = Mapping[str, Any]

MEBIBYTE = 1 << 20
LARGEST_TEXT = 16 * MEBIBYTE  # some 40,000 rows; parsed, it takes thirty times as much at worst

# What 0, or for rows 1,000,000,000, says in a field of a protocol.
NONE_OR_ALL = dict.fromkeys(("temperature", "guard", "thresholds", "concepts", "pruned"), "none")
NONE_OR_ALL |= {"most": "all", "neighbours": "chosen for each label"}


def part_of(content: Fields, name: str) -> dict[str, Any]:
    """The object `name` of a JSON object; empty if it has none."""
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def short(value: object, most: int = 80) -> str:
    """`value` as text on one line of at most `most` characters, all of them harmless to a terminal."""
    text = str(value)
    return printable(text if len(text) <= most else f"{text[: most - 4]} ...")


def plain(name: str) -> str:
    """A name in a canonical form: `FFHQ 128`, `ffhq-128` and `ffhq128` are equal."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def rows_of(name: str) -> Iterator[dict[str, str]]:
    """The rows of a file of published numbers that ships."""
    with resources.files("reports").joinpath("published", name).open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


def differing_fields(measured: Fields, published: Fields) -> Iterator[str]:
    """The fields of a published number that differ from those of ours, each by the part of its name after
    the last dot.
    """
    for name, value in published.items():
        if measured.get(name) != value:
            words = name.rpartition(".")[2].replace("_", " ")
            yield f"{words} {value_text(measured.get(name))}, published with {value_text(value)}"


def value_text(value: object) -> str:
    """The value of a field in a list of differences."""
    if value is None:
        return "not recorded"
    return f"{value:,}" if type(value) is int else str(value)


def grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The values by their key, in their order."""
    groups: dict[K, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def joined(*parts: str, by: str = ", ") -> str:
    """The parts that are not empty, separated by commas."""
    return by.join(filter(None, parts))


def number_of(count: int, noun: str) -> str:
    """A count and its noun: "1 file" or "1,200 files"."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def few(texts: Sequence[str], most: int) -> list[str]:
    """The first of some texts, and how many more there are."""
    more = len(texts) - most
    return [*texts[:most], f"{more:,} more"] if more > 0 else list(texts)


def field_text(name: str, value: object) -> str:
    """The value of a protocol's field; a number that stands for none or all of something is a word."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    word = NONE_OR_ALL.get(name.rpartition(".")[2]) if is_number and value in (0, 10**9) else None
    return word or str(value)


def flat(fields: Fields, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of nested objects as `field.name`, without those that are None."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif value is not None:  # a field that a different version does not know
            yield prefix + name, value


def named(system: str, reason: str) -> str:
    """`reason` with the name of the system that it is about, once."""
    return reason if reason.startswith(system) else f"{system}: {reason}"


def for_xml(text: str) -> str:
    """`text` without the control characters that XML 1.0 cannot represent."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


# ----------------------------------------------------------------------------------------------
# Frozen dataclasses as plain JSON data and back, checking every field


def to_plain(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, as numbers, texts, lists and
    objects of these.
    """
    given = ((f, getattr(instance, f.name)) for f in fields(instance))
    shown = ((f, x) for f, x in given if f.default is MISSING or x != f.default)
    return {f.name: _plain(x) for f, x in shown}


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
    hints, defined = get_type_hints(kind), fields(kind)  # type: ignore[arg-type]
    for name in content:
        if name not in {f.name for f in defined}:
            raise ValueError(f"there is no field {short(repr(name), 40)}")
    for f in defined:
        if f.default is MISSING and f.name not in content:
            raise ValueError(f"no {f.name}")
    given = {}
    for name, value in content.items():
        try:
            given[name] = _value(hints[name], value)
        except ValueError as error:
            raise ValueError(f"{name}: {short(error, 100)}") from None
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
        return tuple(_value(parts[0], part) for part in value)
    return checked(value, hint)
