"""Programs on the pretend GPU (tests/helpers/pretend_gpu), each a process of its own."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import in_process
import pretend_gpu
import pytest

HELPERS = Path(pretend_gpu.__file__).parents[1]


@pytest.fixture(scope="session")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CompletedProcess[str]]:
    """Run `python -m pretend_gpu` with these words, to its end."""
    if (reason := pretend_gpu.reason_to_skip()) is not None:
        pytest.skip(reason)
    cache = tmp_path_factory.mktemp("gpu")

    def run(*words: object) -> CompletedProcess[str]:
        environment = in_process.environment(cache)
        environment["PYTHONPATH"] += os.pathsep + str(HELPERS)
        command = pretend_gpu.words(*words)
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cache)

    return run
