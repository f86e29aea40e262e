"""Picture sheets: a drawn sheet can be cut up again, pixel for pixel, with its texts."""

import json

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from diffae.eight_bit import to_uint8
from diffae.sheet import Sheet, write
from diffae.system.errors import UserError
from reports.page.sheets import read_sheet

HOSTILE = '<script>alert("1")</script>, "quoted" | $x_1$ %s \\input{a} é 顔'


def images(count: int, side: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("side", [1, 5, 32, 64, 130])
def test_images_come_back_as_they_were(tmp_path, side):
    rows = images(11, side).split(4)
    notes = [[f"SSIM 0.{i} and a long note of many words" for i in range(len(r))] for r in rows]
    sheet = Sheet(
        HOSTILE,
        rows,
        rows=("input", HOSTILE, "c"),
        columns=("a", "b", "a_very_long_name_of_a_file_without_a_space.png", ""),
        caption="a caption " * 20,
        notes=notes,
        about={"benchmark": "x", "steps": 10, "setting": HOSTILE},
    )
    write(tmp_path / "a.png", sheet)
    found = read_sheet(tmp_path / "a.png")
    assert (found.title, found.rows, found.columns) == (HOSTILE, sheet.rows, sheet.columns)
    assert found.lengths == (4, 4, 3) and found.about == sheet.about
    assert found.note(2, 1) == notes[2][1]
    for r, row in enumerate(rows):
        for c, image in enumerate(to_uint8(row).permute(0, 2, 3, 1).numpy()):
            assert np.array_equal(np.asarray(found.cell(r, c)), image)


def test_small_images_are_enlarged_by_whole_pixels(tmp_path):
    write(tmp_path / "a.png", Sheet("t", [images(2, 32)]))
    found = read_sheet(tmp_path / "a.png")
    assert found.cells["scale"] == 3
    left, top = found.cells["left"], found.cells["top"]
    block = np.asarray(found.picture)[top : top + 96, left : left + 96].reshape(32, 3, 32, 3, 3)
    assert (block == block[:, :1, :, :1]).all()


def told(**changed) -> str:
    cells = {"left": 0, "top": 0, "step_x": 8, "step_y": 8, "width": 8, "height": 8, "scale": 1}
    cells |= changed.pop("cells", {})
    rest = {"title": "", "caption": "", "rows": [], "columns": [], "lengths": [1], "notes": []}
    return json.dumps(rest | {"about": {}, "cells": cells} | changed)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[" * 10_000,
        "[]",
        told(cells={"scale": 0}),
        told(cells={"left": 5}),
        told(cells={"step_y": -1}),
        told(lengths=[]),
        told(lengths=[2]),
        told(about=3),
    ],
)
def test_a_png_that_is_no_sheet_is_refused_by_name(tmp_path, text):
    chunks = PngImagePlugin.PngInfo()
    if text is not None:
        chunks.add_itxt("sheet", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=chunks)
    with pytest.raises(UserError, match="a.png: not a sheet of pictures"):
        read_sheet(tmp_path / "a.png")


def test_a_whole_sheet_is_needed(tmp_path):
    write(tmp_path / "a.png", Sheet("t", [images(2, 32)]))
    whole = (tmp_path / "a.png").read_bytes()
    for cut in (0, 10, len(whole) // 2):
        (tmp_path / "b.png").write_bytes(whole[:cut])
        with pytest.raises(UserError, match="b.png: not a sheet"):
            read_sheet(tmp_path / "b.png")
