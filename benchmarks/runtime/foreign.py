"""Settings of the process that the code of a plug-in changes hold in the calls of that plug-in only.

A system that sets PyTorch's default dtype, or changes the working directory, finds them as it left
them in its next call. Between its calls our code and other systems find everything as before.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")

# The function that reads each setting, and the one that sets it.
SWITCHES: list[tuple[Callable[[], Any], Callable[[Any], object]]] = [
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, lambda d: torch.set_default_device(None if d.type == "cpu" else d)),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (np.geterr, lambda kinds: np.seterr(**kinds)),
    (os.getcwd, os.chdir),
]
CUDNN, STREAMS = ("benchmark", "deterministic"), ("stdin", "stdout", "stderr")
for place, name in [*((torch.backends.cudnn, n) for n in CUDNN), *((sys, n) for n in STREAMS)]:
    SWITCHES.append((partial(getattr, place, name), partial(setattr, place, name)))
Values = list[Any]  # of SWITCHES, in their order; None leaves a setting as it is
_left: dict[str, Values] = {}  # the values that the code of each package set


@contextmanager
def code_of(owner: object) -> Iterator[None]:
    """Within the block the process is as the owner's code left it; afterwards as before.

    `owner` is a class, a function or an object, or the name of a module. The code of a package
    belongs together; that of "" keeps nothing for its next block.
    """
    package = str(getattr(owner, "__module__", owner)).partition(".")[0]
    before = _values()
    try:
        _set(_left.get(package, []))
        yield
    finally:
        if package:
            pairs = zip(before, _values(), strict=True)
            _left[package] = [None if new == old else new for old, new in pairs]
        _set(before)
        _open_again()


def _values() -> Values:
    return [_value(read) for read, _ in SWITCHES]


def _value(read: Callable[[], T]) -> T | None:
    with suppress(OSError, AssertionError, RuntimeError):  # a folder or a device that is not there
        return read()
    return None


def _set(values: Values) -> None:
    for (read, write), value in zip(SWITCHES, values, strict=False):
        if value is not None and value != _value(read):
            write(value)


def _open_again() -> None:
    """Replace standard streams that were closed, so that no other file takes their numbers."""
    for number, stream in enumerate(STREAMS):
        if _value(partial(os.fstat, number)) is None:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free: this one
        if getattr(getattr(sys, stream), "closed", False):
            setattr(sys, stream, open(number, "w" if number else "r", closefd=False))
