"""Options of the test suite."""

import os
from pathlib import Path

import pytest

# Before torch is imported: of two threads each waits for the other most of the time of a small test, so
# the suite runs in processes of one thread (`-n 2`).
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist would begin with the files of many tests; the longest are files of few, and would be waited for at the end.
    config.option.loadscopereorder = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run-folder", type=Path, help="folder of a finished quick run, for claims.py"
    )
