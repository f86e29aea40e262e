"""Models of diffusers by their folder: encoding and decoding of each class, and refusals."""

import json
import os
import socket

import diffusers_models
import pytest
import torch
from refusal import refusal, refused_checkpoint
from safetensors.torch import load_file, save_file

from benchmarks import run, systems
from benchmarks.commands import options
from benchmarks.systems.protocol.base import Code
from benchmarks.systems.shared import library
from diffae.system.errors import UserError
from reports.records.record import read_records

pytest.importorskip("diffusers")

WEIGHTS = "diffusion_pytorch_model.safetensors"
# By class, what of `encode(x)` is the code, by diffusers' documentation.
CODES = {
    "AutoencoderKL": lambda found: found.latent_dist.mode(),
    "AsymmetricAutoencoderKL": lambda found: found.latent_dist.mode(),
    "AutoencoderTiny": lambda found: found.latents,
    "AutoencoderDC": lambda found: found.latent,
    "AutoencoderKLFlux2": lambda found: found.latent_dist.mode(),
    "AutoencoderKLHunyuanImage": lambda found: found.latent_dist.mode(),
    "AutoencoderKLKVAE": lambda found: found.latent_dist.mode(),
}


def images(side: int = 32, n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def change(folder, **fields) -> None:
    """Change fields of a folder's configuration; those that are None are removed."""
    config = json.loads((folder / "config.json").read_text()) | fields
    kept = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing here may reach for it."""

    def refuse(*_):
        raise AssertionError("the network was reached for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def kl(tmp_path):
    diffusers_models.save(tmp_path / "kl", "AutoencoderKL")
    return tmp_path / "kl"


# ------------------------------------------------------------------------------------------------
# Each class's own way


@pytest.mark.parametrize("class_name", CODES)
@torch.no_grad()
def test_code_and_images_are_what_diffusers_gives(class_name, tmp_path):
    """Without the configuration's scaling factor and shift, and clamped unless told otherwise."""
    model = diffusers_models.save(tmp_path / "model", class_name)
    system = systems.as_system(tmp_path / "model")
    code = system.encode(images())
    expected = CODES[class_name](model.encode(images()))
    assert torch.allclose(code.semantic, expected, atol=1e-5)
    decoded = model.decode(expected).sample
    assert torch.allclose(system.decode(code), decoded.clamp(-1, 1), atol=1e-5)
    far = Code(8 * code.semantic)
    beyond = model.decode(far.semantic).sample
    assert beyond.abs().max() > 1
    assert torch.allclose(system.unclamped().decode(far), beyond, atol=1e-4)
    assert system.describe()["class"] == class_name
    has_posterior = hasattr(model.encode(images()), "latent_dist")
    assert system.describe().get("posterior") == ("mean" if has_posterior else None)
    # As the paper counts, at the size that it is measured at.
    at_its_size = system.encode(images(system.image_size, 1)).semantic
    assert system.latent_dim == at_its_size.numel()


@torch.no_grad()
def test_vqmodel_s_code_is_of_the_codebook(tmp_path):
    model = diffusers_models.save(tmp_path / "vq", "VQModel", lookup_from_codebook=True)
    system = systems.as_system(tmp_path / "vq")
    before = model.encode(images()).latents
    vectors, _, (_, _, numbers) = model.quantize(before)
    code = system.encode(images())
    assert torch.allclose(code.semantic, vectors, atol=1e-6)
    assert not torch.allclose(code.semantic, before, atol=1e-2)
    assert torch.equal(system.indices(images()).flatten(), numbers)
    expected = model.decode(before).sample.clamp(-1, 1)  # it quantises
    assert torch.allclose(system.decode(code), expected, atol=1e-5)
    assert torch.allclose(system.decode_indices(system.indices(images())), expected, atol=1e-5)
    assert torch.equal(system.tokens(code)[0].flatten(), numbers)
    assert system.codebooks == {"codebook": 16}
    assert (system.latent_dim, system.code_bits) == (4 * 16 * 16, 16 * 16 * 4)
    moved = system.decode(Code(code.semantic + 0.01))
    assert not torch.equal(moved, system.decode(code))  # not quantised again


@torch.no_grad()
def test_rae_computes_between_0_and_1_and_has_one_size(tmp_path):
    pytest.importorskip("transformers")
    model = diffusers_models.save(tmp_path / "rae", "AutoencoderRAE")
    system = systems.as_system(tmp_path / "rae")
    code = system.encode(images(16))
    expected = model.encode((images(16) + 1) / 2).latent
    assert torch.allclose(code.semantic, expected, atol=1e-6)
    seen = model.decode(expected).sample.clamp(0, 1)  # images as people look at them
    assert torch.allclose(system.decode(code), seen * 2 - 1, atol=1e-5)
    assert (system.image_size, system.latent_dim) == (16, 64 * 4 * 4)
    with pytest.raises(UserError, match="takes float images N x 3 x 16 x 16"):
        system.encode(images(32))


def test_the_consistency_decoder_s_noise_is_the_image_s_own(tmp_path):
    diffusers_models.save(tmp_path / "model", "ConsistencyDecoderVAE")
    system = systems.as_system(tmp_path / "model")
    pair = images()
    both = system.decode(system.encode(pair))
    assert torch.equal(system.decode(system.encode(pair)), both)
    for i in (0, 1):
        alone = system.encode(pair[i : i + 1])
        assert torch.allclose(system.decode(alone), both[i : i + 1], atol=1e-5)
    code = system.encode(pair)
    swapped = system.decode(Code(code.semantic, code.x_T.flip(0)))
    assert not torch.allclose(swapped, both, atol=1e-3)
    assert system.decode(Code(code.semantic)).shape == both.shape  # an edited code has no image


@torch.no_grad()
def test_a_posterior_is_its_mean_or_a_sample_that_is_the_image_s_own(kl):
    model = diffusers_models.make("AutoencoderKL")
    system = systems.as_system(f"{kl}#posterior=sample")
    found = system.encode(images(n=64)).semantic
    dist = model.encode(images(n=64)).latent_dist
    eps = (found - dist.mean) / dist.std
    assert abs(eps.mean()) < 0.02 and abs(eps.std() - 1) < 0.02  # of 49,152 normal numbers
    assert torch.allclose(system.encode(images(n=64)[5:6]).semantic, found[5:6], atol=1e-5)
    assert not torch.allclose(eps[0], eps[1], atol=0.1)
    assert system.describe()["posterior"] == "sample"
    assert system.fingerprint != systems.as_system(kl).fingerprint


# ------------------------------------------------------------------------------------------------
# Options


def test_float16_is_refused_where_it_is_known_to_give_no_numbers(tmp_path):
    """SDXL's VAE, whose configuration says force_upcast; not Stable Diffusion 1.5's, of which it is
    diffusers' default.
    """
    diffusers_models.save(tmp_path / "sdxl", "AutoencoderKL", force_upcast=True)
    with pytest.raises(UserError, match=r"sdxl: its config.json asks for float32.*force_upcast"):
        systems.load("diffusers", f"{tmp_path / 'sdxl'}#dtype=float16")
    assert systems.load("diffusers", f"{tmp_path / 'sdxl'}#dtype=bfloat16")
    change(tmp_path / "sdxl", force_upcast=None)
    silent = systems.load("diffusers", f"{tmp_path / 'sdxl'}#dtype=float16")
    assert silent.inner.model.config["force_upcast"] and silent.describe()["dtype"] == "float16"


def test_dtype_is_that_of_the_weights_and_is_said(kl):
    half, full = (systems.load("diffusers", f"{kl}{how}") for how in ("#dtype=bfloat16", ""))
    assert half.inner.model.dtype == torch.bfloat16 and half.describe()["dtype"] == "bfloat16"
    difference = (half.encode(images()).semantic - full.encode(images()).semantic).abs().max()
    assert 1e-4 < difference < 0.1


def test_tiling_is_the_class_s_own(tmp_path, kl):
    system = systems.load("diffusers", f"{kl}#tiling=on")
    assert system.describe()["tiling"] == "on"
    tiles, whole = (s.encode(images(64)).semantic for s in (system, systems.load("diffusers", kl)))
    assert not torch.allclose(tiles, whole, atol=1e-4)
    diffusers_models.save(tmp_path / "asymmetric", "AsymmetricAutoencoderKL")
    with pytest.raises(UserError, match="asymmetric: AsymmetricAutoencoderKL has no tiling"):
        systems.load("diffusers", f"{tmp_path / 'asymmetric'}#tiling=on")


def test_the_size_that_it_is_measured_at(tmp_path):
    """Its own, 256 px at most unless more is asked for."""
    diffusers_models.save(tmp_path / "large", "AutoencoderKL", sample_size=1024)
    for option, side in (("", 256), ("#size=512", 512), ("#size=32", 32)):
        found = systems.as_system(f"{tmp_path / 'large'}{option}")
        assert (found.image_size, found.latent_dim) == (side, 3 * (side // 2) ** 2)
    assert found.encode(images(48)).semantic.shape == (2, 3, 24, 24)
    with pytest.raises(UserError, match=r"multiple of 2\), was given 2 x 3 x 33 x 33"):
        found.encode(images(33))


# ------------------------------------------------------------------------------------------------
# Folders


def test_a_pipeline_s_vae(kl, tmp_path):
    (tmp_path / "pipeline").mkdir()
    kl.rename(tmp_path / "pipeline" / "vae")
    index = {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "pipeline" / "model_index.json").write_text(json.dumps(index))
    found = systems.as_system(str(tmp_path / "pipeline"))
    assert found.title == "pipeline (AutoencoderKL)"


def test_half_precision_weights_of_a_variant(tmp_path):
    diffusers_models.make("AutoencoderKL").half().save_pretrained(tmp_path, variant="fp16")
    assert (tmp_path / "diffusion_pytorch_model.fp16.safetensors").is_file()
    assert systems.as_system(tmp_path).inner.model.dtype == torch.float32


def test_of_several_weights_those_without_a_variant_are_measured(kl):
    """A published folder has others beside them: in half precision, and those of the training
    without an average.
    """
    wanted = systems.as_system(kl).inner.model.state_dict()
    other = {name: value + 1 for name, value in load_file(kl / WEIGHTS).items()}
    for variant in ("fp16", "non_ema"):
        save_file(other, kl / WEIGHTS.replace(".", f".{variant}.", 1))
    found = systems.as_system(kl).inner.model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())


def test_results_are_filed_under_weights_and_configuration(kl):
    before = systems.as_system(kl).fingerprint
    assert systems.as_system(kl).fingerprint == before
    state = load_file(kl / WEIGHTS)
    name = "decoder.conv_out.bias"
    save_file(state | {name: state[name] + 1}, kl / WEIGHTS)
    weights = systems.as_system(kl).fingerprint
    change(kl, scaling_factor=0.5)
    assert len({before, weights, systems.as_system(kl).fingerprint}) == 3


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], ("diffusers",)),  # by its path alone
        (["--ckpt", "diffae=x"], (*systems.DEFAULT, "diffusers")),
        (["--systems", "diffae,diffusers"], ("diffae", "diffusers")),
    ],
)
def test_a_folder_is_recognised_by_the_command_line(more, expected, kl):
    asked = options.parse(["reconstruction", "--ckpt", f"{kl}#posterior=sample", *more], None)
    assert asked.checkpoints["diffusers"] == f"{kl}#posterior=sample"
    assert asked.systems == expected


