"""Settings: values from a user or a file, converted to the types of a dataclass's fields.

typed("2e-4", float)                     # 0.0002
typed("1,2,2", tuple[int, ...])          # (1, 2, 2)
typed("0", Annotated[int, Range(1, 9)])  # ValueError: must be at least 1, not 0

An option is a field of a dataclass, made by `option` or `switch`. Its flag (`add_options`) follows from
the field, and so does its help.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from diffae.system.cli import did_you_mean, whole_number
from diffae.system.errors import UserError

LARGEST = 10**9  # of integers that are given for a float setting
Hint = Any  # a type as it is annotated: `int`, `Literal["a", "b"]`, `Annotated[float, Range(0, 1)]`
Setting = bool | int | float | str | tuple["Setting", ...]
Argument = str | Iterable[str] | Callable[[str], object]  # of `add_argument`
Default = Setting | Callable[[], str] | None
OptionField = Field[Any]
Values = Mapping[str, Any]  # of options, by name
PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Range:
    """The smallest and the largest value of a setting."""

    least: float
    largest: float

    def refuse(self, value: float) -> None:
        if value < self.least:
            raise ValueError(f"must be at least {self.least}, not {value}")
        if value > self.largest:
            raise ValueError(f"must be at most {self.largest}, not {value}")


def settings_of(kind: type) -> Mapping[str, Hint]:
    """The annotated types of a dataclass's fields, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def can_be_set(hint: Hint) -> bool:
    """Whether `typed` supports the type: one of PLAIN, a Literal, or a tuple of these of any length."""
    plain = plain_type(hint)
    if get_origin(plain) is tuple:
        return get_args(plain)[1:] == (...,) and can_be_set(get_args(plain)[0])
    return plain in PLAIN or get_origin(plain) is Literal


def typed(text: str, hint: Hint) -> Any:
    """A setting from the text that a user typed. The elements of a list are separated by commas.

    Raises ValueError with the reason.
    """
    plain = plain_type(hint)
    if get_origin(plain) is not tuple:
        return checked(_parsed(text, plain), hint)
    element = plain_type(get_args(plain)[0])
    return checked([_parsed(part.strip(), element) for part in text.split(",")], hint)


def _parsed(text: str, plain: Hint) -> Setting:
    """The text as a value of a plain type, or the text itself, which `checked` then refuses."""
    if plain is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if plain is int:
        return whole_number(text)
    with suppress(ValueError):
        return float(text) if plain is float else text
    return text


def checked(value: Any, hint: Hint) -> Setting:
    """`value`, from a file or from Python, as a setting. Raises ValueError with the reason."""
    plain = plain_type(hint)
    if get_origin(plain) is tuple:
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(f"must be a list of at least one, not {value!r}")
        return tuple(checked(part, get_args(plain)[0]) for part in value)
    if get_origin(plain) is Literal:
        if value not in get_args(plain):
            raise ValueError(f"no choice {value!r}{did_you_mean(str(value), get_args(plain))}")
        return value
    if plain is float and type(value) is int and abs(value) <= LARGEST:
        value = float(value)
    if type(value) is not plain:
        raise ValueError(f"must be {PLAIN[plain]}, not {value!r}")
    if plain is float and not math.isfinite(value):
        raise ValueError("must be a finite number")
    for annotation in getattr(hint, "__metadata__", ()):
        if hasattr(annotation, "refuse"):  # a `Range`, or another class with this method
            annotation.refuse(value)
    return value


def check(settings: Any, prefix: str = "") -> None:
    """Raise UserError, with the field's name, unless each field of a dataclass has its type.

    Fields whose type `typed` does not support are not checked. A tuple may be empty.
    """
    for name, hint in settings_of(type(settings)).items():
        value = getattr(settings, name)
        empty = value == () and get_origin(plain_type(hint)) is tuple
        try:
            if can_be_set(hint) and not empty:
                checked(value, hint)
        except ValueError as error:
            raise UserError(f"{prefix}{name}: {error!s:.200}") from None


def plain_type(hint: Hint) -> Hint:
    """A type without its annotations."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


# ----------------------------------------------------------------------------------------------
# Options


def option(
    text: str, default: Default = None, flag: str = "", decides: bool = False, **more: Argument
) -> Any:
    """A field that is an option; `text` is its help, `more` are other arguments of `add_argument`.

    `default` may be a function that returns the default. `flag` is the name of the flag if it is not
    the field's name. An option that `decides` numbers is a part of their protocols and keys whenever
    it is not the default.
    """
    metadata = {"flag": flag, "decides": decides, "arguments": {**more, "help": text}}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def switch(text: str) -> bool:
    """A field that is an option without a value, which is off by default."""
    return option(text, False, action="store_true")


def options_of(kind: type) -> dict[str, OptionField]:
    """The fields of a dataclass that are options, by name."""
    return {part.name: part for part in fields(kind) if part.metadata}


def flag_of(option: OptionField) -> str:
    return "--" + (option.metadata["flag"] or option.name.replace("_", "-"))


def add_options(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add the flag of every option of a dataclass to a parser, which leaves out those not given."""
    for name, option in options_of(kind).items():
        arguments = {"dest": name, "default": argparse.SUPPRESS, **option.metadata["arguments"]}
        parser.add_argument(flag_of(option), **arguments)


def given_options(kind: type, values: Values) -> Values:
    """Those of the values that are of options of a dataclass."""
    return {name: values[name] for name in options_of(kind) if name in values}


def changed_options(kind: type, options: object) -> Values:
    """The options of a dataclass that have another value than the default in an object."""
    values = given_options(kind, vars(options))
    return {name: v for name, v in values.items() if v != options_of(kind)[name].default}
