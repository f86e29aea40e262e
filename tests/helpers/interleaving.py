"""Another process that does all its work between two steps of ours, at every place in turn."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

Work = Callable[[Path], object]


def interleaved(
    folder: Path, within: Callable[..., object], ours: Work, other: Work
) -> Iterator[list[object]]:
    """What `ours` and `other` return, or the errors that they raise, for each place of the second.

    A place is a call, a line or a return of our code while the function `within` runs in `ours`. Both are given the
    same new path.
    """
    for place in count():
        ends = _once(place, within, ours, other, folder / str(place))
        if len(ends) == 1:  # `within` has ended before this place
            return
        yield ends


def _once(
    place: int, within: Callable[..., object], ours: Work, other: Work, out: Path
) -> list[object]:
    steps, ends = count(), []

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_globals["__name__"].startswith(("diffae.", "benchmarks.")):
            return None
        if _is_within(frame, within) and next(steps) == place:
            sys.settrace(None)
            ends.append(_end(other, out))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        end = _end(ours, out)
    finally:
        sys.settrace(before)
    return [end, *ends]


def _is_within(frame: FrameType | None, within: Callable[..., object]) -> bool:
    while frame is not None and frame.f_code is not within.__code__:
        frame = frame.f_back
    return frame is not None


def _end(work: Work, out: Path) -> object:
    try:
        return work(out)
    except Exception as error:
        return error
