"""What every command line of the project shares: strict flags, one line an error, exit status 2."""

import argparse
import difflib
import io
import re
import signal
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from diffae.errors import UserError


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


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command: UserError is one line on standard error and status 2, Ctrl-C status 130.

    SIGTERM counts as Ctrl-C, and both do in a background job too, where a shell has them ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be Unicode
    try:
        status = main() or 0
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = 141
    sys.exit(status)
