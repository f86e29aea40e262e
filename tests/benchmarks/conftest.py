"""A small data set in a context of its own, for benchmarks that are tested on systems with known answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.context import Context
from benchmarks.profiles import PROFILES
from benchmarks.store import Store
from diffae.data import open_dataset


@pytest.fixture(scope="session")
def patches(tmp_path_factory):
    """150 images of 4 x 4 coloured patches, 32 px, of middling brightness: 90 to train, 45 to test on."""
    folder = tmp_path_factory.mktemp("patches")
    rng = np.random.default_rng(0)
    for index in range(150):
        image = Image.fromarray(rng.integers(90, 166, (4, 4, 3), dtype=np.uint8))
        image.resize((32, 32), Image.Resampling.NEAREST).save(folder / f"{index:03d}.png")
    return open_dataset(folder, 32)


@pytest.fixture
def context(patches, tmp_path):
    profile = replace(
        PROFILES["smoke"],
        variation_images=7,
        variation_draws=6,
        denoising_images=40,
        denoising_timesteps=(20, 50),
        fid_samples=20,
        memorisation_train=90,
    )
    return Context(
        dataset=patches,
        profile=profile,
        seed=0,
        device=torch.device("cpu"),
        store=Store(tmp_path / "store"),
        pictures=tmp_path / "run" / "pictures",
    )
