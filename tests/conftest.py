"""Options of the test suite."""

import os
from pathlib import Path

import pytest

# Before torch is imported: in small tests two threads mostly wait for each other, so
# the suite runs in processes of one thread (`-n 2`).
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a person has fetched or computed does not decide tests.
os.environ.setdefault("DIFFAE_CACHE", str(Path.home() / ".cache" / "diffae-tests"))


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist would start with the files of many tests; the slowest files have few, and would run last.
    config.option.loadscopereorder = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run-folder", type=Path, help="folder of a finished quick run, for claims.py"
    )
    parser.addoption(
        "--dist-folder", type=Path, help="empty folder in which wheel.py leaves what it built"
    )
