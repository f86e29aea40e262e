"""Noise that a system draws for an image depends on the image's content and on its purpose."""

import hashlib
import warnings

import pytest
import torch

from benchmarks.systems.diffusers.system import generators, marks_of
from benchmarks.systems.references import RandomEncoder
from benchmarks.systems.shared import own_noise
from diffae.eight_bit import to_uint8

IMAGES = torch.linspace(-1, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)


def test_noise_is_the_image_s_and_the_purpose_s():
    a, b = own_noise.normals(IMAGES, "a", (8,))
    assert torch.equal(own_noise.normals(IMAGES[1:], "a", (8,))[0], b)
    assert not torch.equal(a, b)
    assert not torch.equal(own_noise.normals(IMAGES, "b", (8,))[0], a)


def test_a_mark_is_the_first_32_bits_of_the_image_s_digest():
    found = marks_of(IMAGES)
    for image, (high, low) in zip(to_uint8(IMAGES).numpy(), found.tolist(), strict=True):
        digest = hashlib.sha256(image.tobytes()).digest()
        assert (int(high) << 16) + int(low) == int.from_bytes(digest[:4], "big")
    (source,) = generators(found[:1])
    assert source.initial_seed() == (int(found[0, 0]) << 16) + int(found[0, 1])


def test_the_random_encoder_is_the_same_whatever_was_drawn_before():
    codes = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        encoder = RandomEncoder(None, torch.device("cpu"))
        codes.append(encoder.encode_semantic(torch.zeros(1, 3, 32, 32)))
    assert torch.equal(*codes)


def test_the_random_encoder_leaves_generators_as_they_were(monkeypatch):
    """Those of GPUs too: with two of them, PyTorch warns if the states of all are to be kept."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("GPUs are seeded"))
    torch.default_generator.manual_seed(1)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RandomEncoder(None, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)
