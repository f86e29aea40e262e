"""What commands of `reports` share: a refusal is one line on stderr and status 2, of flags and of files alike."""

import argparse
import sys
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