def test_several_folders_are_compared_in_one_run(kl, patches, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    diffusers_models.save(tmp_path / "other", "AsymmetricAutoencoderKL")
    found = [f"--ckpt={kl}", f"--ckpt=diffusers={tmp_path / 'other'}"]
    command = ["reconstruction", "--profile", "smoke", "--limit", "4", "--data", str(patches.root)]
    run.main([*command, *found, "--out", str(tmp_path / "run")])
    rows = read_records(tmp_path / "run" / "records.csv")
    scores = {row.system: row.value for row in rows if row.metric == "mse"}
    assert set(scores) == {"kl (AutoencoderKL)", "other (AsymmetricAutoencoderKL)"}
    assert len(set(scores.values())) == 2
    words = r"two checkpoints for diffusers:kl .*give the second a title"
    with pytest.raises(UserError, match=words):
        options.parse(["reconstruction", f"--ckpt={kl}", f"--ckpt={kl}#posterior=sample"], None)


# ------------------------------------------------------------------------------------------------
# What is refused


def refused(path, capsys) -> str:
    return refused_checkpoint("diffusers", path, capsys)


def test_pickles_are_not_opened(kl, capsys, tmp_path):
    (kl / WEIGHTS).rename(kl / "diffusion_pytorch_model.bin")
    assert "as a pickle only (diffusion_pytorch_model.bin)" in refused(kl, capsys)


def test_a_pipeline_whose_vae_is_code(kl, capsys, tmp_path):
    kl.rename(tmp_path / "vae")
    (tmp_path / "model_index.json").write_text('{"vae": ["my_vae", "MyVAE"]}')
    assert "custom code" in refused(tmp_path, capsys)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"auto_map": {"AutoModel": "my_vae.MyVAE"}}, "custom code (auto_map)"),
        ({"_class_name": "AutoencoderKLWan"}, "AutoencoderKLWan is not an autoencoder of images"),
        ({"_class_name": None}, "no model of diffusers"),
        ({"_class_name": None, "system": "vqgan"}, "--ckpt vqgan="),
        ({"in_channels": 4}, "in_channels is 4"),
        ({"latent_channels": 5}, "diffusers makes no AutoencoderKL of it"),
        ({"down_block_types": ["Nonsense"] * 2}, "diffusers makes no AutoencoderKL of it"),
        ({"layers_per_block": 2}, "missing: "),
        ({"layers_per_block": 100_000}, "layers_per_block: 100000 are more layers than"),
        ({"block_out_channels": [20_000, 40_000]}, "a network of 252,007,140,063 numbers"),
    ],
)
def test_configurations_that_cannot_be(fields, words, kl, capsys):
    change(kl, **fields)
    assert words in refused(kl, capsys)


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("quant_conv.bias", None, "missing: quant_conv.bias"),
        ("extra", torch.zeros(1), "not part of the model: extra"),
        ("quant_conv.bias", torch.full((6,), torch.nan), "not finite: quant_conv.bias"),
    ],
)
def test_tensors_that_do_not_fit_are_named(name, tensor, words, kl, capsys):
    state = load_file(kl / WEIGHTS) | {name: tensor}
    save_file({k: v for k, v in state.items() if v is not None}, kl / WEIGHTS)
    assert words in refused(kl, capsys)


