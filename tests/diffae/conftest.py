"""A full-size file of the authors' layout, shared by several tests."""

from pathlib import Path

import pytest
from official_files import state_dict, write_lightning


@pytest.fixture(scope="session")
def celeba64_latent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full-size `last.ckpt` of celeba64d2c_autoenc_latent."""
    path = tmp_path_factory.mktemp("official") / "last.ckpt"
    return write_lightning(path, state_dict("celeba64d2c_autoenc_latent", 64))
