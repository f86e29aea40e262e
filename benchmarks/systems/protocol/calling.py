"""Calls of a system's methods: no gradients, the run's precision, and failures in one line."""

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.runtime.precision import of_networks
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, Code, System
from benchmarks.systems.protocol.parts import tensors
from diffae.memory import is_refusal
from diffae.networks.nn import evaluating
from diffae.system.errors import UserError, words

T = TypeVar("T")
FEW_STEPS = 2  # for a check that only compares two calls
SAME = 1e-4  # of the mean value: the tolerance for rounding on a GPU
RANDOM = "not deterministic: gives different results for the same images"
TRAINING = "computes in training mode"


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


def unsteady(name: str, system: System, capabilities: frozenset[str], images: Tensor) -> str:
    """A note if two calls give different results, or if a network is in training mode.

    Empty otherwise, if the system declares itself random, or if it fails here.
    """

    def ask() -> str:
        first, second = (list(_results(system, capabilities, images.clone())) for _ in range(2))
        random = not all(map(_alike, first, second)) and not system.random
        networks = system.networks().values()
        training = any(part.training for network in networks for part in network.modules())
        return "; ".join([RANDOM] * random + [TRAINING] * training)

    devices = [images.device] if images.is_cuda else []
    try:
        with evaluating(system.live), torch.random.fork_rng(devices):
            return calling(name, "encode", ask)
    except SystemFailed:  # the benchmarks report it
        return ""


def _results(system: System, capabilities: frozenset[str], images: Tensor) -> Iterator[Tensor]:
    """The results of a system for images, unchecked: the parts of the code, and the decoded images."""
    if not {ENCODE, SEMANTIC} & capabilities:
        return
    if ENCODE in capabilities:
        code = system.encode(images, FEW_STEPS)
    else:
        code = Code(system.encode_semantic(images))
    yield from (one.clone() for one in (*tensors(code.semantic), *tensors(code.x_T)))
    if {ENCODE, DECODE} <= capabilities:
        yield system.decode(code, FEW_STEPS)


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(
        a.double(), b.double(), 0, SAME * float(a.double().abs().mean())
    )
