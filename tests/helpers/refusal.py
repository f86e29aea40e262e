"""Check that a command refuses bad input: status 2, and one line on standard error alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import signals_kept

from diffae.system import cli
from diffae.system.errors import UserError


def refusal(main: Callable[[list[str]], object], capsys, *arguments: object) -> str:
    """Run a command that must refuse its input and return its error line."""
    with signals_kept(), pytest.raises(SystemExit) as ended:
        cli.run(lambda: main(list(map(str, arguments))))
    line = capsys.readouterr().err
    assert ended.value.code == 2, line
    assert line.startswith("error: ") and line.count("\n") == 1 and line.endswith("\n"), line
    return line


def refused_checkpoint(system: str, path: Path, capsys) -> str:
    """The line with which the harness refuses a system's checkpoint.

    It names the checkpoint or its folder.
    """
    from benchmarks import run

    options = ("--systems", system, "--ckpt", f"{system}={path}")
    line = refusal(run.main, capsys, "reconstruction", "--dry-run", *options)
    assert str(path if path.is_dir() else path.parent) in line
    return line


def refused_file(read: Callable[[Path], object], path: Path) -> str:
    """The line with which a reader refuses a file, which it names once."""
    with pytest.raises(UserError) as error:
        read(path)
    line = str(error.value)
    assert line.count(str(path)) == 1 and "\n" not in line
    return line
