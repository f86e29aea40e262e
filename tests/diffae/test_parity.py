"""The networks and samplers against what the authors' code computes with the same weights.

`tests/data/celeba64d2c_autoenc_latent.npz` holds inputs and outputs of the authors' implementation with
weights filled by a recipe; `conftest.py` writes a `last.ckpt` by the same recipe, which is loaded here.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffae.diffusion import decode_steps, last, timesteps
from diffae.model import DiffusionAutoencoder

FILE = Path(__file__).parents[1] / "data" / "celeba64d2c_autoenc_latent.npz"


@pytest.fixture(scope="module")
def model(celeba64_latent: Path) -> DiffusionAutoencoder:
    return DiffusionAutoencoder.from_pretrained(celeba64_latent)


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    with np.load(FILE) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def test_timesteps_are_the_authors(theirs):
    assert timesteps(10) == theirs["timesteps"].tolist()


def test_encoder(model, theirs):
    assert relative_error(model.encode(theirs["x"]), theirs["z_sem"]) < 1e-5


def test_unet(model, theirs):
    eps = model.predict_noise(theirs["noise"], theirs["t"], theirs["z_sem"])
    assert relative_error(eps, theirs["eps"]) < 1e-5


def test_latent_net(model, theirs):
    eps = model.predict_latent_noise(theirs["latent_noise"], theirs["t"])
    assert relative_error(eps, theirs["latent_eps"]) < 1e-5


def test_decode(model, theirs):
    out = model.decode(theirs["z_sem"], theirs["noise"], steps=10)
    assert relative_error(out, theirs["decoded"]) < 1e-3


def test_stochastic_encoding_and_reconstruction(model, theirs):
    x_T = model.encode_stochastic(theirs["x"], theirs["z_sem"], steps=10)
    assert relative_error(x_T, theirs["x_T"]) < 1e-3
    out = model.decode(theirs["z_sem"], theirs["x_T"], steps=10)
    assert relative_error(out, theirs["reconstructed"]) < 1e-3


def test_latent_sampling(model, theirs):
    with torch.inference_mode():
        trajectory = decode_steps(
            model.latent_net, theirs["latent_noise"], model.latent_alphas, 10, clip=False
        )
        assert relative_error(last(trajectory), theirs["latent_sampled"]) < 1e-3


def test_sample_latents_denormalises(model, theirs):
    z = model.sample_latents(theirs["latent_noise"], steps=10)
    assert relative_error(z, theirs["latent_sampled"] * 2 + 3) < 1e-3  # the file's std and mean
