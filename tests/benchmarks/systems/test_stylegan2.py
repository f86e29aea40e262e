"""StyleGAN2's generator against outputs of the authors' code (tests/data/systems)."""

import json

import pytest
import stylegan2_imitations as imitations
import torch
from parity_files import parity
from torch import Tensor

from benchmarks import systems
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems.protocol.base import Code
from benchmarks.systems.shared import folder
from benchmarks.systems.stylegan2.network import (
    Generator,
    Layer,
    StyleGAN2Config,
    ToRGB,
)

TOLERANCE = 1e-4
WIDE = StyleGAN2Config(imitations.channels_of(256, 32768, 512))


@pytest.fixture(scope="module")
def tiny():
    return parity("stylegan2_tiny32")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("stylegan2") / "network.pkl"
    return imitations.write_pytorch(path, imitations.state())


@pytest.fixture(scope="module")
def in_w(file):
    return systems.load("stylegan2-w", file)


@pytest.fixture(scope="module")
def in_wplus(file):
    return systems.load("stylegan2-wplus", file)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)


def test_mapping_is_the_authors(in_w, tiny):
    close(in_w.mapping(tiny["z"]), tiny["w"])
    close(in_w.mapping(tiny["z"], truncation=0.7), tiny["w_trunc07"])


@pytest.mark.parametrize("noise", ["const", "none"])
def test_synthesis_is_the_authors(in_w, tiny, noise):
    close(in_w.synthesis(tiny["w"], noise), tiny[f"img_{noise}"])


def test_synthesis_of_w_plus_is_the_authors(in_w, in_wplus, tiny):
    close(in_w.synthesis(tiny["wp"]), tiny["img_wp_const"])
    close(in_wplus.synthesis(tiny["wp"], noise="const"), tiny["img_wp_const"])


def test_decoding_clamps(in_w, in_wplus, tiny):
    assert tiny["img_const"].abs().max() > 1
    close(in_w.decode(Code(tiny["w"])), tiny["img_const"].clamp(-1, 1))
    assert tiny["img_const"].abs().max() > 1
    close(in_w.unclamped().decode(Code(tiny["w"])), tiny["img_const"])
    close(in_wplus.decode(Code(tiny["wp"])), tiny["img_wp_const"].clamp(-1, 1))


def test_codes_have_the_sizes_that_the_paper_counts(in_w, in_wplus):
    assert (in_w.latent_dim, in_w.image_size) == (512, 32)
    assert in_wplus.latent_dim == 8 * 512
    assert in_w.sample_latents([0, 1], seed=0, steps=1).shape == (2, 512)
    assert in_wplus.sample_latents([0, 1], seed=0, steps=1).shape == (2, 8, 512)
    assert StyleGAN2Config(imitations.channels_of(256, 16384, 512)).num_ws * 512 == 7168


def test_samples_are_the_mapping_of_z_and_one_image_does_not_depend_on_another(file, in_w):
    codes = in_w.sample_latents([3, 5], seed=1, steps=1)
    close(in_w.sample_latents([5], seed=1, steps=1), codes[1:])
    close(in_w.sample([5], seed=1, steps=1), in_w.decode(Code(codes))[1:])
    truncated = systems.load("stylegan2-w", f"{file}#psi=0.5").sample_latents([3, 5], 1, 1)
    close(
        truncated - in_w.inner.model.mapping.w_avg,
        (codes - in_w.inner.model.mapping.w_avg) / 2,
    )


def test_a_probe_reads_the_mean_layer_and_an_edit_moves_all(in_wplus, tiny):
    close(in_wplus.read(tiny["wp"]), tiny["wp"].mean(1))
    delta = torch.ones(2, 512)
    close(in_wplus.move(tiny["wp"], delta), tiny["wp"] + 1)


def test_it_computes_in_float64_once_its_networks_are(file, tiny):
    system = systems.load("stylegan2-w", file)
    for network in system.networks().values():
        network.double()
    images = system.synthesis(tiny["w"].double())
    assert images.dtype == torch.float64
    close(images.float(), tiny["img_const"])


def test_another_word_for_noise_is_refused(in_w, tiny):
    with pytest.raises(SystemFailed, match="noise is const or none, not 'random'"):
        in_w.synthesis(tiny["w"], noise="random")


