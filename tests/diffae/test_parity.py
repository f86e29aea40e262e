"""The networks and samplers against outputs of the authors' code with the same weights.

`tests/data/celeba64d2c_autoenc_latent.npz` holds inputs and outputs of the authors' implementation
with weights filled by a recipe. The tensors of a `last.ckpt` are filled by the same recipe here;
test_official.py reads such files, of small models.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from official_files import state_dict, tiny_state, write_lightning

from diffae.checkpoints.official import _official_name, infer_config
from diffae.diffusion.scheme import uniform
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import ModelConfig
from diffae.networks.nn import without_weights

FILE = Path(__file__).parents[1] / "data" / "celeba64d2c_autoenc_latent.npz"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """What a full-size `last.ckpt` of celeba64d2c_autoenc_latent holds."""
    return state_dict("celeba64d2c_autoenc_latent", 64)


@pytest.fixture(scope="module")
def config(state) -> ModelConfig:
    return infer_config({name: tensor.shape for name, tensor in state.items()}, "last.ckpt")


@pytest.fixture(scope="module")
def model(state, config) -> DiffusionAutoencoder:
    with without_weights():
        found = DiffusionAutoencoder(config)
    weights = {name: state[_official_name(name)] for name in found.state_dict()}
    found.load_state_dict(weights, assign=True)
    return found.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    with np.load(FILE) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def test_timesteps_are_the_authors(theirs):
    assert uniform(10) == theirs["timesteps"].tolist()


def test_encoder(model, theirs):
    assert relative_error(model.encode(theirs["x"]), theirs["z_sem"]) < 1e-5


def test_unet(model, theirs):
    eps = model.predict_noise(theirs["noise"], theirs["t"], theirs["z_sem"])
    assert relative_error(eps, theirs["eps"]) < 1e-5


def test_latent_net(model, theirs):
    eps = model.predict_latent_noise(theirs["latent_noise"], theirs["t"])
    assert relative_error(eps, theirs["latent_eps"]) < 1e-5


# Twenty network calls at full size. Of small models test_sampling.py has the equations, to the last bit.


@pytest.mark.slow
def test_decode(model, theirs):
    out = model.decode(theirs["z_sem"][:1], theirs["noise"][:1], steps=10)
    assert relative_error(out, theirs["decoded"][:1]) < 1e-3


@pytest.mark.slow
def test_stochastic_encoding(model, theirs):
    x_T = model.encode_stochastic(theirs["x"][1:], theirs["z_sem"][1:], steps=10)
    assert relative_error(x_T, theirs["x_T"][1:]) < 1e-3


@pytest.mark.slow
def test_reconstruction(model, theirs):
    out = model.decode(theirs["z_sem"], theirs["x_T"], steps=10)
    assert relative_error(out, theirs["reconstructed"]) < 1e-3


def test_sample_latents_denormalises(model, theirs):
    z = model.sample_latents(theirs["latent_noise"], steps=10)
    assert relative_error(z, theirs["latent_sampled"] * 2 + 3) < 1e-3  # the file's std and mean


# ----------------------------------------------------------------------------------------------
# The baseline. The authors' one UNet class is both: without z_sem, the layers that scale by 1 + W z + b are left
# out. So the autoencoder, whose equality with theirs is shown above, with W = b = 0 is the baseline.


def silenced(state):
    """The state of an autoencoder whose UNet does not listen to z_sem."""
    return {n: 0 * t if ".cond_emb_layers." in n else t for n, t in state.items()}


def baseline(state):
    """The same UNet under the names that it has in the authors' file of a baseline."""
    left_out = (".cond_emb_layers.", ".encoder.", ".latent_net.")
    kept = {n: t for n, t in state.items() if not any(part in n for part in left_out)}
    return {
        n.replace("time_embed.time_embed", "time_embed"): t
        for n, t in kept.items()
        if not n.startswith("conds_")
    }


def test_the_baseline_of_a_file_is_the_autoencoder_that_does_not_listen(tmp_path):
    state = silenced(tiny_state())
    deaf = DiffusionAutoencoder.from_pretrained(write_lightning(tmp_path / "a.ckpt", state))
    ddim = DDIM.from_pretrained(write_lightning(tmp_path / "b.ckpt", baseline(state)))
    assert ddim.config.num_res_blocks == deaf.config.num_res_blocks == 2
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    z, t = torch.randn(2, deaf.latent_dim), torch.tensor([7, 800])
    noise = ddim.predict_noise(x, t)
    torch.testing.assert_close(noise, deaf.predict_noise(x, t, z), atol=1e-6, rtol=1e-5)
    images = x.clamp(-1, 1)
    x_T = ddim.encode_stochastic(images, steps=4)
    torch.testing.assert_close(
        x_T, deaf.encode_stochastic(images, z, steps=4), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(ddim.decode(x_T, steps=4), deaf.decode(z, x_T, steps=4))
    assert noise.std() > 0.1 and not torch.allclose(noise[0], noise[1], atol=0.1)


def test_the_baseline_of_a_file_takes_its_ema_weights(tmp_path):
    state = baseline(tiny_state())
    assert any(n.startswith("model.") for n in state)
    ddim = DDIM.from_pretrained(write_lightning(tmp_path / "b.ckpt", state))
    for name, tensor in ddim.unet.state_dict().items():
        assert torch.equal(tensor, state[f"ema_model.{name}"]), name
