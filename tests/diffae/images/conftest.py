"""A few pictures, for the tests of pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffae.data import portraits
from diffae.images import reading


@pytest.fixture(scope="session")
def faces(tmp_path_factory) -> Path:
    """A folder of four portraits, a.png to d.png, as in a set that was drawn."""
    folder = tmp_path_factory.mktemp("drawn") / "img_align_celeba"
    folder.mkdir()
    (folder.parent / "portraits.json").touch()
    for name, index in zip("abcd", (2, 5, 11, 17), strict=True):
        pixels = portraits.render(portraits.portrait(0, index), 64)
        Image.fromarray(np.asarray(pixels)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def x(faces) -> torch.Tensor:
    """The four as the model takes them."""
    return reading.read([faces], 32)
