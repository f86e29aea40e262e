"""Run a command in this process, where PyTorch is imported already, or in a real one."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO

import pytest

from diffae.system import cli

Main = Callable[[list[str]], int | None]


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Restore what a command that runs here makes of signals."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def command(main: Main, *arguments: object, cache: Path) -> CompletedProcess[str]:
    """Run `main` as `python -m` would, in the folder `cache` and with it as DIFFAE_CACHE: status
    and output.

    An exception that would end a real process with a traceback is raised here too.
    """
    words = list(map(str, arguments))
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cache),
        signals_kept(),
    ):
        patch.setitem(os.environ, "DIFFAE_CACHE", str(cache))
        patch.setattr(sys, "argv", list(sys.argv))  # the console scripts put their name there
        try:
            cli.run(lambda: main(words))
        except SystemExit as ended:
            status = int(ended.code or 0)
    return CompletedProcess(words, status, out.getvalue(), err.getvalue())


def environment(cache: Path) -> dict[str, str]:
    """The environment of a real process: this tree's packages, one thread, and `cache` as DIFFAE_CACHE."""
    root = Path(__file__).parents[2]
    found = f"{root}{os.pathsep}{root / 'tests' / 'kit'}"
    paths = {"DIFFAE_CACHE": str(cache), "PYTHONPATH": found}
    return os.environ | paths | {"OMP_NUM_THREADS": "1"}


def start(
    *arguments: object, cache: Path, processes: int = 1, output: int | IO[str] = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start `python -m benchmarks.run` in a real process, or in several under torchrun."""
    launch = [sys.executable, "-m"]
    if processes > 1:
        launch += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    return subprocess.Popen(
        [*launch, "benchmarks.run", *map(str, arguments)],
        env=environment(cache),
        stdout=output,
        stderr=output,
        text=True,
        cwd=cache,
    )
