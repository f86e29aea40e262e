"""What the code of a plug-in changes of the process: it holds for that plug-in only.

A system that sets PyTorch's default dtype, or goes to a different folder, finds it so in its next
call. Between its calls everything is as before, for our code and for other systems.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

Switch = tuple[Callable[[], Any], Callable[[Any], object]]


def _device() -> torch.device:
    try:
        return torch.get_default_device()
    except (AssertionError, RuntimeError):  # one that this machine does not have
        return torch.device("cuda")


def _folder() -> str | None:
    with suppress(OSError):  # the folder was removed
        return os.getcwd()
    return None


def _determinism() -> tuple[bool, bool, bool, bool]:
    algorithms = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn: Any = torch.backends.cudnn
    return algorithms, warns, cudnn.deterministic, cudnn.benchmark


def _determine(switches: tuple[bool, bool, bool, bool]) -> None:
    torch.use_deterministic_algorithms(switches[0], warn_only=switches[1])
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = switches[2:]


# How each is read and set.
SWITCHES: dict[str, Switch] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (_device, lambda d: torch.set_default_device(None if d.type == "cpu" else d)),
    "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "determinism": (_determinism, _determine),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "errors of numpy": (np.geterr, lambda kinds: np.seterr(**kinds)),
    "stdout": (lambda: sys.stdout, lambda stream: setattr(sys, "stdout", stream)),
    "stderr": (lambda: sys.stderr, lambda stream: setattr(sys, "stderr", stream)),
    "working directory": (_folder, lambda folder: None if folder is None else os.chdir(folder)),
}
_left: dict[str, dict[str, Any]] = {}  # by package: what its code set


def package_of(code: object) -> str:
    """The package that a class, a function or an object comes from."""
    module = getattr(code, "__module__", None)
    return (module if isinstance(module, str) else type(code).__module__).partition(".")[0]


@contextmanager
def code_of(package: str) -> Iterator[None]:
    """Within the block the process is as the code of `package` left it; afterwards as before.

    Of code without a package ("") nothing is kept for the next block.
    """
    before = {name: read() for name, (read, _) in SWITCHES.items()}
    try:
        _set(_left.get(package, {}))
        with _standard_streams():
            yield
    finally:
        now = {name: read() for name, (read, _) in SWITCHES.items()}
        if package:
            _left[package] = {name: now[name] for name in now if now[name] != before[name]}
        _set(before)
        for name, number in (("stdout", 1), ("stderr", 2)):
            if getattr(getattr(sys, name), "closed", False):
                again = open(number, "w", errors="backslashreplace", closefd=False)
                setattr(sys, name, again)


def _set(values: dict[str, Any]) -> None:
    for name, value in values.items():
        read, write = SWITCHES[name]
        if read() != value:
            write(value)


@contextmanager
def _standard_streams() -> Iterator[None]:
    """Open descriptors 0 to 2 again after the block if they were closed in it."""
    copies: dict[int, int] = {}
    for number in (0, 1, 2):
        with suppress(OSError):
            copies[number] = os.dup(number)
    try:
        yield
    finally:
        for number, duplicate in copies.items():
            with suppress(OSError):  # the duplicate was closed too
                try:
                    os.fstat(number)
                except OSError:
                    os.dup2(duplicate, number)
                os.close(duplicate)
