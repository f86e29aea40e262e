"""Programs on a real GPU where there is one, else on the pretended one (tests/helpers/pretend_gpu).

Each is a process of its own.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import in_process
import pretend_gpu
import pytest
import torch

HELPERS = Path(pretend_gpu.__file__).parents[1]
Program = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="session")
def gpu_is_real() -> bool:
    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def on_gpu(gpu_is_real: bool, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Run a module with these words on the GPU, to its end."""
    if not gpu_is_real and (reason := pretend_gpu.reason_to_skip()) is not None:
        pytest.skip(reason)
    cache = tmp_path_factory.mktemp("gpu")

    def run(*words: object) -> CompletedProcess[str]:
        environment = in_process.environment(cache)
        environment["PYTHONPATH"] += os.pathsep + str(HELPERS)
        on_real = [sys.executable, "-m", *map(str, words)]
        command = on_real if gpu_is_real else pretend_gpu.words(*words)
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cache)

    return run


@pytest.fixture(scope="session")
def on_pretended_gpu(gpu_is_real: bool, on_gpu: Program) -> Program:
    """`on_gpu`, for what the pretended GPU alone counts or limits."""
    if gpu_is_real:
        pytest.skip("needs the pretended GPU, and there is a real one")
    return on_gpu
