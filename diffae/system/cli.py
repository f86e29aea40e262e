"""Common parts of the command lines: strict flags, one line per error, exit status 2."""

import argparse
import difflib
import errno
import io
import math
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO, TypeVar

from diffae.system import distributed
from diffae.system.errors import Terminated, UserError, once
from diffae.system.files import REFUSALS, refusal
from diffae.system.signals import importing, resume

T = TypeVar("T")
MOST_NAMED = 100  # names that a line lists: there are 40 attributes, and 1,300 models of timm


class Parser(argparse.ArgumentParser):
    """An argument parser that accepts no abbreviations.

    It answers an unknown flag with the nearest known one.
    """

    def __init__(self, prog: str, description: str | None):
        kind = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, None, description, allow_abbrev=False, formatter_class=kind)
        self.stored: list[tuple[str, object]] = []  # flags and their values, while they are parsed

    def parse(
        self, arguments: list[str] | None = None, intermixed: bool = False
    ) -> argparse.Namespace:
        """Parse a command line.

        With `intermixed`, words without a flag may be anywhere, and may be absent.
        """
        read = self.parse_known_intermixed_args if intermixed else self.parse_known_args
        self.stored.clear()
        args, unknown = read(arguments)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            raise UserError(f"unknown argument {unknown[0]}{did_you_mean(unknown[0], flags)}")
        return args

    def error(self, message: str) -> NoReturn:
        raise UserError(message)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        """The values of a flag. A flag that takes one value may be repeated only with the same value."""
        values = super()._get_values(action, arg_strings)
        if isinstance(action, argparse._StoreAction) and action.option_strings:
            self.stored.append((max(action.option_strings, key=len), values))
            once("the command", self.stored)
        return values


def prog(module: str) -> str:
    """The command of `module` as its usage shows it: `diffae-bench NAME` if it was called by that."""
    return sys.argv[0] if sys.argv[0].startswith("diffae-bench ") else f"python -m {module}"


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """`; did you mean X?` with the nearest of `names`; if none is near, the list or number of them."""
    choices, word = list(names), word.split("=")[0]
    if near := difflib.get_close_matches(word, choices, n=1):
        return f"; did you mean {near[0]}?"
    if len(choices) <= MOST_NAMED:
        return f"; there are: {', '.join(choices)}"
    return f"; there are {len(choices):,}"


def whole_number(text: str) -> int:
    """An integer such as "-20" that a user typed. Raises ValueError with the reason."""
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text.strip()):
        raise ValueError(f"{text!r:.40} is not a whole number of at most 20 digits")
    return int(text)


def argument(read: Callable[[str], T]) -> Callable[[str], T]:
    """The type of a flag whose text is read by `read`; its ValueError or UserError says what is wrong."""

    def typed(text: str) -> T:
        try:
            return read(text)
        except (ValueError, UserError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return typed


def between(least: int, most: float = math.inf) -> Callable[[str], int]:
    """The type of a flag that takes an integer in this range."""

    def read(text: str) -> int:
        value = whole_number(text)
        if value < least:
            raise ValueError(f"must be at least {least}, not {value}")
        if value > most:
            raise ValueError(f"must be at most {most:,}, not {value:,}")
        return value

    return argument(read)


positive, natural = between(1), between(0)  # natural: from zero, such as a seed


def path(text: str) -> Path:
    """The type of a flag that takes a path; an empty one would be the current folder, and is refused."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path (. is the current folder)")
    return Path(text)


def word(text: str) -> str:
    """The type of a flag that takes a name, or a path that need not be one."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a name")
    return text


def say(text: str) -> None:
    """Print on standard error, in the main process only. A stream that cannot be written is ignored."""
    if distributed.is_main():
        _complain(text)


def bar_is_seen() -> bool:
    """Whether a progress bar is shown: on a terminal and in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def plain(number: float, digits: int) -> str:
    """`number` with at least that many digits, never as a power of ten: 0.012, 9.9, 494,321."""
    if not number or not math.isfinite(number):
        return f"{number:g}"
    decimals = digits - 1 - math.floor(math.log10(abs(number)))
    return f"{number:,.{max(0, decimals)}f}"


def device(text: str) -> str:
    """The type of --device: "cpu", or "cuda" or "cuda:N" where there is such a GPU."""
    match = re.fullmatch(r"cpu|cuda(?::(\d{1,3}))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither cpu nor cuda nor cuda:N")
    if text != "cpu":
        with importing():
            import torch

        if int(match[1] or 0) >= torch.cuda.device_count():
            raise argparse.ArgumentTypeError(f"{text}: no such GPU here; use cpu")
    return text


def default_device() -> str:
    """The device if --device is not given: a GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def printable(text: str) -> str:
    """`text` on one line and safe for a terminal: unprintable characters become escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit. Every exit status is decided here.

    The status is 0 or the one that the command returned; 2 for an error, with one line on standard
    error; 130 for Ctrl-C, 143 for SIGTERM, and 141 if the reader of standard output has closed it.
    Both signals are handled in a background job too, where a shell ignores Ctrl-C. Of several
    processes only the first that fails prints its line.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    warnings.filterwarnings("ignore", module="PIL")  # problems with images are reported by us
    warnings.formatwarning = lambda message, *place: f"warning: {printable(str(message))}\n"
    if sys.stdout is None:  # closed by the shell: the work would be done for nothing
        sys.exit(_give_up(2, "error: standard output is closed; give it a file, or /dev/null"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be Unicode
    try:
        status = main() or 0
        sys.stdout.flush()  # a full disk can still be reported here
    except UserError as error:
        status = _give_up(2, f"error: {error}")
    except Terminated:
        status = _give_up(128 + signal.SIGTERM, resume(signal.SIGTERM))
    except KeyboardInterrupt:
        status = _give_up(128 + signal.SIGINT, resume(signal.SIGINT))
    except distributed.Stopped:
        status = 1
    except BrokenPipeError:
        status = 141
    except OSError as error:
        if error.errno not in REFUSALS:
            distributed.fail()
            raise
        unnamed = "an open file" if error.errno == errno.EBADF else "a full disk"
        status = _give_up(2, f"error: {refusal(error, error.filename or unnamed)}")
    except Exception:
        distributed.fail()
        raise
    _let_go(sys.stdout)
    sys.exit(status)


def _give_up(status: int, line: str) -> int:
    if distributed.fail():
        _complain(printable(line))
    return status


def _complain(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # a full disk, a closed terminal: only the exit status is left
        _let_go(sys.stderr)


def _let_go(stream: TextIO) -> None:
    """Flush a standard stream.

    If it cannot be written, redirect it to the null device: Python would exit with 120.
    """
    try:
        stream.flush()
    except (OSError, ValueError):
        if stream in (sys.__stdout__, sys.__stderr__):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
