"""Ctrl-C and SIGTERM while modules are imported, which takes seconds: print one line and exit.

A KeyboardInterrupt during an import may surface as any other error, or be lost.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def quit_on_signals() -> None:
    """For the imports at the top of a command's module; `cli.run` takes over."""
    for number in INTERRUPTED:
        signal.signal(number, _quit)


@contextmanager
def importing() -> Iterator[None]:
    """For a block in which a command imports modules that only it needs."""
    before = {number: signal.getsignal(number) for number in INTERRUPTED}
    quit_on_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resume(number: int) -> str:
    return f"{INTERRUPTED[signal.Signals(number)]}: run the same command again to resume"


def _quit(number: int, frame: FrameType | None) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(resume(number), file=sys.stderr, flush=True)
    os._exit(128 + number)
