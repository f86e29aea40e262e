"""The paper's model and its baseline as systems: each has its own noise."""

import pytest
import torch

from benchmarks import systems
from diffae.diffusion import noise
from diffae.model import DiffusionAutoencoder


@pytest.fixture
def system(untrained):
    return systems.load("diffae", untrained / "diffae")


def test_a_new_code_is_of_the_noise_of_its_index_whatever_its_place(system, untrained):
    """Index 70 alone, after 3, and in another chunk than 6: always the model's code of the same noise."""
    model = DiffusionAutoencoder.from_pretrained(untrained / "diffae")
    start = noise.normal(5, "latent", [70], (model.latent_dim,))
    expected = model.sample_latents(start, steps=2)
    for indices in ([70], [3, 70], [70, 6]):
        found = system.sample_latents(indices, 5, 2)[indices.index(70)]
        torch.testing.assert_close(found, expected[0], rtol=1e-4, atol=1e-4)
    other = system.sample_latents([70], 6, 2)[0]
    assert (other - expected[0]).abs().mean() > 0.1
