"""What several tests share: the packaged model, images to train on."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_preset import TINY, pictures
from tiny_training import write_pictures

from diffae import DiffusionAutoencoder
from diffae.train.presets import PRESETS


@pytest.fixture(scope="session")
def model() -> DiffusionAutoencoder:
    """The packaged model of portraits, which no test may change."""
    return DiffusionAutoencoder.from_pretrained("portraits")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of twenty images of noise, on all of which `diffae.train tiny` trains."""
    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, split="all", data_hint="x"))
    return write_pictures(tmp_path / "data", pictures(20))
