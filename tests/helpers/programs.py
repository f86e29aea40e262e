"""Programs that some tests need and Python cannot install: a browser and LaTeX, both Debian packages.

Where one is absent its tests are skipped and say which package has it; with DIFFAE_REQUIRE_PROGRAMS=1, as in `tox -e pages`,
they fail.
"""

import os
import shutil

import pytest

PACKAGES = {
    "chromium": "chromium",
    "pdflatex": "texlive-latex-base texlive-latex-recommended lmodern",
    "pdftotext": "poppler-utils",
}


def program(name: str) -> str:
    """The path of a program; without it the test that asks is skipped, or fails where programs are required."""
    if found := shutil.which(name):
        return found
    reason = f"{name} is not installed: apt-get install {PACKAGES[name]}"
    if os.environ.get("DIFFAE_REQUIRE_PROGRAMS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
