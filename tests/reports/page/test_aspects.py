"""What each system keeps and loses: which numbers, where they are on their axes, and against what."""

import math

import numpy as np
import pytest
from runs import SCORES, measured, number, write_run
from scipy.stats import norm

from reports.page.aspects import panels_of
from reports.records.record import Record
from reports.tables.build import read

TABLE1, IDENTITY, ROBUST = "table1_reconstruction", "appendix_g_identity", "latent_robustness"
PCA = {"system": "pixels + PCA", "reference": True}
REAL = {"system": "real images (test)", "reference": True, "benchmark": "identity"}


def within(value: float, half: float) -> dict:
    """A 95 % interval."""
    return {"value": value, "stderr": half / norm.ppf(0.975), "df": math.inf}


def panels(*records: Record, folder) -> dict[str, dict]:
    """The aspects of each system, of a run of these records."""
    view = panels_of(read([write_run(folder / "run", records)]), {})
    return {panel["system"]: panel["aspects"] for panel in view["panels"]}


def test_positions_on_an_axis_from_the_worst_to_the_limit(tmp_path):
    """Of a similarity to 1, of a distance to 0, of decibels to the best of the run."""
    found = panels(
        number(TABLE1, "ssim", **within(0.9, 0.05)),
        number(TABLE1, "ssim", **within(0.6, 0.1), **PCA),
        number(TABLE1, "lpips", **within(0.1, 0.02)),
        number(TABLE1, "lpips", 0.4, system="DDIM"),
        number(TABLE1, "psnr", unit="dB", **within(30, 5)),
        number(TABLE1, "psnr", unit="dB", **within(20, 5), **PCA),
        folder=tmp_path,
    )
    ssim, psnr = found["DiffAE"]["structure"]
    assert ssim["at"] == [70, 80, 90] and ssim["others"] == [(20, 1, "pixels + PCA")]
    assert ssim["ends"] == ["0.5", "1"]
    assert psnr["at"] == [50, 75, 100] and psnr["ends"] == ["15", "35"]
    (lpips,) = found["DiffAE"]["texture"]
    assert lpips["at"] == [80, 75, 70] and lpips["others"] == [(0, 0, "DDIM")]
    assert lpips["ends"] == ["0.4", "0"]
    assert found["DDIM"]["structure"] == [] and list(found) == ["DiffAE", "DDIM"]


def test_what_is_beyond_the_limit_by_chance_is_at_the_end(tmp_path):
    """An unbiased distance below 0."""
    record = number(TABLE1, "rkid", **within(-0.01, 0.002))
    (row,) = panels(record, number(TABLE1, "rkid", 0.1, **PCA), folder=tmp_path)["DiffAE"][
        "texture"
    ]
    assert row["at"] == [100, 100, 100] and row["ends"] == ["0.1", "0"]
    assert row["value"] == "-0.01000"


def test_an_infinite_number_is_not_drawn(tmp_path):
    """And one that is alone at its limit has an axis without length."""
    records = [number(TABLE1, "psnr", float("inf"), unit="dB"), number(TABLE1, "ssim", 1.0)]
    (row,) = panels(*records, folder=tmp_path)["DiffAE"]["structure"]
    assert row["label"] == "SSIM ↑" and row["at"] == [100, 100, 100] and row["against"] == ""


@pytest.mark.parametrize(("size", "side"), [(0.1, "ahead of"), (-0.1, "behind")])
def test_the_difference_to_the_best_reference_is_paired(tmp_path, size, side):
    """By image: its error is that of the images' differences; another system that is better, or a
    reference that is worse, changes nothing.
    """
    ours, theirs = SCORES, SCORES * (1 - size)
    records = [
        measured(number(TABLE1, "ssim", None), ours),
        measured(number(TABLE1, "ssim", None, **PCA), theirs),
        measured(number(TABLE1, "ssim", None, system="worse", reference=True), SCORES * 0.5),
        measured(number(TABLE1, "ssim", None, system="DDIM"), SCORES * 1.05),
    ]
    view = panels_of(read([write_run(tmp_path / "run", records)]), {})
    (row,) = view["panels"][0]["aspects"]["structure"]
    error = (ours - theirs).std(ddof=1) / len(ours) ** 0.5
    gap, _, error_said, *words = row["against"].split()
    assert " ".join(words) == f"{side} pixels + PCA"
    assert float(gap) == pytest.approx(abs(ours.mean() - theirs.mean()), abs=1e-4)
    assert float(error_said) == pytest.approx(error, rel=0.05)


