"""The golden values of the page of validation."""

import re
from pathlib import Path

from golden import GOLDEN

DOCS = Path(__file__).parents[1] / "docs"
VALIDATION = (DOCS / "results" / "validation.md").read_text()


def test_golden_values_are_those_that_are_checked():
    row = r"^\| `(.+?)` \| (.+?) \| ([\d.]+) \| ([\d.]+) \|$"
    printed = {
        (network, "features" in kind): tuple(map(float, values))
        for network, kind, *values in re.findall(row, VALIDATION, re.MULTILINE)
    }
    assert printed == {
        (network, "features" in kind): values for (network, kind), values in GOLDEN.items()
    }