def test_the_clamp_of_half_precision_is_the_file_s(tmp_path, tiny):
    path = tmp_path / "network.pkl"
    narrow = {"synthesis_kwargs": {"channel_base": 512, "num_fp16_res": 4, "conv_clamp": 2}}
    imitations.write_pytorch(path, imitations.state(), imitations.TINY | narrow)
    system = systems.load("stylegan2-w", path)
    assert system.inner.model.config.conv_clamp == 2
    assert not torch.equal(system.synthesis(tiny["w"]), tiny["img_const"])


def test_every_layer_clamps():
    torch.manual_seed(0)
    config = StyleGAN2Config((8,), conv_clamp=0.5)
    x, w = torch.full((1, 8, 4, 4), 300.0), torch.randn(1, 512)
    assert Layer(8, 8, 4, config)(x, w, None).abs().max() == 0.5
    assert ToRGB(8, config)(x, w).abs().max() == 0.5


@pytest.fixture(scope="module")
def wide():
    with torch.device("meta"):
        generator = Generator(WIDE)
    generator.load_state_dict(imitations.state("ffhq256_cb32768"), assign=True)
    return generator.eval().requires_grad_(False)


def test_a_network_of_256_px_is_the_authors(wide):
    """Half of the parity file, the rest is in the slow tests: an image takes a second."""
    expected = parity("stylegan2_ffhq256_cb32768")
    w = wide.mapping(expected["z"])
    close(w, expected["w"])
    image = wide.synthesis(w[:1, None].expand(-1, 14, -1), wide.synthesis.noise_maps())
    close(image, expected["img_const"][:1])


@pytest.mark.slow
def test_all_of_the_parity_file_of_256_px(wide):
    expected = parity("stylegan2_ffhq256_cb32768")
    close(wide.mapping(expected["z"], 0.7), expected["w_trunc07"])
    ws = expected["w"][1:, None].expand(-1, 14, -1)
    close(wide.synthesis(ws, wide.synthesis.noise_maps()), expected["img_const"][1:])
    first = expected["w"][:1, None].expand(-1, 14, -1)
    close(wide.synthesis(first, None), expected["img_none_first"])
    image = wide.synthesis(expected["wp_first"], wide.synthesis.noise_maps())
    close(image[:, :, ::2, ::2], expected["img_wp_const_first_sub2"])


def test_a_folder_of_ours_is_read_by_both(tmp_path, in_w, tiny):
    place = tmp_path / "small"
    place.mkdir()
    generator = in_w.inner.model
    folder.write(generator, "stylegan2", generator.config, place, torch.float32)
    assert json.loads((place / "config.json").read_text())["channels"] == [64, 64, 32, 16]
    for name in ("stylegan2-w", "stylegan2-wplus"):
        system = systems.load(name, place)
        close(system.synthesis(tiny["wp"]), tiny["img_wp_const"])
        assert (system.describe()["steps"], system.describe()["distance"]) == ("100", "mse")
        assert systems.load(name, f"{place}#steps=7,distance=effnet").describe()["steps"] == "7"


def test_without_a_file_it_says_where_to_give_one(monkeypatch, tmp_path):
    monkeypatch.setattr(folder, "PACKAGED", tmp_path)
    with pytest.raises(NotAvailable, match="--ckpt stylegan2-wplus=PATH"):
        systems.load("stylegan2-wplus")


@pytest.mark.slow
def test_the_packaged_one_finds_images_that_are_nearer_than_the_average():
    in_w, in_wplus = (systems.load(f"stylegan2-{n}", "#steps=15") for n in ("w", "wplus"))
    assert in_w.trained_on.preset == "stylegan2-portraits"
    assert (in_w.latent_dim, in_wplus.latent_dim, in_w.image_size) == (512, 4096, 32)
    layers = torch.cat([in_w.sample_latents([i, i + 1], 0, 1)[:, None] for i in range(4)], 1)
    images = in_w.decode(Code(layers.repeat_interleave(2, 1)))
    average = in_w.decode(Code(in_w.inner.model.mapping.w_avg[None]))
    found = [system.decode(system.encode(images)) for system in (in_w, in_wplus)]
    errors = [float((made - images).square().mean()) for made in (average, *found)]
    assert max(errors[1:]) < 0.5 * errors[0], errors
