"""The progress of long work on standard error: a bar on a terminal, otherwise a line per minute."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from tqdm import tqdm

from diffae.system.cli import bar_is_seen, say
from diffae.system.distributed import is_main

LINE_SECONDS = 60.0  # between two lines, without a terminal

T = TypeVar("T")


class Progress(AbstractContextManager["Progress"]):
    """How much of `total` is done, shown by the main process.

    `unit` is what is counted, such as "images"; `done` of them were done before. `bar` are options of
    tqdm.
    """

    def __init__(self, title: str, unit: str, total: int, done: int = 0, **bar: Any):
        self.title, self.unit, self.total, self.done = title, unit, total, done
        self._first, self._begun = done, time.monotonic()
        self._reported = self._begun
        bar |= {"desc": title, "initial": done, "file": sys.stderr, "unit": f" {unit}"}
        self._bar = tqdm(total=total, disable=not (is_main() and bar_is_seen()), **bar)

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def add(self, count: int, **about: float | str) -> None:
        """Report `count` more, with further numbers to show."""
        self.done += count
        self._bar.set_postfix(about, refresh=False)
        self._bar.update(count)
        now = time.monotonic()
        if self._bar.disable and now - self._reported >= LINE_SECONDS:
            self._reported = now
            beside = [f"{name} {value}" for name, value in about.items()]
            say(f"{self.title}: {', '.join(self._words(beside, now - self._begun))}")

    def _words(self, beside: list[str], seconds: float) -> Iterator[str]:
        """`1,200 of 5,000 images`, what is shown beside, `20 images/s`, `03:10 left`."""
        yield f"{self.done:,} of {self.total:,} {self.unit}"
        yield from beside
        each = seconds / max(self.done - self._first, 1)
        yield f"{1 / max(each, 1e-9):.3g} {self.unit}/s"
        yield f"{tqdm.format_interval(max(self.total - self.done, 0) * each)} left"


def shown(
    parts: Iterable[T],
    title: str,
    unit: str,
    total: int,
    size: Callable[[T], int] = lambda part: 1,
) -> Iterator[T]:
    """Iterate over the parts of some work and show the progress; `size` counts the units of a part."""
    with Progress(title, unit, total, leave=False, delay=1) as progress:
        for part in parts:
            yield part
            progress.add(size(part))
