"""Rows measured on images that other software reads differently say so."""

from dataclasses import replace

import numpy as np
import pytest
from lone_context import small_context
from PIL import Image

from benchmarks import measure
from benchmarks.core.measurement import Measurement, Place
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.evaluation import rows
from diffae.data import open_dataset
from diffae.data.transforms import decode, decode_plainly
from reports.records.estimate import Estimate


def recorded_by(context, estimate, note):
    """The record of an estimate by a benchmark."""

    def references(context):
        place = Place(context, "table1_reconstruction", title="x", note=note)
        yield Measurement([], lambda: place.numbers({"mse": estimate}))

    return rows(replace(REGISTRY.get("reconstruction"), references=references), context, [])


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_row_counts_the_images_with_alpha(tmp_path, mode, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    pixels = np.zeros((16, 16, 4), np.uint8)
    for index in range(4):
        Image.fromarray(pixels).convert(mode).save(tmp_path / "set" / f"{index}.png")
    context = small_context(open_dataset(tmp_path / "set", 16), tmp_path)
    (row,) = recorded_by(context, Estimate(0.5), "as it is")
    said = "; 4 of 4 images have transparency, laid on white" if mode == "RGBA" else ""
    assert row.note == "as it is" + said
    (row,) = recorded_by(context, Estimate(None), "none")
    assert row.note == "none"


# ----------------------------------------------------------------------------------------------
# benchmarks.measure: where its reading and pytorch-fid's part


def write_odd(folder):
    """Four files that the two read differently, and one that they read alike."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "rgba.png")
    Image.fromarray(pixels[..., :2]).save(folder / "la.png")
    Image.fromarray(rng.integers(0, 65536, (8, 8), dtype=np.uint16)).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels[..., :3]).save(folder / "turned.png", exif=exif)
    Image.fromarray(pixels[..., :3]).save(folder / "plain.png")
    return folder


def test_pytorch_fids_reading_is_pytorch_fids(tmp_path):
    fid_score = pytest.importorskip("pytorch_fid.fid_score")
    files = sorted(write_odd(tmp_path / "odd").iterdir())
    theirs = fid_score.ImagePathDataset(files, transforms=np.asarray)
    for index, path in enumerate(files):
        np.testing.assert_array_equal(np.asarray(decode_plainly(path)), theirs[index])
        same = np.array_equal(np.asarray(decode(path)), theirs[index])
        assert same == (path.name == "plain.png"), path.name


def test_measure_says_how_it_reads(tmp_path, capsys):
    """The plain copies of what pytorch-fid sees are those files to its reading, and not to ours."""
    odd = write_odd(tmp_path / "odd")
    (tmp_path / "plain").mkdir()
    for path in odd.iterdir():
        Image.open(path).convert("RGB").save(tmp_path / "plain" / path.name)
    folders = [str(odd), str(tmp_path / "plain")]
    measure.main(["mse", *folders, "--reading", "pytorch-fid"])
    said = capsys.readouterr()
    assert "images read as by pytorch-fid\n" in said.out and said.out.endswith("mse 0\n")
    assert said.err == ""
    measure.main(["mse", *folders])
    said = capsys.readouterr()
    assert float(said.out.split()[-1]) > 0.01 and "read as by" not in said.out
    assert said.err == (
        f"warning: {odd}: 2 of 5 images have transparency, laid on white; 1 of 5 images have 16 bits per channel, "
        "scaled to 8; see --reading\n"
    )
