"""What every command line of the project shares: strict flags, one line an error, exit status 2."""

import argparse
import difflib
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from diffae import distributed
from diffae.errors import Terminated, UserError
from diffae.files import REFUSALS, refusal

INTERRUPTED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Parser(argparse.ArgumentParser):
    """An argument parser that accepts no abbreviations and answers an unknown flag with the nearest one."""

    def __init__(self, prog: str, description: str | None):
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def parse(self, arguments: list[str] | None = None) -> argparse.Namespace:
        known, unknown = self.parse_known_args(arguments)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            raise UserError(f"unknown argument {unknown[0]}{did_you_mean(unknown[0], flags)}")
        return known

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the nearest of `known`, or the list of them if nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(word.split("=")[0], known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"


def positive(text: str) -> int:
    """The type of a flag that takes a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def path(text: str) -> Path:
    """The type of a flag that takes a path: an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path (. is the current folder)")
    return Path(text)


def say(text: str) -> None:
    """Print on standard error, once however many processes there are."""
    if distributed.is_main():
        print(text, file=sys.stderr)


def natural(text: str) -> int:
    """The type of a flag that takes a whole number from zero, such as a seed."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {value}")
    return value


def device(text: str) -> str:
    """The type of --device: "cpu", or "cuda" or "cuda:N" where there is such a GPU."""
    match = re.fullmatch(r"cpu|cuda(?::(\d{1,3}))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither cpu nor cuda nor cuda:N")
    if text != "cpu":
        import torch

        if int(match[1] or 0) >= torch.cuda.device_count():
            raise argparse.ArgumentTypeError(f"{text}: no such GPU here; use --device cpu")
    return text


def printable(text: str) -> str:
    """`text` on one line and harmless to a terminal: what cannot be printed becomes an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def quit_on_signals() -> None:
    """End in one line on Ctrl-C and SIGTERM while modules are imported, which takes seconds; `run` takes over."""
    for number in INTERRUPTED:
        signal.signal(number, _quit)


def _quit(number: int, frame: FrameType | None) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(_resume(number), file=sys.stderr, flush=True)
    os._exit(128 + number)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command: an error is one line on standard error and status 2, Ctrl-C status 130, SIGTERM 143.

    Both signals count in a background job too, where a shell has Ctrl-C ignored. Of several processes the first
    to fail prints its line, and the others end quietly.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    warnings.filterwarnings("ignore", module="PIL")  # what is wrong with an image is said by us
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be Unicode
    try:
        status = main() or 0
    except UserError as error:
        status = _give_up(2, f"error: {error}")
    except Terminated:
        status = _give_up(128 + signal.SIGTERM, _resume(signal.SIGTERM))
    except KeyboardInterrupt:
        status = _give_up(128 + signal.SIGINT, _resume(signal.SIGINT))
    except distributed.Stopped:
        status = 1
    except BrokenPipeError:
        sys.stderr.close()
        status = 141
    except OSError as error:
        if error.errno not in REFUSALS:
            distributed.fail()
            raise
        status = _give_up(2, f"error: {refusal(error, error.filename or 'a full disk')}")
    except Exception:
        distributed.fail()
        raise
    sys.exit(status)


def _resume(number: int) -> str:
    return f"{INTERRUPTED[signal.Signals(number)]}: run the same command again to go on"


def _give_up(status: int, line: str) -> int:
    if distributed.fail():
        print(printable(line), file=sys.stderr)
    return status
