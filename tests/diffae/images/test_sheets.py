"""The sheet of every command of `diffae.images`: each cell is the picture that its captions name.

Expected pictures are decoded here from the model's own codes, or by the functions of the package.
"""

import re

import in_process
import numpy as np
import pytest
import torch
from painted import cells_of
from PIL import Image

from diffae import images
from diffae.images import commands
from diffae.images.__main__ import main

FEW = {"steps": 2, "solver": "fast"}
A, B = 0, 1  # the pictures that are given, of the four


@pytest.fixture
def made(tmp_path, faces, monkeypatch):
    """A command on the first two faces, or on none: its sheet, and its files by name."""

    def run(verb: str, *arguments: str, given: bool = True):
        pictures = [f"{faces}/a.png", f"{faces}/b.png"] if given else []
        line = [verb, *pictures, *arguments, "--out", verb, "--steps", "2"]
        monkeypatch.setattr(commands, "AT_ONCE", 2 if verb == "interpolate" else 1)
        done = in_process.command(main, *line, cache=tmp_path)
        assert done.returncode == 0, done.stderr
        files = {p.name: np.asarray(Image.open(p)) for p in (tmp_path / verb).glob("*.png")}
        return cells_of(tmp_path / verb / "sheet.png"), files

    return run


def same(cell, expected: torch.Tensor) -> None:
    """Within the rounding of a batch of another size; `expected` is 3 x S x S in [-1, 1]."""
    other = np.asarray(images.to_pil(expected[None])[0]).astype(int)
    assert np.abs(cell.astype(int) - other).max() <= 3


def codes(model, x):
    z = model.encode(x)
    return z, model.encode_stochastic(x, z, **FEW)


def reconstruct(made, model, x):
    sheet, files = made("reconstruct")
    assert (sheet.rows, sheet.columns) == (["a", "b"], ["input", "reconstruction"])
    decoded = model.decode(*codes(model, x), **FEW)
    for row, (given, cell) in enumerate(sheet.images):
        same(given, x[row])
        same(cell, decoded[row])
        assert np.array_equal(cell, files["ab"[row] + ".png"])


def vary(made, model, x):
    sheet, files = made("vary", "--count", "3", "--seed", "5")
    assert sheet.rows == ["a", "b"] and sheet.columns == ["input", *(f"x_T {k}" for k in (1, 2, 3))]
    expected = images.vary(model, x, 3, 5, **FEW)
    for row, (given, *cells) in enumerate(sheet.images):
        same(given, x[row])
        for k, cell in enumerate(cells):
            same(cell, expected[row, k])
            assert np.array_equal(cell, files[f"{'ab'[row]}-{k + 1}.png"])


def interpolate(made, model, x):
    sheet, files = made("interpolate", "--count", "4")
    assert sheet.columns == ["a", "0", "0.33", "0.67", "1", "b"] and not sheet.rows
    ((first, *way, last),) = sheet.images
    same(first, x[A])
    same(last, x[B])
    z, x_T = codes(model, x)
    angle = torch.arccos(torch.cosine_similarity(x_T[A].flatten(), x_T[B].flatten(), 0))
    for k, cell in enumerate(way):
        t = k / 3
        between = torch.sin((1 - t) * angle) * x_T[A] + torch.sin(t * angle) * x_T[B]
        of = ((1 - t) * z[A] + t * z[B])[None], (between / torch.sin(angle))[None]
        same(cell, model.decode(*of, **FEW)[0])
        assert np.array_equal(cell, files[f"a-b-{k + 1}.png"])


def edit(made, model, x):
    sheet, files = made("edit", "--attribute", "Male=-0.3", "--attribute", "Smiling=0.4")
    label = "Male -0.3, Smiling +0.4"
    assert sheet.rows == ["a", "b"] and sheet.columns == ["input", "reconstruction", label]
    edited = images.edit(model, x, {"Male": -0.3, "Smiling": 0.4}, **FEW)
    plain = model.decode(*codes(model, x), **FEW)
    for row, (given, unedited, cell) in enumerate(sheet.images):
        same(given, x[row])
        same(unedited, plain[row])
        same(cell, edited[row])
        assert np.array_equal(cell, files[f"{'ab'[row]}-Male-0.3_Smiling+0.4.png"])


def sample(made, model, x):
    sheet, files = made("sample", "--count", "10", "--seed", "3", given=False)
    assert not sheet.rows and not sheet.columns
    assert [len(row) for row in sheet.images] == [8, 2]
    expected = images.sample(model, 10, 3, **FEW)
    notes = [note for row in sheet.notes for note in row]
    for number, cell in enumerate(cell for row in sheet.images for cell in row):
        same(cell, expected[number])
        assert notes[number] == str(number)
        assert np.array_equal(cell, files[f"sample-{number:04}.png"])


def sample_class(made, model, x):
    arguments = ("--attribute", "Male", "--absent", "--count", "3", "--seed", "3")
    sheet, files = made("sample-class", *arguments, given=False)
    assert "not Male" in sheet.title
    ((*cells,),) = sheet.images
    for cell, note in zip(cells, sheet.notes[0], strict=True):
        number, p = re.fullmatch(r"(\d+): p (\d\.\d\d)", note).groups()
        same(cell, images.sample(model, 1, 3, first=int(number), **FEW)[0])
        assert float(p) > 0.49
        assert np.array_equal(cell, files[f"sample-{int(number):05}.png"])


EXPECTED = {
    "reconstruct": reconstruct,
    "vary": vary,
    "interpolate": interpolate,
    "edit": edit,
    "sample": sample,
    "sample-class": sample_class,
}


@pytest.mark.parametrize("verb", EXPECTED)
def test_each_cell_of_a_command_s_sheet_is_what_its_place_says(verb, made, model, x):
    EXPECTED[verb](made, model, x[:2])


def test_every_command_that_makes_pictures_is_in_the_table(tmp_path):
    told = in_process.command(main, "--help", cache=tmp_path).stdout
    verbs = re.findall(r"^  ([a-z-]+)  ", told, re.MULTILINE)
    assert {*verbs} - {"learn"} == set(EXPECTED)
