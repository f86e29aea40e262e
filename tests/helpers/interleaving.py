"""Another process that does all its work between two steps of ours, at every place in turn."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

Work = Callable[[Path], object]


def interleaved(folder: Path, modules: set[str], ours: Work, other: Work) -> Iterator[list[object]]:
    """What `ours` and `other` return, or the errors that they raise, for each place of the second.

    A place is a call, a line or a return within these modules while `ours` works. Both are given the same new path.
    """
    for place in count():
        out = folder / str(place)
        ends = _once(place, modules, lambda out=out: _end(ours, out), lambda out=out: _end(other, out))
        if len(ends) == 1:  # `ours` has ended before this place
            return
        yield ends


def _once(
    place: int, modules: set[str], ours: Callable[[], object], other: Callable[[], object]
) -> list[object]:
    steps, ends = count(), []

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_globals["__name__"] not in modules:
            return None
        if next(steps) == place:
            sys.settrace(None)
            ends.append(other())
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        end = ours()
    finally:
        sys.settrace(before)
    return [end, *ends]


def _end(work: Work, out: Path) -> object:
    try:
        return work(out)
    except Exception as error:
        return error
