"""docs/networks.md against the table of weights, and the golden values of the page of validation."""

import re
from pathlib import Path

import pytest
from golden import GOLDEN

from benchmarks.weights import KNOWN
from reports.records.metrics import METRICS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "networks.md").read_text()
VALIDATION = (DOCS / "results" / "validation.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("name", KNOWN)
def test_every_network_has_a_row_with_its_licence(name):
    row = next(line for line in ROWS if f"`{name}`" in line.split("|")[1])
    licence = KNOWN[name].licence.split(" ")[0].removesuffix(";")
    assert licence in row


def test_golden_values_are_those_that_are_checked():
    row = r"^\| `(.+?)` \| (.+?) \| ([\d.]+) \| ([\d.]+) \|$"
    printed = {
        (network, "features" in kind): tuple(map(float, values))
        for network, kind, *values in re.findall(row, VALIDATION, re.MULTILINE)
    }
    assert printed == {
        (network, "features" in kind): values for (network, kind), values in GOLDEN.items()
    }


def test_metrics_of_the_page_exist():
    words = {word for line in ROWS for word in line.split("`")[1::2]}
    assert {"fd_dinov2_vitl14", "lpips_vgg", "id_dlib"} <= words & METRICS.keys()
