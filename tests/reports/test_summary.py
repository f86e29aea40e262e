"""The end of a run in a few lines."""

from dataclasses import replace

import numpy as np
import pytest
from page_runs import SCORES, harmful, measured, number, two_systems, write_run

from reports.page.reading import read
from reports.records import record_key
from reports.summary import LINES, ROWS, WIDTH, summary

TABLE = "table1_reconstruction"


def lines(folder) -> list[str]:
    return summary(read([folder]))


def test_a_difference_on_every_image_is_no_noise(tmp_path):
    """DDIM is behind by 0.01 on each image: smaller than the spread of the images, and sure."""
    first, second = lines(two_systems(tmp_path / "run", np.full(50, 0.01)))
    assert first.split()[:2] == ["reconstruction", "DiffAE"] and first.endswith("best")
    assert second.endswith("behind by 0.0100") and "SSIM ↑" in second


def test_a_difference_that_chance_explains_is_below_noise(tmp_path):
    behind = np.random.default_rng(1).normal(0.001, 0.05, 50)
    first, second = lines(two_systems(tmp_path / "run", behind))
    assert first.endswith("best, below noise") and second.endswith("below noise")


def test_a_setting_that_flatters_is_not_chosen(tmp_path):
    """DiffAE's x_T inverted stands for it, though a random one scores more here."""
    inverted, u = measured(
        number(TABLE, "ssim", None, setting="x_T inverted", steps=4), SCORES - 0.2
    )
    random, v = measured(number(TABLE, "ssim", None, setting="x_T random", steps=4), SCORES)
    folder = write_run(
        tmp_path / "run", [inverted, random], {record_key(inverted): u, record_key(random): v}
    )
    (line,) = lines(folder)
    assert f"{inverted.value:.4f}" in line and "T = 4" in line


def test_the_scale_stands_below(tmp_path):
    ours, u = measured(number(TABLE, "ssim", None), SCORES)
    folder = write_run(
        tmp_path / "run",
        [ours, number(TABLE, "ssim", 0.95, system="pixels", reference=True)],
        {record_key(ours): u},
    )
    first, second = lines(folder)
    assert "pixels" in second and second.endswith("for scale") and not first.endswith("best")


@pytest.mark.parametrize("count", [1, ROWS, ROWS + 1, 60])
def test_it_fits_a_terminal_whatever_there_is(tmp_path, count):
    name = "a system of a very long name indeed, number"
    records = [number(TABLE, "ssim", 0.9 - i / 1e3, system=f"{i} {name}") for i in range(count)]
    absent = [number(TABLE, "ssim", None, system=f"{name} {i}", note="why") for i in range(count)]
    found = lines(write_run(tmp_path / "run", [*records, *absent]))
    assert len(found) <= LINES - 3 and max(map(len, found)) <= WIDTH
    hidden = [line for line in found if line.startswith("and ")]
    assert hidden == ([f"and {count - ROWS} more, in the tables"] if count > ROWS else [])


def test_what_was_not_measured_is_said_once(tmp_path):
    note = "folder has no attributes"
    absent = [
        replace(number(table, "auroc", None), benchmark=b, system="all systems", note=note)
        for b, table in (("probes", "section5.3_probe"), ("identity", "appendix_g_identity"))
    ]
    found = lines(write_run(tmp_path / "run", [number(TABLE, "ssim", 0.9), *absent]))
    assert found[-1] == f"not measured: probes, identity (all systems: {note})"


def test_names_from_outside_stay_on_their_line(tmp_path):
    for line in lines(harmful(tmp_path / "run")):
        assert "\n" not in line and len(line) <= WIDTH
