"""The types of settings: what the `Sizes` of a task are made of, and how what a person writes becomes one of them.

A `Sizes` is a frozen dataclass of such fields, each with a default:

    images: Count = 32
    steps: tuple[Steps, ...] = (10, 20, 50, 100)
    split: Split = "test"
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from diffae.cli import did_you_mean, whole_number
from diffae.config import NUM_TIMESTEPS
from diffae.errors import UserError
from diffae.sampling.scheme import find, that_invert

LARGEST = 10**9
CAPPED = "capped by --limit"


@dataclass(frozen=True)
class Range:
    """The least and the largest whole number that a setting can be."""

    least: int
    largest: int


@dataclass(frozen=True)
class SolverName:
    """The name of a solver (diffae.sampling.scheme); of one that can invert, if it `inverts`."""

    inverts: bool


Number = Annotated[int, Range(1, LARGEST)]  # of draws, seeds, repetitions
Count = Annotated[int, Range(1, LARGEST), CAPPED]  # of images, pairs or samples that are looked at
Steps = Annotated[int, Range(1, NUM_TIMESTEPS)]  # T
Timestep = Annotated[int, Range(1, NUM_TIMESTEPS - 1)]  # t that noise is added at
Solver = Annotated[str, SolverName(inverts=False)]  # what decodes
InvertingSolver = Annotated[str, SolverName(inverts=True)]  # what encodes images too
Split = Literal["train", "valid", "test", "all"]

PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def settings_of(kind: type) -> Mapping[str, Any]:
    """The types of the settings of a `Sizes`, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def fault_of(kind: object) -> str:
    """Why `kind` cannot be a `Sizes`, or nothing."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return "sizes is no dataclass"
    for field in fields(kind):
        if field.default is MISSING and field.default_factory is MISSING:
            return f"its setting {field.name} has no default"
        if not _can_be_set(settings_of(kind)[field.name]):
            return f"its setting {field.name} is none of {', '.join(k.__name__ for k in PLAIN)}, Literal, tuple"
    return ""


def _can_be_set(hint: Any) -> bool:
    plain = _plain(hint)
    if get_origin(plain) is tuple:
        return get_args(plain)[1:] == (...,) and _can_be_set(get_args(plain)[0])
    return plain in PLAIN or get_origin(plain) is Literal


def is_capped(hint: Any) -> bool:
    """Whether --limit caps a setting of this type."""
    return CAPPED in getattr(hint, "__metadata__", ())


def solvers_of(kind: type) -> list[str]:
    """The settings that name a solver; the T of `solver` is `steps`, that of another one `NAME_steps`."""
    marks = {n: getattr(hint, "__metadata__", ()) for n, hint in settings_of(kind).items()}
    return [name for name, found in marks.items() if any(isinstance(m, SolverName) for m in found)]


def typed(text: str, hint: Any) -> Any:
    """What a person typed as a setting: lists are separated by commas. Raises ValueError with the reason."""
    plain = _plain(hint)
    if get_origin(plain) is not tuple:
        return checked(_one(text, plain), hint)
    (of, _) = get_args(plain)
    return checked([_one(part.strip(), _plain(of)) for part in text.split(",")], hint)


def _one(text: str, plain: Any) -> Any:
    if plain is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if plain is int:
        return whole_number(text)
    if plain is float:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def checked(value: Any, hint: Any) -> Any:
    """`value`, of a file or of Python, as a setting; one that is there twice counts once. Raises ValueError."""
    plain = _plain(hint)
    if get_origin(plain) is tuple:
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(f"must be a list of at least one, not {value!r}")
        return tuple(dict.fromkeys(checked(part, get_args(plain)[0]) for part in value))
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
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, Range):
            _refuse_outside(mark, value)
        if isinstance(mark, SolverName):
            _refuse_solver(mark, value)
    return value


def _refuse_solver(allowed: SolverName, name: str) -> None:
    try:
        solver = find(name)
    except UserError as error:
        raise ValueError(str(error)) from None
    if allowed.inverts and not solver.inverts:
        raise ValueError(f"solver {name} cannot encode an image; {', '.join(that_invert())} can")


def _refuse_outside(allowed: Range, value: int) -> None:
    if value < allowed.least:
        raise ValueError(f"must be at least {allowed.least}, not {value}")
    if value > allowed.largest:
        raise ValueError(f"must be at most {allowed.largest}, not {value}")


def _plain(hint: Any) -> Any:
    """A type without what it is annotated with."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint
