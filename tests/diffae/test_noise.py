"""The noise of an image: independent of its batch, and normal."""

import hashlib

import numpy as np
import pytest
import torch
from scipy import stats

from diffae.diffusion import noise

# Indices below 60,000 whose digests agree in their low 32 bits, found by trying all.
COLLISION = (17003, 52111)


def digest(index: int) -> bytes:
    return hashlib.sha256(f"0/latent/{index}".encode()).digest()


def test_images_whose_digests_agree_in_32_bits_have_noise_of_their_own():
    a, b = COLLISION
    assert digest(a)[:4] == digest(b)[:4]
    one, other = noise.normal(0, "latent", COLLISION, (512,))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2
    draws = [noise.generator(0, "latent", index).random() for index in COLLISION]
    assert draws[0] != draws[1]


def test_noise_belongs_to_seed_purpose_and_index():
    alone = noise.normal(3, "x_T", [5], (3, 8, 8))
    together = noise.normal(3, "x_T", [4, 5, 6], (3, 8, 8))
    assert torch.equal(alone[0], together[1])
    others = [
        noise.normal(s, p, [i], (3, 8, 8))
        for s, p, i in ((4, "x_T", 5), (3, "z", 5), (3, "x_T", 7))
    ]
    assert not any(torch.equal(alone, other) for other in others)


def test_noise_is_standard_normal_and_uniform():
    values = noise.normal(0, "test", range(100), (1000,))
    assert values.dtype == torch.float32
    assert stats.kstest(values.flatten().numpy(), "norm").pvalue > 0.01
    assert stats.kstest(values[:, 0].numpy(), "norm").pvalue > 0.01  # across generators
    u = noise.uniforms(noise.generator(0, "test", 0), (50_000,))
    assert stats.kstest(u.numpy(), "uniform").pvalue > 0.01
    assert u.dtype == torch.float32 and float(u.max()) < 1


def test_noise_is_known():
    """The first numbers, so that a release of numpy that draws others is noticed."""
    assert noise.normal(0, "x_T", [0], (3,))[0].tolist() == pytest.approx(
        [1.0257914, 0.3223942, -1.3026433], rel=1e-6
    )
