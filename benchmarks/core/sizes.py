"""Types of the settings of a task: the fields of its `Sizes`, and how text becomes a value of each.

A `Sizes` is a frozen dataclass of such fields, each with a default:

    images: Count = 32
    steps: tuple[Steps, ...] = (10, 20, 50, 100)
    split: Split = "test"
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal

from diffae.diffusion.scheme import find, inverting_methods
from diffae.networks.config import NUM_TIMESTEPS
from diffae.system.errors import UserError
from diffae.system.settings import LARGEST, PLAIN, can_be_set, settings_of
from diffae.system.settings import Range as Range

CAPPED = "capped by --limit"


@dataclass(frozen=True)
class SolverName:
    """The name of a solver (diffae.diffusion.scheme); of one that can invert, if it `inverts`."""

    inverts: bool

    def refuse(self, name: str) -> None:
        try:
            solver = find(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        if self.inverts and not solver.inverts:
            can = ", ".join(inverting_methods())
            raise ValueError(f"solver {name} cannot encode an image; {can} can")


Number = Annotated[int, Range(1, LARGEST)]  # of draws, seeds, repetitions
Count = Annotated[int, Range(1, LARGEST), CAPPED]  # of images, pairs or samples that are looked at
Steps = Annotated[int, Range(1, NUM_TIMESTEPS)]  # T
Timestep = Annotated[int, Range(1, NUM_TIMESTEPS - 1)]  # t that noise is added at
Solver = Annotated[str, SolverName(inverts=False)]  # what decodes
InvertingSolver = Annotated[str, SolverName(inverts=True)]  # what encodes images too
Split = Literal["train", "valid", "test", "all"]


def fault_of(kind: object) -> str:
    """Why `kind` cannot be a `Sizes`; "" if it can."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return "sizes must be a dataclass"
    for field in fields(kind):
        if field.default is MISSING and field.default_factory is MISSING:
            return f"its setting {field.name} has no default"
        if not can_be_set(settings_of(kind)[field.name]):
            names = ", ".join(kind.__name__ for kind in PLAIN)
            return f"the type of its setting {field.name} is none of {names}, Literal, or a tuple"
    return ""


def is_capped(hint: Any) -> bool:
    """Whether --limit caps a setting of this type."""
    return CAPPED in getattr(hint, "__metadata__", ())


def steps_of(sizes: Any) -> Iterator[tuple[str, str, int]]:
    """Each T of a `Sizes`: its setting, the setting that names its solver, and its value.

    `steps` belong to `solver`, and `NAME_steps` to NAME; "" where there is no such setting.
    """
    hints = settings_of(type(sizes))
    for name, hint in hints.items():
        solver = "solver" if name == "steps" else name.removesuffix("_steps")
        marks = getattr(hints.get(solver), "__metadata__", ())
        solver = solver if any(isinstance(mark, SolverName) for mark in marks) else ""
        if hint == Steps:
            yield name, solver, getattr(sizes, name)
        elif hint == tuple[Steps, ...]:
            yield from ((name, solver, T) for T in getattr(sizes, name))


def in_words(level: float) -> str:
    """A level of a setting, as short as names it exactly: two of them never share a name, nor a key."""
    short = f"{level:g}"
    return short if float(short) == level else repr(level)
