"""Programs that some tests need and pip cannot install: a browser and LaTeX, both Debian packages.

If one is missing, its tests are skipped and name the package; with DIFFAE_REQUIRE_PROGRAMS=1, as in
`tox -e pages`, they fail.
"""

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest

PACKAGES = {
    "chromium": "chromium",
    "openssl": "openssl",
    "pdflatex": "texlive-latex-base texlive-latex-recommended lmodern",
    "pdftotext": "poppler-utils",
}


def program(name: str) -> str:
    """The path of a program; if missing, the test is skipped, or fails if programs are required."""
    if found := shutil.which(name):
        return found
    _absent(f"{name} is not installed: apt-get install {PACKAGES[name]}")


def extra(module: str, name: str) -> None:
    """As `program`, for a module that an optional extra of this package brings."""
    if importlib.util.find_spec(module) is None:
        _absent(f"{module} is not installed: pip install -e '.[{name}]'")


def _absent(reason: str) -> NoReturn:
    if os.environ.get("DIFFAE_REQUIRE_PROGRAMS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
