"""What commands of `reports` share: a refusal is one line on stderr and status 2, of flags and of files alike."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from reports.reading import short

REFUSED = 2


def refuse(reason: str) -> int:
    """Say why nothing was done; returns the exit status."""
    print(f"error: {short(reason, 2_000)}", file=sys.stderr)
    return REFUSED


class Parser(argparse.ArgumentParser):
    """A parser of flags that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        sys.exit(refuse(message[:300]))


def path(text: str) -> Path:
    """The type of a flag that takes a path: an empty one would be the current folder."""
    return Path(word(text))


def word(text: str) -> str:
    """The type of a flag that takes a name, which an empty one is not."""
    if not text:
        raise argparse.ArgumentTypeError("is empty")
    return text
