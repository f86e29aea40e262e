"""docs/presets.md is up to date.

To update it: python docs/presets.py
"""

from pathlib import Path

import pytest
from doc_scripts import script

from diffae.train.presets import PRESETS

PAGE = Path(__file__).parents[1] / "docs" / "presets.md"
presets_table = script(PAGE.with_suffix(".py"))


def committed_costs() -> str:
    _, _, after = PAGE.read_text().partition(presets_table.COSTS + "\n\n")
    return after.partition("\n\n")[0]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_is_made_of_the_presets():
    costs = committed_costs()
    assert PAGE.read_text() == presets_table.page(costs)
    assert [cells(row)[0] for row in costs.splitlines()[2:]] == [f"`{name}`" for name in PRESETS]


def test_its_costs_are_counted():
    name = "portraits-ddim"
    (row,) = [cells(r) for r in committed_costs().splitlines() if cells(r)[0] == f"`{name}`"]
    assert row == cells(presets_table.costs_table([PRESETS[name]]).splitlines()[-1])


@pytest.mark.slow  # a minute
def test_all_of_its_costs_are_counted():
    assert PAGE.read_text() == presets_table.page()
