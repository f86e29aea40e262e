"""Options of the test suite."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run-folder", type=Path, help="folder of a finished quick run, for claims.py"
    )
