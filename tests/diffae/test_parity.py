"""The networks and samplers against what the authors' code computes with the same weights.

`tests/data/celeba64d2c_autoenc_latent.npz` holds inputs and outputs of the authors' implementation with
weights filled by a recipe; the recipe is repeated here.
"""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from diffae.config import ARCHITECTURES
from diffae.diffusion import decode_steps, last, timesteps
from diffae.model import DiffusionAutoencoder

FILE = Path(__file__).parents[1] / "data" / "celeba64d2c_autoenc_latent.npz"


def official_name(name: str) -> str:
    """Our parameter's name in the authors' checkpoint; of two aliased tensors, the later one."""
    return name.removeprefix("unet.").replace(".linear_emb.", ".cond_layers.1.")


def recipe(name: str, shape: torch.Size) -> torch.Tensor:
    value = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    if len(shape) >= 2:
        value = value / np.sqrt(np.prod(shape[1:]))
    else:
        value = 1 + 0.1 * value if name.endswith("weight") else 0.1 * value
    return torch.from_numpy(value.astype(np.float32))


@pytest.fixture(scope="module")
def model() -> DiffusionAutoencoder:
    model = DiffusionAutoencoder(ARCHITECTURES["celeba64d2c_autoenc_latent"])
    for name, parameter in model.named_parameters():
        parameter.data = recipe(official_name(name), parameter.shape)
    return model.eval()


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
    model.z_mean.fill_(3.0)
    model.z_std.fill_(2.0)
    try:
        z = model.sample_latents(theirs["latent_noise"], steps=10)
        assert relative_error(z, theirs["latent_sampled"] * 2 + 3) < 1e-3
    finally:
        model.z_mean.zero_()
        model.z_std.fill_(1.0)
