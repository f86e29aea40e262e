"""A call of a system's method: without gradients, in the precision of the run, and one line where it breaks."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.core.batches import out_of_memory
from benchmarks.core.precision import of_networks
from benchmarks.metrics.weights import NotAvailable
from benchmarks.systems.base import SystemFailed
from diffae.errors import UserError

T = TypeVar("T")


def calling(name: str, method: str, call: Callable[[], T]) -> T:
    """What the call of a system's method returns. Whatever it raises becomes SystemFailed, but what is meant for
    the user (UserError, NotAvailable) in `__init__`, and Ctrl-C."""
    try:
        with torch.no_grad(), of_networks():
            return call()
    except SystemFailed:
        raise
    except (UserError, NotAvailable) as error:
        if method == "__init__":
            raise
        raise SystemFailed.at(name, method, str(error)) from error
    except (Exception, SystemExit) as error:
        hint = "; a smaller --batch-size may help" if out_of_memory(error) else ""
        raise SystemFailed.at(name, method, raised(error) + hint) from error


def raised(error: BaseException) -> str:
    """An exception in one line: its kind, its words, and the line of code that it comes from."""
    words = " ".join(str(error).split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}{': ' + words if words else ''}{place}"
