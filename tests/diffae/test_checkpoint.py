"""Checkpoints of ours: what is written loads again, and every fault of a file is named."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffae.checkpoint import open_checkpoint
from diffae.errors import UserError
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.train.presets import PRESETS


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = DiffusionAutoencoder(PRESETS["smoke"].model)
    model.z_mean.fill_(0.25)
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def edit(folder, change):
    state = load_file(folder / "model.safetensors")
    save_file(change(state), folder / "model.safetensors")


def test_a_saved_model_loads_with_equal_outputs(folder):
    a = DiffusionAutoencoder.from_pretrained(folder)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    a.save_pretrained(folder.parent / "again")
    b = DiffusionAutoencoder.from_pretrained(folder.parent / "again")
    assert torch.equal(a.encode(images), b.encode(images))
    assert torch.equal(a.z_mean, torch.full_like(a.z_mean, 0.25))
    again = open_checkpoint(folder.parent / "again")
    assert open_checkpoint(folder).fingerprint() == again.fingerprint()
    assert not any(parameter.requires_grad for parameter in a.parameters())


def test_half_precision_files_give_single_precision_models(folder):
    model = DiffusionAutoencoder.from_pretrained(folder)
    model.save_pretrained(folder.parent / "half", torch.float16)
    half = DiffusionAutoencoder.from_pretrained(folder.parent / "half")
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    name = "encoder.out.3.weight"
    assert torch.allclose(half.state_dict()[name], model.state_dict()[name], atol=1e-3)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: {k: v for k, v in s.items() if k != "z_mean"}, "tensors missing: z_mean"),
        (lambda s: s | {"extra": torch.zeros(1)}, "not part of the model: extra"),
        (lambda s: s | {"z_mean": torch.zeros(1, 7)}, "of another shape: z_mean"),
        (
            lambda s: s | {"z_mean": torch.full_like(s["z_mean"], float("nan"))},
            "not finite: z_mean",
        ),
    ],
)
def test_faulty_tensors_are_named(folder, change, message):
    edit(folder, change)
    with pytest.raises(UserError, match=message):
        DiffusionAutoencoder.from_pretrained(folder)


def test_a_damaged_file_is_named(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        DiffusionAutoencoder.from_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json"):
        DiffusionAutoencoder.from_pretrained(folder)


def test_a_model_of_another_kind_is_refused(folder):
    with pytest.raises(UserError, match="holds a diffusion_autoencoder, not a ddim"):
        DDIM.from_pretrained(folder)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        DiffusionAutoencoder.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"model\.safetensors and config\.json"):
        DiffusionAutoencoder.from_pretrained(tmp_path / "empty")
    with pytest.raises(UserError, match="not a checkpoint of torch.save"):
        (tmp_path / "file").write_text(json.dumps({}))
        DiffusionAutoencoder.from_pretrained(tmp_path / "file")


def test_sampling_latents_needs_a_latent_ddim(tmp_path):
    from dataclasses import replace

    model = DiffusionAutoencoder(replace(PRESETS["smoke"].model, latent=None))
    with pytest.raises(UserError, match="no latent DDIM"):
        model.sample_latents(2)
