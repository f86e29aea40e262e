"""The pages of the reference, which are made of the tables of the code."""

import csv
import importlib
import inspect
import re

import pytest

from benchmarks.commands import pages
from benchmarks.console import COMMANDS
from benchmarks.core.profiles import BUILT_IN, PROFILES
from benchmarks.reference import presets, python
from diffae.train.dry_run import operations, plan
from diffae.train.presets import PRESETS
from diffae.train.stages import AUTOENCODER
from reports.records.explained import EXPLAINED, anchor
from reports.records.metrics import METRICS


def rows(page):
    """The cells of each row of a page's tables, by the first cell."""
    lines = re.findall(r"^\| (.+) \|$", pages.text_of(page), re.M)
    cells = [line.split(" | ") for line in lines]
    return {first.strip("`* "): rest for first, *rest in cells}


def test_every_metric_is_explained_under_its_name_or_that_of_the_published_one():
    text = pages.text_of("metrics")
    assert EXPLAINED.keys() <= METRICS.keys()
    for name in METRICS:
        _, heading, section = text.partition(f"\n### `{anchor(name)}`\n")
        assert heading and f"`{name}`" in heading + section.partition("\n### ")[0], name
    assert (
        "    10 log10(1 / mse), the mean over images\n\n- **Better**: higher. Unit: dB.\n" in text
    )


def test_settings_have_a_meaning_and_the_values_of_the_profiles():
    meaning, *values = rows("profiles")["reconstruction.images"]
    sizes = [PROFILES[profile].sections["reconstruction"] for profile in BUILT_IN]
    assert meaning and values == [f"{one.images:,}" for one in sizes]


def test_a_protocol_is_described_by_what_differs_from_plain():
    assert rows("every-protocol")["torch-fidelity"][1:] == ["as plain", "resize tensorflow", *"–––"]


def test_a_page_of_a_command_escapes_text_and_not_code():
    assert "job's summary ($GITHUB" not in (text := pages.text_of("commands/compare"))
    assert "\n    python -m reports.compare BASE NEW --junit gate.xml" in text
    assert "`--junit FILE`\n:   write the verdicts" in text
    assert {f"commands/{name}" for name in COMMANDS} < pages.MADE.keys()


def test_signatures_are_as_written_and_public_names_have_docstrings():
    text = pages.text_of("api/benchmarks")
    assert (
        "    data: str | Path | Dataset | None = None,\n" in text
        and "    **settings: Any,\n) -> Results" in text
    )
    assert "compare(base: Results | str | Path, alpha: float = 0.05) -> pd.DataFrame\n" in text
    assert "failures: list[Record]\n" in text
    assert re.search(
        "^    why +why there is no value", pages.text_of("api/benchmarks.plugin"), re.M
    )
    for name in pages.MODULES:
        for member, value in python.public(importlib.import_module(name)):
            function = python.function_of(value)
            is_constant = not inspect.isclass(function) and not inspect.isroutine(function)
            assert is_constant or python.docstring(value), f"{name}.{member}"


def counted():
    with presets.COUNTED.open(newline="") as file:
        return {row["preset"]: (row["parameters"], row["gflops"]) for row in csv.DictReader(file)}


def count(name):
    *_, image = plan(PRESETS[name], "cpu", AUTOENCODER)
    parameters = sum(p.numel() for p in image.network.parameters())
    return str(parameters), f"{operations(image) / 1e9:.1f}"


def test_the_stored_costs_of_presets_are_counted():
    assert list(counted()) == list(PRESETS)
    assert counted()["portraits-ddim"] == count("portraits-ddim")


@pytest.mark.slow  # a minute
def test_all_stored_costs_of_presets_are_counted():
    assert counted() == {name: count(name) for name in PRESETS}
