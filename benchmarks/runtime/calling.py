"""Calls of systems and of metric networks: their failures, the number of images in a call, and values
outside [-1, 1] in the images that systems make.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

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
    except (UserError, NotAvailable, Wrong) as error:
        if method in FOR_USERS and not isinstance(error, Wrong):
            raise
        raise SystemFailed.at(name, method, words(error)) from error
    except BaseException as error:  # SystemExit and GeneratorExit are failures of the system too
        hint = "; a smaller --batch-size may help" if is_refusal(error) else ""
        raise SystemFailed.at(name, method, raised(error) + hint) from error


def raised(error: BaseException) -> str:
    """An exception in one line: its type, its message, and the line of code that raised it."""
    message = words(error)[:300]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}{': ' + message if message else ''}{place}"


# ----------------------------------------------------------------------------------------------
# Batches
#
# A chunk of the store (store.py) is what is stored, a batch is what is computed. By default they are the
# same on a GPU; on a CPU a batch has at most as many pixels as a chunk of images of 32 px. With
# --batch-size N a system or a metric network is given N images at a time: a chunk is computed in parts,
# or several chunks are computed together and stored apart. `auto` is large on a GPU, and halves what does
# not fit into memory. Memory and speed depend on it, results do not.

LARGEST = 512  # images that `auto` begins with on a GPU: more fill it no better, and the host holds them too
# Pixels of a batch on a CPU. With 64 channels they take 16 MiB. The allocator (diffae/system/allocation.py) takes
# arrays of 32 MiB and more from the system anew, in each layer.
CPU_PIXELS = 64 * 32**2
# methods that compute no images, and are given none
WITHOUT_PIXELS = ("sample_latents", "codes_of", "tokens", "read", "move", "edit")


@dataclass
class Batches:
    """Splits calls into batches of at most `size` images (None: all at once), of methods that compute
    images of at most `images`.

    If it `shrinks`, a method that runs out of memory is given half as many images from then on;
    `fitting` holds that number by method.
    """

    size: int | None = None
    shrinks: bool = False
    fitting: dict[str, int] = field(default_factory=dict)
    images: int | None = None

    @classmethod
    def from_option(cls, batch_size: BatchSize, device: torch.device, side: int) -> "Batches":
        """Batches for a value of --batch-size, of images of `side` px."""
        if batch_size is not None and batch_size != AUTO:
            return cls(int(batch_size))
        images = max(CPU_PIXELS // side**2, 1) if device.type == "cpu" else None
        return cls(shrinks=batch_size == AUTO, images=images)

    def each(self, method: str, count: int, call: Callable[[slice], T]) -> list[T]:
        """The results of `call` for positions 0..count-1, batch by batch; one empty batch if `count` is 0."""
        results: list[T] = []
        start = 0
        most = self.size or (method not in WITHOUT_PIXELS and self.images) or count
        while start < count or not results:
            stop = min(start + (self.fitting.get(method) or most), count)
            try:
                results.append(call(slice(start, stop)))
                start = stop
            except Exception as error:
                if not (self.shrinks and stop - start > 1 and is_refusal(error)):
                    raise
                self.fitting[method] = (stop - start) // 2
            if start < stop:  # here nothing holds what the failed call had in memory
                torch.cuda.empty_cache()
        return results


def images_together(batch_size: BatchSize, device: torch.device) -> int:
    """How many images to compute together; a number below the size of a chunk means one chunk."""
    if batch_size == AUTO:
        return LARGEST if device.type == "cuda" else 1
    return int(batch_size or 1)


# ----------------------------------------------------------------------------------------------
# Values outside [-1, 1]: they are clamped and counted. A share of more than WORTH_NOTING is noted, once for each method
# of a system in a benchmark. Where a protocol does not clamp (Place.unclamped), any share matters, as it changes the
# number: it is noted beside each such number. The counts are arrays of the job that decoded the images, so that a
# number has the same note whether these were computed or read from the store.

WORTH_NOTING = 0.01  # of all values that are clamped
PREFIX = "outside [-1, 1]: "  # begins the names of counts in the store


@dataclass
class Clamped:
    """How many values of a system's images lay outside [-1, 1], and of how many, by the method that made them."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, method: str, outside: int, total: int) -> None:
        outside_before, total_before = self.counts.get(method, (0, 0))
        self.counts[method] = (outside_before + outside, total_before + total)

    def take(self) -> Arrays:
        """The counts so far, [outside, total] each under a name of its own; they begin anew."""
        arrays = {PREFIX + method: np.array(pair) for method, pair in self.counts.items()}
        self.counts.clear()
        return arrays


def notes_on_clamped(
    arrays: Iterable[Arrays], own: tuple[float, float], unclamped: bool = False
) -> Iterator[tuple[str, str]]:
    """The methods and the notes for a number of these arrays, of images in the range `own`, which it takes `unclamped`."""
    sums: dict[str, np.ndarray] = {}
    for of_job in arrays:
        for name in filter(is_count, of_job):
            sums[name] = sums.get(name, 0) + of_job[name]
    treated, enough = ("not clamped", 0.0) if unclamped else ("clamped", WORTH_NOTING)
    for name, (outside, total) in sorted(sums.items()):
        if outside > enough * total:
            method = name.removeprefix(PREFIX)
            share = f"{_percent(outside / total)} of the values of {method}"
            yield method, f"{share} lay outside [{own[0]:g}, {own[1]:g}] and were {treated}"


def is_count(name: str) -> bool:
    """Whether an array of this name is a count of `Clamped`."""
    return name.startswith(PREFIX)


def without_counts(arrays: Arrays) -> Arrays:
    """The arrays that are no counts of `Clamped`."""
    return {name: array for name, array in arrays.items() if not is_count(name)}


def share_of_counts(counts: np.ndarray, place: slice, images: int) -> np.ndarray:
    """The share of the images at `place` in counts over `images` images, in proportion.

    It is in whole numbers, and the shares of all places sum to the counts.
    """
    return counts * place.stop // images - counts * place.start // images


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
