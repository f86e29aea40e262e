"""What every command owes to bad input: status 2, one line on standard error, nothing on standard output."""

import signal
from collections.abc import Callable

import pytest

from diffae import cli


def refusal(main: Callable[[list[str]], object], capsys, *arguments: object) -> str:
    """Run a command that must refuse its input and return the line that it says why in."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as ended:
            cli.run(lambda: main(list(map(str, arguments))))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    line = capsys.readouterr().err
    assert ended.value.code == 2, line
    assert line.startswith("error: ") and line.count("\n") == 1 and line.endswith("\n"), line
    return line
