"""Calls of systems and of metric networks: how they fail, how many images they are given at once, and
what lies outside [-1, 1] in the images that systems make.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch

from benchmarks.runtime.choices import AUTO, BatchSize
from benchmarks.runtime.errors import NotAvailable, SystemFailed, Wrong
from benchmarks.runtime.foreign import code_of
from benchmarks.runtime.precision import of_networks
from diffae.memory import is_refusal
from diffae.system.errors import UserError, words

T = TypeVar("T")
Arrays = dict[str, np.ndarray]
FOR_USERS = ("__init__", "codes_of")  # read what a user gives


def calling(name: str, method: str, call: Callable[[], T], owner: object = "") -> T:
    """Call a system's method and return its result; `owner` is whose code it is (foreign.py).

    Every exception becomes SystemFailed, except those meant for the user (UserError, NotAvailable)
    in the methods `FOR_USERS`, and Ctrl-C.
    """
    try:
        with code_of(owner), torch.no_grad(), of_networks():
            return call()
    except (SystemFailed, KeyboardInterrupt):
        raise
    except (UserError, NotAvailable) as error:
        if method in FOR_USERS:
            raise
        raise SystemFailed.at(name, method, words(error)) from error
    except Wrong as error:
        raise SystemFailed.at(name, method, str(error)) from error
    except BaseException as error:  # SystemExit and GeneratorExit are failures of the system too
        hint = "; a smaller --batch-size may help" if is_refusal(error) else ""
        raise SystemFailed.at(name, method, raised(error) + hint) from error


def raised(error: BaseException) -> str:
    """An exception in one line: its type, its message, and the line of code that raised it."""
    said = words(error)[:300]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}{': ' + said if said else ''}{place}"


# ----------------------------------------------------------------------------------------------
# Batches
#
# A chunk of the store (store.py) is what is stored, a batch is what is computed. By default they are the
# same. With --batch-size N a system or a metric network is given N images at a time: a chunk is computed
# in parts, or several chunks are computed together and stored apart. `auto` is large on a GPU, and halves
# what does not fit into memory. Memory and speed depend on it, results do not.

LARGEST = 512  # images that `auto` begins with on a GPU: more fill it no better, and the host holds them too


@dataclass
class Batches:
    """Splits calls into batches of at most `size` images (None: all at once).

    If it `shrinks`, a method that runs out of memory is given half as many images from then on;
    `found` keeps that number.
    """

    size: int | None = None
    shrinks: bool = False
    found: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, batch_size: BatchSize) -> "Batches":
        """Batches for a value of --batch-size."""
        return cls(shrinks=True) if batch_size == AUTO else cls(cast(int | None, batch_size))

    def each(self, method: str, count: int, call: Callable[[slice], T]) -> list[T]:
        """The results of `call` for positions 0..count-1, batch by batch; one empty batch if `count` is 0."""
        results: list[T] = []
        start = 0
        while start < count or not results:
            stop = min(start + (self.found.get(method) or self.size or count), count)
            try:
                results.append(call(slice(start, stop)))
                start = stop
            except Exception as error:
                if not (self.shrinks and stop - start > 1 and is_refusal(error)):
                    raise
                self.found[method] = (stop - start) // 2
            if start < stop:  # here nothing holds what the failed call had in memory
                torch.cuda.empty_cache()
        return results


def images_together(batch_size: BatchSize, device: torch.device) -> int:
    """How many images to compute together; a number below the size of a chunk means one chunk."""
    if batch_size == AUTO:
        return LARGEST if device.type == "cuda" else 1
    return int(batch_size or 1)


# ----------------------------------------------------------------------------------------------
# Values outside [-1, 1]: they are clamped, counted, and noted in rows. What a protocol wants as it was
# decoded is counted and noted alike. The counts are stored beside what was computed from the images, so
# that a row has the same note whoever computed them.

PREFIX = "outside [-1, 1]: "  # of the names that counts have in the store
KEPT = ", unless the protocol says otherwise"  # after the method of images that were not clamped


@dataclass
class Overshoot:
    """By method of a system, with KEPT or without: how many values were outside [-1, 1], and of how
    many.
    """

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, method: str, outside: int, total: int, clamped: bool = True) -> None:
        method += "" if clamped else KEPT
        before = self.counts.get(method, (0, 0))
        self.counts[method] = (before[0] + outside, before[1] + total)

    def note(self) -> str:
        """The note for a row; "" if all values were within [-1, 1]."""
        return "; ".join(
            f"{_percent(outside / total)} of the values of {method.removesuffix(KEPT)} lay outside [-1, 1] and were "
            f"clamped{KEPT * method.endswith(KEPT)}"
            for method, (outside, total) in sorted(self.counts.items())
            if outside
        )

    def beside(self, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of `compute`, with the counts that it made added under names of their own.
        `unpack` adds them to this object.
        """
        before, self.counts = self.counts, {}
        try:
            arrays = compute()
            return arrays | {PREFIX + name: np.array(c) for name, c in self.counts.items()}
        finally:
            self.counts = before

    def unpack(self, arrays: Arrays) -> Arrays:
        """Take the counts out of the arrays of `beside` and add them to this object."""
        for name in [name for name in arrays if name.startswith(PREFIX)]:
            outside, total = arrays.pop(name).tolist()
            self.add(name.removeprefix(PREFIX), outside, total)
        return arrays


def is_count(name: str) -> bool:
    """Whether an array of this name is a count added by `Overshoot.beside`."""
    return name.startswith(PREFIX)


def share_of_counts(counts: np.ndarray, place: slice, of: int) -> np.ndarray:
    """The share of the images at `place` in counts over `of` images: proportional, in whole
    numbers, so that the shares of all places sum to the counts.
    """
    return counts * place.stop // of - counts * place.start // of


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
