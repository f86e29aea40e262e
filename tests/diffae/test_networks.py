"""Every released configuration has exactly the authors' parameters, by names and shapes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import ARCHITECTURES, DDIM_BASELINE, VELOCITY, ModelConfig
from diffae.networks.latent_net import LatentNet
from diffae.networks.nn import timestep_embedding, without_weights
from diffae.train.presets import PRESETS

KEYS = Path(__file__).parents[1] / "data" / "keys"


def theirs(name: str) -> dict[str, list[int]]:
    rows = [line.split("\t") for line in (KEYS / f"{name}.txt").read_text().splitlines()]
    shapes = {
        row[0]: [int(n) for n in row[1].strip("[]").split(",")] for row in rows if len(row) == 3
    }
    # One tensor registered under two names in their latent net; we keep one of them.
    return {key: shape for key, shape in shapes.items() if ".cond_layers.1." not in key}


def ours(config: ModelConfig) -> dict[str, list[int]]:
    with without_weights():
        model = (DDIM if config.kind == DDIM_BASELINE else DiffusionAutoencoder)(config)
    return {
        name.removeprefix("unet."): list(parameter.shape)
        for name, parameter in model.named_parameters()
    }


def test_modules_whose_weights_are_loaded_draw_no_random_numbers():
    def made():
        latent = replace(PRESETS["smoke"].model.latent, hidden_channels=8, num_layers=2)
        return LatentNet(latent, 4), torch.nn.Conv2d(3, 4, 3), torch.nn.Embedding(5, 2)

    state = torch.get_rng_state()
    with without_weights("cpu"):
        of_cpu = made()
    with without_weights():
        of_meta = made()
    assert torch.equal(torch.get_rng_state(), state)
    assert {p.device.type for part in of_cpu for p in part.parameters()} == {"cpu"}
    assert {p.device.type for part in of_meta for p in part.parameters()} == {"meta"}
    made()
    assert not torch.equal(torch.get_rng_state(), state)


def test_every_key_file_is_tested():
    assert {path.stem for path in KEYS.glob("*.txt")} <= set(ARCHITECTURES)


@pytest.mark.parametrize("path", sorted(KEYS.glob("*.txt")), ids=lambda path: path.stem)
def test_parameters_are_the_authors(path):
    assert ours(ARCHITECTURES[path.stem]) == theirs(path.stem)


def test_timestep_embedding_is_cosines_then_sines():
    embedding = timestep_embedding(torch.tensor([0, 7]), 8)
    assert torch.equal(embedding[0], torch.tensor([1.0] * 4 + [0.0] * 4))
    assert embedding[1, 0] == pytest.approx(0.7539022543)  # cos 7
    assert embedding[1, 5] == pytest.approx(0.6442176872)  # sin 0.7


@pytest.fixture(scope="module")
def small() -> DiffusionAutoencoder:
    torch.manual_seed(0)
    model = DiffusionAutoencoder(PRESETS["portraits"].model).eval()
    with torch.no_grad():  # wake up the layers that start at zero
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    return model


def test_results_do_not_depend_on_the_batch(small):
    images = torch.rand(5, 3, 32, 32) * 2 - 1
    z = small.encode(images)
    together = small.encode_stochastic(images, z, steps=4)
    alone = torch.cat(
        [small.encode_stochastic(images[i : i + 1], z[i : i + 1], 4) for i in range(5)]
    )
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_velocity_network_predicts_noise_all_the_same(small):
    """Whatever the network says, eps = sqrt(1 - a) x_t + sqrt(a) v."""
    x, z, t = torch.randn(2, 3, 32, 32), torch.randn(2, small.latent_dim), torch.tensor([250, 700])
    with torch.no_grad():
        v = small.unet(x, t, z)
    a = small.alphas[t].float().reshape(-1, 1, 1, 1)
    assert torch.allclose(
        small.predict_noise(x, t, z), (1 - a).sqrt() * x + a.sqrt() * v, atol=1e-5
    )


def test_a_latent_net_that_predicts_velocity_does_so_by_its_own_schedule(small):
    """a_t = 0.992^(t + 1), whatever the images' schedule is."""
    latent = replace(small.config.latent, prediction=VELOCITY)
    model = DiffusionAutoencoder(replace(small.config, latent=latent)).eval()
    z, t = torch.randn(3, model.latent_dim), torch.tensor([0, 250, 700])
    with torch.no_grad():
        v = model.latent_net(z, t)
    a = (0.992 ** (t.double() + 1)).float()[:, None]
    expected = (1 - a).sqrt() * z + a.sqrt() * v
    torch.testing.assert_close(model.predict_latent_noise(z, t), expected, rtol=1e-4, atol=1e-5)
