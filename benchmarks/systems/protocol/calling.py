"""Calls of a system's methods: no gradients, the run's precision, and failures in one line."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.runtime.precision import of_networks
from diffae.memory import is_refusal
from diffae.system.errors import UserError, words

T = TypeVar("T")


def calling(name: str, method: str, call: Callable[[], T]) -> T:
    """Call a system's method and return its result.

    Every exception becomes SystemFailed, except those meant for the user (UserError, NotAvailable)
    in `__init__`, and Ctrl-C.
    """
    try:
        with torch.no_grad(), of_networks():
            return call()
    except (SystemFailed, KeyboardInterrupt):
        raise
    except (UserError, NotAvailable) as error:
        if method == "__init__":
            raise
        raise SystemFailed.at(name, method, words(error)) from error
    except BaseException as error:  # SystemExit and GeneratorExit are failures of the system too
        hint = "; a smaller --batch-size may help" if is_refusal(error) else ""
        raise SystemFailed.at(name, method, raised(error) + hint) from error


def raised(error: BaseException) -> str:
    """An exception in one line: its type, its message, and the line of code that raised it."""
    said = words(error)[:300]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}{': ' + said if said else ''}{place}"