def test_without_a_reference_the_best_other_system_is_the_measure(tmp_path):
    noise = np.random.default_rng(1).normal(0, 0.02, 50)
    records = [
        measured(number(TABLE1, "ssim", None), SCORES),
        measured(number(TABLE1, "ssim", None, system="DDIM"), SCORES + noise - noise.mean() + 1e-4),
        measured(number(TABLE1, "ssim", None, system="VAE"), SCORES - 0.1),
    ]
    view = panels_of(read([write_run(tmp_path / "run", records)]), {})
    (row,) = view["panels"][0]["aspects"]["structure"]
    assert row["against"].endswith("behind DDIM, within noise")


def test_which_of_several_settings_is_shown(tmp_path):
    """Without inverted noise, at the largest T; of edits the unedited; of real images all; of levels of noise 0.3."""
    of_noise = {"benchmark": "latent"}
    found = panels(
        number(TABLE1, "ssim", 0.8, setting="x_T inverted", steps=10),
        number(TABLE1, "ssim", 0.9, setting="x_T inverted", steps=100, solver="ddim"),
        number(TABLE1, "ssim", 0.7, setting="x_T random", steps=100, solver="ddim"),
        number(IDENTITY, "arcface", 0.4, setting="Male 0.8", benchmark="identity"),
        number(IDENTITY, "arcface", 0.9, setting="Male 0", benchmark="identity"),
        number(IDENTITY, "arcface", 0.5, setting="the same person", **REAL),
        number(IDENTITY, "arcface", 0.0, setting="different people", **REAL),
        *(
            number(ROBUST, "lpips", value, setting=f"noise {level}", **of_noise)
            for level, value in ((0.1, 0.2), (0.3, 0.5), (1, 0.9))
        ),
        number(ROBUST, "lpips", 0.3, setting="2 bits", **of_noise),
        folder=tmp_path,
    )["DiffAE"]
    (ssim,) = found["structure"]
    assert (ssim["value"], ssim["words"]) == ("0.7000", "x_T random, T = 100")
    (face,) = found["identity"]
    assert (face["value"], face["words"]) == ("0.9000", "Male 0")
    assert face["others"] == [(50, 1, "the same person"), (0, 2, "different people")]
    noise, bits = found["smoothness of the codes"]
    assert (noise["value"], noise["words"], bits["words"]) == ("0.5000", "noise 0.3", "2 bits")


def test_stand_ins_take_the_places_of_metrics(tmp_path):
    records = [number(TABLE1, name, 0.2) for name in ("pd_effnet", "rkd_effnet")]
    rows = panels(*records, folder=tmp_path)["DiffAE"]["texture"]
    assert [row["label"] for row in rows] == ["pd_effnet ↓", "rkd_effnet ↓"]


def test_numbers_that_were_measured_otherwise_share_no_axis(tmp_path):
    runs = []
    for name, value, crop in (("a", 0.8, "center"), ("b", 0.2, "none")):
        fields = {"benchmark": "reconstruction", "seed": 0, "transform": {"crop": crop}}
        records = [number(TABLE1, "ssim", value), number(TABLE1, "ssim", value / 2, **PCA)]
        runs.append(write_run(tmp_path / name, records, protocols={"p0": fields}))
    view = panels_of(read(runs), {})
    rows = {panel["system"]: panel["aspects"]["structure"][0] for panel in view["panels"]}
    assert rows["DiffAE (a)"]["others"] == [(0, 1, "pixels + PCA (a)")]
    assert rows["DiffAE (b)"]["others"] == [(0, 2, "pixels + PCA (b)")]
    assert [row["ends"][0] for row in rows.values()] == ["0.4", "0.1"]


def test_a_run_of_other_numbers_has_no_panels(tmp_path):
    assert panels(number("table2_ablation", "ssim", 0.9), folder=tmp_path) == {}
    assert panels(number(TABLE1, "ssim", 0.9, **PCA), folder=tmp_path / "scale") == {}
