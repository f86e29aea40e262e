"""Progress of long work on standard error: a bar on a terminal, else a line from time to time."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from diffae.system import distributed
from diffae.system.cli import say
from diffae.system.files import amount

LINE_SECONDS = 60.0  # between two lines, without a terminal
BYTES = "B"

T = TypeVar("T")


def shown(
    items: Iterable[T],
    title: str,
    unit: str,
    total: float | None = None,
    size: Callable[[T], int] = lambda item: 1,
) -> Iterator[T]:
    """`items`, while the main process shows how many of `total` there were.

    `unit` is what is counted, such as "images", or BYTES; `size` is how many an item is.
    """
    begun = said = time.monotonic()
    done = 0
    with tqdm(
        desc=title,
        total=total,
        unit=unit if unit == BYTES else f" {unit}",
        unit_scale=unit == BYTES,
        leave=False,
        delay=1,
        file=sys.stderr,
        disable=None if distributed.is_main() else True,
    ) as bar:
        for item in items:
            yield item
            done += size(item)
            bar.update(size(item))
            now = time.monotonic()
            if bar.disable and now - said >= LINE_SECONDS:
                said = now
                say(f"{title}: {_so_far(done, unit, total, now - begun)}")


def _so_far(done: int, unit: str, total: float | None, seconds: float) -> str:
    """`1,200 of 5,000 images, 03:20 left`."""

    def text(number: float) -> str:
        return amount(int(number)) if unit == BYTES else f"{number:,.0f} {unit}"

    if total is None or not done:
        return text(done)
    first = text(done) if unit == BYTES else f"{done:,}"
    left = tqdm.format_interval(max(total - done, 0) * seconds / done)
    return f"{first} of {text(total)}, {left} left"
