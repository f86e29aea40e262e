"""Rows measured on images that other software reads otherwise say so."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.context import Context
from benchmarks.profiles import PROFILES
from benchmarks.store import Store
from diffae.data import open_dataset


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_row_counts_the_images_with_alpha(tmp_path, mode, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    pixels = np.zeros((16, 16, 4), np.uint8)
    for index in range(4):
        Image.fromarray(pixels).convert(mode).save(tmp_path / "set" / f"{index}.png")
    context = Context(
        open_dataset(tmp_path / "set", 16),
        PROFILES["smoke"],
        0,
        torch.device("cpu"),
        Store(tmp_path / "store"),
        tmp_path / "pictures",
    )
    row = context.record("reconstruction", "table", "x", "mse", 0.5, note="as it is")
    said = "; 4 of 4 images have transparency, laid on white" if mode == "RGBA" else ""
    assert row.note == "as it is" + said
    assert context.record("reconstruction", "table", "x", "mse", None, note="none").note == "none"
