"""The golden values of the page of validation."""

import re
from pathlib import Path

from benchmarks.metrics.networks.golden import GOLDEN

DOCS = Path(__file__).parents[1] / "docs"
VALIDATION = (DOCS / "results" / "validation.md").read_text()


def test_golden_values_are_those_that_are_checked():
    row = r"^\| `(.+?)` \| (.+?) \| ([\d.]+) \| ([\d.]+) \|$"
    rows = re.findall(row, VALIDATION, re.MULTILINE)
    printed = {
        (
            network,
            "distance of features" if "features" in kind else "perceptual distance",
            pair,
        ): value
        for network, kind, *values in rows
        for pair, value in zip(("ab", "ac"), map(float, values), strict=True)
    }
    assert printed == {(one.network, one.kind, one.pair): one.value for one in GOLDEN}
