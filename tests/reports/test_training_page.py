"""Evaluations of a training over images seen, on a page."""

import re

import pytest
from gate_runs import KEY, SSIM, write_run
from refusal import refusal
from run_folders import change_notes

from reports import training
from reports.trend.page import evaluations, figures

BASELINE = ("DDIM", "", "ssim")


def evaluated(folder, images, scores, stage="image"):
    run = write_run(folder / "evaluations" / stage / f"{images:012}", scores)
    return change_notes(run, ended="2026-01-01T10:00:00+00:00")


@pytest.fixture
def folder(tmp_path):
    """A training of an autoencoder, measured three times, its latent DDIM once, and the baseline
    beside it twice.
    """
    out = tmp_path / "faces"
    for images, lost in ((9_000, 0.01), (100_000, 0.0), (30_000, 0.005)):
        evaluated(out, images, {KEY: SSIM - lost})
    evaluated(out, 2_000_000, {KEY: SSIM}, "latent")
    for images in (30_000, 60_000):
        evaluated(out / "ddim", images, {BASELINE: SSIM - 0.1})
    (out / "evaluations/image/000000009000.log").write_text("what an evaluation said that failed")
    (out / "evaluations/image/.000000000064.0a1b2c3d.partial").mkdir()
    return out


def test_a_metric_is_a_line_over_images_seen_with_its_intervals(folder):
    found = evaluations(folder)
    assert {stage: [seen for seen, _ in runs] for stage, runs in found.items()} == {
        "image": [9_000, 30_000, 30_000, 60_000, 100_000],
        "latent": [2_000_000],
    }
    (ssim,) = figures(found["image"], by_images=True)
    own, baseline = ssim["plot"].key
    assert (own.name, baseline.name) == ("DiffAE", "DDIM")
    assert [point.x for point in own.points] == [9_000, 30_000, 100_000]
    assert [point.x for point in baseline.points] == [30_000, 60_000]
    half = 1.972 * SSIM.std(ddof=1) / 200**0.5  # Student's t of 199
    assert own.points[0].y == pytest.approx(SSIM.mean() - 0.01)
    assert own.points[0].high - own.points[0].y == pytest.approx(half, rel=1e-3)
    assert [cells[0] for cells, _ in ssim["rows"]] == ["100,000", "60,000", "30,000", "9,000"]
    assert [bool(value) for value in ssim["rows"][1][1]] == [False, True]


def test_the_command_writes_one_page_that_stands_alone(folder, tmp_path, capsys):
    page = tmp_path / "training.html"
    training.main([str(folder), "--out", str(page)])
    text = page.read_text()
    assert capsys.readouterr().out == f"{page}\n"
    assert "faces: evaluations while it was trained" in text and "images seen" in text
    assert text.count("<figure") == 2 and "latent: reconstruction" in text
    assert "default-src &#39;none&#39;" in text and "<script" not in text
    assert "100 k" in text  # a tick


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "no evaluations of a training are in it (--evaluate-every N)"),
        (lambda folder: (evaluated(folder, 8, {KEY: SSIM}) / "records.csv").unlink(), "records.csv"),
        (lambda folder: (evaluated(folder, 8, {KEY: SSIM}) / "run.json").write_text("{"), "run.json"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(tmp_path, capsys, make, said):
    make(tmp_path)
    error = refusal(training.main, capsys, tmp_path, "--out", tmp_path / "page.html")
    assert said in error and not (tmp_path / "page.html").exists()


def test_a_page_has_the_name_of_its_folder_and_how_much_was_evaluated(folder, monkeypatch):
    """Also from within the folder."""
    monkeypatch.chdir(folder)
    training.main([".", "--out", "../page.html"])
    text = (folder.parent / "page.html").read_text()
    assert "<title>faces: evaluations while it was trained" in text
    told = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", text, re.S)
    assert told[0] == (
        "Evaluations",
        "image: 5, to 100,000 images; latent: 1, to 2,000,000 images",
    )
