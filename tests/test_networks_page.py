"""docs/networks.md against the table of weights, and the golden values of the page of validation."""

import re
from pathlib import Path

import pytest

from benchmarks.metrics.networks.golden import GOLDEN
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


def test_metrics_of_the_page_exist():
    words = {word for line in ROWS for word in line.split("`")[1::2]}
    assert {"fd_dinov2_vitl14", "lpips_vgg", "id_dlib"} <= words & METRICS.keys()