@pytest.mark.parametrize("content", ['{"_class_name": ', "[]", "\0"])
@pytest.mark.parametrize("name", ["config.json", "model_index.json"])
@pytest.mark.parametrize("flag", ["diffusers=", ""])
def test_a_broken_configuration_is_named(kl, capsys, content, name, flag):
    (kl / name).write_text(content)
    line = refusal(run.main, capsys, "reconstruction", "--dry-run", "--ckpt", f"{flag}{kl}")
    assert f"{kl / name}: " in line and " JSON" in line


def test_a_pipe_in_the_place_of_weights_is_not_waited_for(kl, capsys):
    (kl / WEIGHTS).unlink()
    os.mkfifo(kl / WEIGHTS)
    assert f"{kl / WEIGHTS}: a pipe, not a file" in refused(kl, capsys)


def test_a_damaged_file(kl, capsys):
    (kl / WEIGHTS).write_bytes((kl / WEIGHTS).read_bytes()[:1000])
    assert "diffusers makes no AutoencoderKL of it" in refused(kl, capsys)


def test_no_folder_and_a_pipeline_without_an_autoencoder(kl, capsys, tmp_path):
    assert "no such folder" in refused(tmp_path / "nowhere", capsys)
    assert "is a file" in refused(kl / "config.json", capsys)
    (tmp_path / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DModel"]}')
    assert "a pipeline without a vae" in refused(tmp_path, capsys)


def test_a_class_that_the_installed_release_does_not_have(kl, monkeypatch):
    import diffusers

    monkeypatch.delattr(diffusers, "AutoencoderKL", raising=False)
    monkeypatch.setattr(library, "diffusers", lambda what: type("Old", (), {"__version__": "0.1"}))
    with pytest.raises(UserError, match=r"kl: .*0\.1.* has no AutoencoderKL"):
        systems.load("diffusers", kl)
