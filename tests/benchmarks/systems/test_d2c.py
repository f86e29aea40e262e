"""D2C: the parity file's outputs, its DDIM against diffusers' and closed forms, and invalid files."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import d2c_files
import numpy as np
import parity_files
import pytest
import torch
from d2c_files import SMALL
from refusal import refused_file

from benchmarks import systems
from benchmarks.runtime.errors import SystemFailed
from benchmarks.systems.d2c.ddim_unet import DDIMUNet
from benchmarks.systems.d2c.network import alphas, steps_by_skip
from benchmarks.systems.d2c.system import read_configuration, uniforms
from benchmarks.systems.protocol.base import Code
from diffae.diffusion import noise
from diffae.diffusion.gaussian import linear_alphas
from diffae.system.errors import UserError

# The published model, whose DDIM is made smaller here where only the autoencoder is looked at.
PUBLISHED = replace(
    SMALL, channels=24, enc=(16, 16, 16), dec=(14, 16, 16), post=(1,), latent_channels=8,
    latent_side=32, unet_channels=128, unet_mult=(1, 2, 2, 2, 2), unet_blocks=2,
    unet_attends=(0, 1, 0, 0, 0),
)  # fmt: skip
AUTOENCODER = replace(
    PUBLISHED, unet_channels=32, unet_mult=(1, 1), unet_blocks=1, unet_attends=(0, 1)
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("d2c") / "model.ckpt"
    return d2c_files.write(path, d2c_files.network(SMALL))


@pytest.fixture(scope="module")
def system(small):
    return systems.load("d2c", small)


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(0)
    return torch.rand(2, 3, 64, 64) * 2 - 1


def close(found, wanted, tolerance=1e-4, relative=0.0):
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=relative)


# ----------------------------------------------------------------------------------------------
# The autoencoder


def test_codes_logits_and_pixels_are_those_of_the_authors_code(tmp_path):
    parity = parity_files.parity("d2c_ae_64")
    path = d2c_files.write(tmp_path / "model.ckpt", d2c_files.network(AUTOENCODER))
    system = systems.load("d2c", path)
    assert (system.latent_dim, system.image_size, system.stride) == (8192, 256, 8)
    code = system.encode(2 * parity["x_5bit"] - 1)
    close(code.semantic, parity["z"])
    logits = system.logits(code)
    close(logits[:1, :, ::4, ::4], parity["logits_every4"])
    close(logits[1:, :, ::4, ::4], parity["logits_second_every4"])
    source = np.random.default_rng(20222)
    u = [
        torch.from_numpy(1e-5 + (1 - 2e-5) * source.random((2, n, 64, 64))).float() for n in (10, 3)
    ]
    close(system.pixels(logits, *u), 2 * parity["decoded_noise20222"] - 1)


def test_sides_are_multiples_of_the_stride(system, images):
    assert (system.stride, system.image_size, system.latent_dim) == (4, 64, 4 * 16**2)
    code = system.encode(images[:, :, :20, :20])
    assert code.semantic.shape == (2, 4, 5, 5)
    assert system.decode(code).shape == (2, 3, 20, 20)
    with pytest.raises(UserError, match=r"'d2c', encode: .* multiple of 4\), was given 2 x 3 x 22"):
        system.encode(images[:, :, :22, :22])


def test_decoding_is_the_same_every_time_and_in_every_batch(system, images):
    code = system.encode(images)
    one = system.decode(Code(code.semantic[1:]))
    close(system.decode(code)[1:], one)
    assert one.abs().max() <= 1


def test_the_uniform_numbers_of_pixels_are_the_first_of_one_stream():
    """Those that choose a component, then those of the three channels, none at an end of (0, 1)."""
    components, channels = uniforms((7, 5, 4, 2))
    source = noise.generator(0, "d2c pixels", 0).random(5 * 8 + 3 * 8, dtype=np.float32)
    expected = 1e-5 + (1 - 2e-5) * source
    for found, part, count in ((components, expected[:40], 5), (channels, expected[40:], 3)):
        assert found.shape == (1, count, 4, 2)
        np.testing.assert_allclose(found.numpy().ravel(), part, rtol=1e-6)


def test_options_of_pixels(system, small, images):
    """Location and mean are without noise; of one component with a small scale all three are its mean."""
    code = system.encode(images[:1])
    found = {"sample": system.decode(code)}
    for way in ("location", "mean"):
        other = systems.load("d2c", f"{small}#pixels={way}")
        assert other.describe()["pixels"] == way and other.fingerprint != system.fingerprint
        found[way] = other.decode(code)
    logits = system.logits(code)
    u = torch.full((1, 10, 64, 64), 0.5), torch.full((1, 3, 64, 64), 0.5)
    close(
        found["location"], system.pixels(logits, *u)
    )  # no noise, and the same for every component
    assert not torch.equal(found["mean"], found["location"])
    assert not torch.equal(found["sample"], found["location"])


# ----------------------------------------------------------------------------------------------
# The DDIM


def test_the_schedule_is_the_papers():
    """Ours is in float64, theirs in float32; and one at t = -1."""
    found = alphas()
    assert found.dtype == torch.float32 and found[0] == 1 and len(found) == 1001
    close(found[1:].double(), linear_alphas(), 0, 1e-4)


def test_timesteps_by_skip():
    assert steps_by_skip(200) == [0, 200, 400, 600, 800, 999]
    assert len(steps_by_skip(100)) == 11 and steps_by_skip(1) == list(range(1000))


def test_the_denoiser_is_that_of_diffusers():
    """DDPM's network, which diffusers has for its converted checkpoints."""
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    ours = DDIMUNet(4, 32, (1, 2, 1), 2, (False, True, False)).eval()
    theirs = diffusers.UNet2DModel(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=(32, 64, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6, attention_head_dim=None,
    ).eval()  # fmt: skip
    state = {in_diffusers(name, 3): tensor for name, tensor in ours.state_dict().items()}
    wanted = theirs.state_dict()
    theirs.load_state_dict({n: t.reshape(wanted[n].shape) for n, t in state.items()})
    z, t = torch.randn(2, 4, 16, 16), torch.tensor([999.0, 3.0])
    with torch.no_grad():
        close(ours(z, t), theirs(z, t).sample, 1e-5)


def in_diffusers(name, levels):
    """The name that diffusers has for a parameter of the DDIM's U-Net."""
    parts = name.split(".")
    if parts[0] in ("down", "up"):
        level = int(parts[1]) if parts[0] == "down" else levels - 1 - int(parts[1])
        parts[:2] = [f"{parts[0]}_blocks", str(level)]
    text = ".".join(parts)
    for ours, theirs in (
        ("temb.dense.0", "time_embedding.linear_1"), ("temb.dense.1", "time_embedding.linear_2"),
        ("mid.block_1", "mid_block.resnets.0"), ("mid.block_2", "mid_block.resnets.1"),
        ("mid.attn_1", "mid_block.attentions.0"), (".block.", ".resnets."), (".attn.", ".attentions."),
        ("nin_shortcut", "conv_shortcut"), ("temb_proj", "time_emb_proj"), ("norm_out", "conv_norm_out"),
        ("downsample.conv", "downsamplers.0.conv"), ("upsample.conv", "upsamplers.0.conv"),
        (".q.", ".to_q."), (".k.", ".to_k."), (".v.", ".to_v."), ("proj_out", "to_out.0"),
    ):  # fmt: skip
        text = text.replace(ours, theirs)
    return text.replace(".norm.", ".group_norm.") if "attentions" in text else text


def test_the_noise_is_predicted_at_each_images_own_step(system):
    z = torch.randn(2, *SMALL.latent_shape, generator=torch.Generator().manual_seed(0))
    both = system.predict_noise(z, torch.tensor([999, 3]))
    close(both[:1], system.predict_noise(z[:1], 999), 1e-5)
    close(both[1:], system.predict_noise(z[1:], 3), 1e-5)
    assert (system.predict_noise(z, 999)[1] - both[1]).abs().max() > 1e-3


def test_ddim_takes_the_papers_steps(system):
    """Step by step in float64 with the network's own noise: x_0 = (z - sqrt(1 - a) e) / sqrt(a),
    and on.
    """
    z = torch.randn(1, *SMALL.latent_shape, generator=torch.Generator().manual_seed(0))
    steps = [0, 300, 600]
    a = [1.0, *linear_alphas()[steps].tolist()]
    x = z.double()
    for place in (3, 2, 1):
        eps = system.predict_noise(x.float(), steps[place - 1]).double()
        x_0 = (x - (1 - a[place]) ** 0.5 * eps) / a[place] ** 0.5
        x = a[place - 1] ** 0.5 * x_0 + (1 - a[place - 1]) ** 0.5 * eps
    close(system.ddim(z, steps), x.float(), 1e-4, 1e-4)


def test_codes_are_cleaned_up_in_one_step(small):
    """Where the network says eps = c whatever it sees: (z + sqrt((1 - a) / a) eps) without c."""
    system = systems.load("d2c", small)
    head = system.inner.model.diffusion.conv_out
    head.weight.zero_()
    z, eps = torch.randn(2, 1, *SMALL.latent_shape, generator=torch.Generator().manual_seed(0))
    mod, a = system.inner.model.latent_mod, linear_alphas()[50]
    wanted = (z - mod.mean) / mod.std + ((1 - a) / a).sqrt() * (eps - head.bias.reshape(-1, 1, 1))
    found = system.clean_up(Code(z), eps).semantic
    close(found, (wanted * mod.std + mod.mean).float())


def test_new_codes_are_the_ddims_and_belong_to_their_index(small):
    system = systems.load("d2c", f"{small}#skip=200")
    assert system.describe()["latent_ddim_calls"] == 6
    both, one = system.sample_latents([3, 5], 0, 10), system.sample_latents([5], 0, 50)
    close(both[1:], one, 1e-2, 1e-3)
    assert both.shape == (2, *SMALL.latent_shape)
    close(system.sample([5], 0, 10), system.decode(Code(one)))
    mod = system.inner.model.latent_mod
    start = noise.normal(0, "d2c latent", [5], SMALL.latent_shape)
    close(one, system.ddim(start, steps_by_skip(200)) * mod.std + mod.mean)


def test_the_ddim_refuses_other_sides_and_steps(system, images, small):
    z = system.encode(images[:, :, :32, :32]).semantic
    words = "the DDIM takes N x 4 x 16 x 16, codes of images of 64 px, not 2 x 4 x 8 x 8"
    for call in (lambda: system.predict_noise(z, 0), lambda: system.ddim(z, [0]),
                 lambda: system.clean_up(Code(z), z)):  # fmt: skip
        with pytest.raises(SystemFailed, match=f"{small}: {words}"):
            call()
    with pytest.raises(SystemFailed, match="must ascend"):
        system.ddim(torch.zeros(1, 4, 16, 16), [50, 0])


# ----------------------------------------------------------------------------------------------
# Files


def test_the_published_network_has_these_tensors():
    wanted = {}
    for name, shape in parity_files.shapes("d2c_ffhq256").items():
        part, _, inner = name.partition("::")
        if not inner.startswith("queue") and not inner.endswith(".weight_normalized"):
            wanted[f"{part}.{inner.removeprefix('encoder_q.')}"] = shape
    config = read_configuration(
        {n: torch.empty(s, device="meta") for n, s in wanted.items()}, Path("x")
    )
    assert config == PUBLISHED
    network = d2c_files.empty(config)
    assert {n: tuple(t.shape) for n, t in network.state_dict().items()} == wanted
    count = sum(p.numel() for p in network.diffusion.parameters())
    assert count == 45_665_544
    assert sum(p.numel() for p in network.autoencoder.parameters()) == 24_767_596


refuse = partial(refused_file, partial(systems.load, "d2c"))


def test_missing_extra_and_odd_tensors_are_named(tmp_path):
    parts = d2c_files.network(SMALL)
    encoder, unet = parts["autoencoder"], parts["diffusion"]
    encoder["encoder_q.more.weight"] = encoder.pop("encoder_q.dec0.weight")
    unet["conv_out.bias"] = torch.full((4,), torch.inf)
    unet["mid.attn_1.q.bias"] = torch.zeros(3)
    line = refuse(d2c_files.write(tmp_path / "a.ckpt", parts))
    for words in ("missing: autoencoder.dec0.weight", "not part of the model: autoencoder.more.weight",
                  "not finite: diffusion.conv_out.bias", "of a different shape: diffusion.mid.attn_1.q.bias"):  # fmt: skip
        assert words in line


def test_a_deviation_of_zero_is_refused(tmp_path):
    parts = d2c_files.network(SMALL)
    parts["latent_mod"]["std"][0, 1] = 0
    assert "latent_mod" in refuse(d2c_files.write(tmp_path / "a.ckpt", parts))


@pytest.mark.parametrize(
    ("part", "name", "shape", "words"),
    [
        ("autoencoder", "encoder_q.stem.weight", None, "autoencoder.stem.weight is missing"),
        ("diffusion", "down.0.attn.0.q.weight", None, "without attention, which does not tell its"),
        (
            "diffusion",
            "down.1.block.0.conv1.weight",
            None,
            "down.1.block.0.conv1.weight is missing",
        ),
        ("autoencoder", "encoder_q.stem.weight", (1, 3, 3, 3), "a D2C with a single channel"),
        ("diffusion", "conv_in.weight", (48, 4, 3, 3), "a DDIM of 48 channels, no multiple of 32"),
        ("diffusion", "down.1.block.0.conv1.weight", (33, 32, 3, 3), "widths [32, 33], no multi"),
        (
            "autoencoder",
            "encoder_q.image_conditional.1.weight",
            (5, 8, 3, 3),
            "an output of 5 chan",
        ),
    ],
)
def test_tensors_of_which_no_network_can_be_made_are_named(tmp_path, part, name, shape, words):
    parts = d2c_files.network(SMALL)
    del parts[part][name]
    parts[part] |= {name: torch.zeros(shape)} if shape else {}
    assert words in refuse(d2c_files.write(tmp_path / "a.ckpt", parts))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": {"prior_ftr0": torch.zeros(2)}}, "it looks like an NVAE"),
        ({"latent_mod": {"a": torch.zeros(2)}, "diffusion": {}}, "it lacks autoencoder, diffusion"),
        ({"autoencoder": {}, "diffusion": {}}, "it holds autoencoder, diffusion"),
    ],
)
def test_files_of_other_systems_are_named(tmp_path, content, words):
    torch.save(content, tmp_path / "a.ckpt")
    assert f"not a D2C of the authors': {words}" in refuse(tmp_path / "a.ckpt")
