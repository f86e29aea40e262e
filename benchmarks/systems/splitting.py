"""Calls of a system in batches: what they are given is cut by image, and what they return is put together again."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import numpy as np
from torch import Tensor

from benchmarks.runtime.batches import Batches
from benchmarks.systems import parts
from benchmarks.systems.base import Code

P = ParamSpec("P")
T = TypeVar("T")


class HasBatches(Protocol):
    batches: Batches


S = TypeVar("S", bound=HasBatches)


def in_batches(verb: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """A verb of a system in as many calls as `batches` of the system says. Its first argument has a row an image, and
    so has every other that is made of tensors; of what it returns each row must depend on the same row of these."""

    @wraps(verb)
    def split(system: S, *given: P.args, **named: P.kwargs) -> T:
        everything = [*given, *named.values()]

        def call(place: slice) -> T:
            some = [_cut(value, place) for value in everything]
            return verb(
                system, *some[: len(given)], **dict(zip(named, some[len(given) :], strict=True))
            )  # type: ignore[arg-type]

        return join(system.batches.each(verb.__name__, rows(everything[0]), call))

    return split


def rows(value: Any) -> int:
    """How many images tensors, codes or indices are of."""
    if isinstance(value, Code):
        return next((rows(part) for part in _parts(value) if part is not None), 0)
    return rows(value[0]) if _is_several(value) else len(value)


def join(values: Sequence[Any]) -> Any:
    """Tensors, tuples of them or codes, one after the other."""
    first = values[0]
    if len(values) == 1 or first is None:
        return first
    if isinstance(first, Code):
        return Code(*map(join, zip(*map(_parts, values), strict=True)))
    return parts.join(values)


def _cut(value: Any, place: slice) -> Any:
    """The rows of tensors, codes or indices; what is none of these (steps, a seed) is the same for all."""
    if isinstance(value, Code):
        return Code(*(_cut(part, place) for part in _parts(value)))
    if _is_several(value):
        return parts.index(value, place)
    return value[place] if isinstance(value, Tensor | Sequence | np.ndarray) else value


def _parts(code: Code) -> list[Any]:
    return [getattr(code, field.name) for field in fields(code)]


def _is_several(value: Any) -> bool:
    """Whether it is a semantic code of several tensors."""
    return isinstance(value, tuple | list) and bool(value) and isinstance(value[0], Tensor)
