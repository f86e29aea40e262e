"""`diffae.train --data`: the requested crop is used, and images that would be enlarged are refused."""

import json

import numpy as np
import pytest
from PIL import Image
from refusal import refusal

from diffae.data import open_for_model
from diffae.system.errors import UserError
from diffae.train import __main__ as command

CELEBA = (178, 218)


@pytest.fixture
def trained(monkeypatch):
    """What the training would have begun with: images uint8 N x S x S x 3."""
    seen = {}

    def begin(preset, images, *_):
        seen.update(images=images)
        return {}

    monkeypatch.setattr(command, "train", begin)
    return seen


def write_images(folder, size, count=10):
    """Left of column 89 black, right of it white, so that every crop has a mean of its own."""
    folder.mkdir()
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    for index in range(count):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize("size", [(16, 16), (400, 31)])
def test_images_that_would_be_enlarged_are_refused(tmp_path, capsys, size):
    folder = write_images(tmp_path / "small", size)
    line = refusal(command.main, capsys, "smoke", "--data", folder, "--out", tmp_path / "out")
    assert (
        f"{folder}: images of {min(size)} px, but the preset smoke (model.image_size) is for 32 px"
        in line
    )
    assert not (tmp_path / "out").exists()


def test_what_the_d2c_crop_leaves_counts(tmp_path, capsys):
    """178 x 218 would do for 160 px, its crop of 128 x 128 does not."""
    folder = write_images(tmp_path / "faces", CELEBA)
    assert open_for_model(folder, 128, "d2c").image_size == 128
    with pytest.raises(UserError, match="images of 128 px, but the model is for 160 px"):
        open_for_model(folder, 160, "d2c")


def test_the_crop_that_was_asked_for_is_trained_on(tmp_path, trained):
    """D2C's box is columns 25 to 152, of which 89 to 152 are white; the centre is 178 wide."""
    folder = write_images(tmp_path / "faces", CELEBA)
    for crop, white in (("d2c", (153 - 89) / 128), ("center", 0.5)):
        out = tmp_path / crop
        command.main(["smoke", "--data", str(folder), "--crop", crop, "--out", str(out)])
        pixels = trained["images"]
        assert pixels.mean() / 255 == pytest.approx(white, abs=1e-3), crop
        known = json.loads((out / "training.json").read_text())["trained_on"]
        assert known["transform"]["crop"] == crop


def test_a_crop_without_data_is_refused(tmp_path, capsys):
    line = refusal(command.main, capsys, "smoke", "--crop", "d2c", "--out", tmp_path / "out")
    assert "--crop: says how --data is cut, and there is no --data" in line
