"""The end of a run in a few lines."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from runs import fid, harmful, number, two_systems, write_run

from reports.page.summary import FILES, LINES, SYSTEM, WIDTH, summary
from reports.records.record import HIGHER
from reports.tables.build import read

TABLE = "table1_reconstruction"


def lines(folder) -> list[str]:
    return summary(read([folder]))


def test_a_difference_that_chance_explains_is_within_noise(tmp_path):
    behind = np.random.default_rng(1).normal(0.001, 0.05, 50)
    first, second = lines(two_systems(tmp_path / "run", behind))
    assert first.endswith("best, within noise") and second.endswith(" behind, within noise")


@pytest.mark.parametrize("order", [1, -1])
def test_an_edit_is_told_by_its_largest_strength(tmp_path, order):
    """The largest keeps least of the person; the smallest would flatter every system. Strengths
    stand as they were given.
    """
    kept = dict([("Male 0.15", 0.9), ("Male 0.3", 0.8), ("Male 0.8", 0.6)][::order])
    records = [
        number(
            "appendix_g_identity", "arcface", value - behind, system=system, setting=setting,
            direction=HIGHER, benchmark="identity", stderr=0.0,
        )
        for system, behind in (("DiffAE", 0.0), ("PCA", 0.3))
        for setting, value in kept.items()
    ]  # fmt: skip
    first, second = lines(write_run(tmp_path / "run", records))
    assert first.split() == "identity: ArcFace ↑, DiffAE 0.6000 ± 0.0000 best".split()
    assert second.split() == "Male 0.8, n = 50 PCA 0.3000 ± 0.0000 0.3000 behind".split()


@pytest.mark.parametrize("count", [1, 10, 11, 60])
def test_it_fits_a_terminal_whatever_there_is(tmp_path, count):
    """Each name takes three lines, and what was not measured three: ten are shown, and whole."""
    name = "a system of a name so long that it takes three lines, number"
    records = [number(TABLE, "ssim", 0.9 - i / 1e3, system=f"{name} {i}") for i in range(count)]
    absent = [number(TABLE, "ssim", None, system=f"{name} {i}!", note="why") for i in range(count)]
    found = lines(write_run(tmp_path / "run", [*records, *absent]))
    assert len(found) <= LINES - 3 and max(map(len, found)) <= WIDTH
    column = found[0].index("a system")
    names = " ".join(" ".join(line[column : column + SYSTEM] for line in found).split())
    shown = min(count, 10)
    assert [f"{name} {i} " in f"{names} " for i in range(count)].count(True) == shown
    hidden = [line for line in found if line.startswith("and ")]
    assert hidden == ([f"and {count - shown} more, in the tables"] if count > shown else [])


def test_systems_come_before_references_unless_these_are_better(tmp_path):
    """Three benchmarks of fifteen systems and a reference: of one it is better than all, which has
    to be seen.
    """
    records = []
    for benchmark, table, metric, scale in (
        ("unconditional", "table4_unconditional_fid", "fid", 0.5),
        ("denoising", "figure6_denoising", "mse", 99.0),
        ("interpolation", "appendix_f_smoothness", "ppl", 99.0),
    ):
        exact = partial(number, table, metric, stderr=0.0)
        systems = [exact(1.0 + i, system=f"system {i}") for i in range(15)]
        reference = exact(scale, system="scale", reference=True)
        records += [replace(r, benchmark=benchmark) for r in (*systems, reference)]
    found = lines(write_run(tmp_path / "run", records))
    assert len(found) == LINES - FILES + 1 and found[-1] == "and 13 more, in the tables"
    assert [line.split()[0] for line in found if "scale" in line] == ["scale"]
    assert next(line for line in found if "scale" in line).endswith("reference, better")
    assert sum(" system " in line for line in found) == 34


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


def test_the_only_system_of_an_n_is_not_called_the_only_system(tmp_path):
    """Another has numbers of another n, with which it is not compared."""
    for n, words in ((64, "the only one of this n"), (None, "the only system")):
        records = [fid("A", 10.0, n=8), *([fid("B", 1.0, n=n)] if n else [])]
        first, *others = lines(write_run(tmp_path / f"{n}", records))
        alone = ("A", "B")[n is not None]  # of one system each, the larger n competes
        assert first.split()[-len(words.split()) :] == words.split() and f" {alone} " in first
        assert [line.endswith("not compared: n = 8") for line in others if " A " in line] == (
            [True] if n else []
        )


def test_a_reference_that_was_not_measured_is_no_system_that_is_missing(tmp_path):
    records = [
        number(TABLE, "ssim", 0.9),
        number("section5.3_probe", "auroc", None, benchmark="probes", note="no labels"),
        number("section5.3_probe", "auroc", None, benchmark="probes", system="pixels", reference=True, note="no labels"),
    ]  # fmt: skip
    found = lines(write_run(tmp_path / "run", records))
    assert found[-1] == "not measured: probes (DiffAE)"


def test_a_system_with_a_reference_among_its_numbers_is_missed_where_it_has_none(tmp_path):
    """As the code of the truth, which is an edit of every system's."""
    edits = {"benchmark": "edits", "setting": "code of the truth", "reference": True}
    records = [
        number("edits", "off_target", 0.0, **edits),
        number("edits", "off_target", 0.5, benchmark="edits", setting="paper"),
        number("section5.3_probe", "auroc", None, benchmark="probes", note="no labels"),
    ]
    found = read([write_run(tmp_path / "run", records)])
    assert found.references == set()
    assert "not measured: probes (DiffAE)" in summary(found)
