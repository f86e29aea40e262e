"""Inputs that the methods of a model accept and refuse, and what a user may do with the outputs."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffae import DDIM, DiffusionAutoencoder
from diffae.checkpoints import checkpoint
from diffae.diffusion.scheme import find, uniform
from diffae.images import verbs
from diffae.system.errors import UserError
from diffae.train.presets import PRESETS

SIZE = 32


@pytest.fixture(scope="module")
def model() -> DiffusionAutoencoder:
    torch.manual_seed(0)
    return DiffusionAutoencoder(PRESETS["smoke"].model).eval()


@pytest.fixture(scope="module")
def ddim() -> DDIM:
    return DDIM(PRESETS["portraits-ddim"].model).eval()


def images(n: int = 2, size: int = SIZE) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def outputs(model, ddim):
    x = images()
    z = model.encode(x)
    x_T = model.encode_stochastic(x, z, steps=1)
    yield from (z, x_T, model.decode(z, x_T, steps=1), model.predict_noise(x, 5, z))
    yield from (model.sample_latents(2, steps=1), model.predict_latent_noise(z, 5))
    yield from (ddim.encode_stochastic(x, steps=1), ddim.decode(x, steps=1))
    yield ddim.predict_noise(x, 5)


def test_what_comes_out_are_tensors_to_learn_from(model, ddim):
    for output in outputs(model, ddim):
        probe = nn.Linear(output.flatten(1).shape[1], 1)
        probe(output.flatten(1)).sum().backward()  # not so with tensors of inference_mode
        assert probe.weight.grad is not None and not output.requires_grad


def calls(model, ddim):
    """What is wrong, the call, and what must be said of it."""
    x, z = images(), torch.zeros(2, model.latent_dim)
    big = images(size=64)
    text = "images must be a tensor N x 3 x 32 x 32, not a tensor 2 x 3 x 64 x 64"
    yield text, lambda: model.encode(big)
    yield text, lambda: model.encode_stochastic(big, z)
    yield text, lambda: ddim.encode_stochastic(big)
    yield "x_T must be a tensor N x 3 x 32 x 32", lambda: model.decode(z, big)
    yield "x_T must be a tensor N x 3 x 32 x 32", lambda: ddim.decode(big)
    yield "x_t must be a tensor N x 3 x 32 x 32", lambda: ddim.predict_noise(big, 3)
    yield "images must be a tensor N x 3 x 32 x 32", lambda: model.encode(x.permute(0, 2, 3, 1))
    yield "images must be a tensor N x 3 x 32 x 32, not array", lambda: model.encode(x.numpy())
    yield "images must be of floating point, not torch.uint8", lambda: model.encode(x.byte())
    text = r"images must be in \[-1, 1\], not .* 8 bits"
    yield text, lambda: model.encode(127 * x + 128)
    yield "images: on meta, the model on cpu", lambda: model.encode(x.to("meta"))
    yield "z must be a tensor N x 256, not a tensor 2 x 7", lambda: model.decode(z[:, :7], x)
    yield "z and x_T must be as many, not 1 and 2", lambda: model.decode(z[:1], x)
    yield "z and images must be as many", lambda: model.encode_stochastic(x, z[:1])
    yield "z and x_t must be as many", lambda: model.predict_noise(x, 3, z[:1])
    yield "noise must be a tensor N x 256", lambda: model.sample_latents(torch.zeros(2, 7))
    for t in (-1, 1000, 2.5, True, "5", torch.tensor(-1), torch.tensor(0.5)):
        yield "t must be a whole number from 0 to 999", lambda t=t: model.predict_noise(x, t, z)
        yield "t must be a whole number from 0 to 999", lambda t=t: ddim.predict_noise(x, t)
        yield "t must be a whole number", lambda t=t: model.predict_latent_noise(z, t)
    for t, said in (
        ([5, -1], "from 0 to 999, not -1"),
        ([1000, 0], "from 0 to 999, not 1000"),
        ([1, 2, 3], "one whole number, or 2"),
        ([1.0, 2.0], "one whole number, or 2"),
    ):
        yield f"t must be {said}", lambda t=t: ddim.predict_noise(x, torch.tensor(t))
    for steps in (0, 1001, 2.0, "10", None, True, torch.tensor(-5)):
        yield "steps must be a whole number from 1", lambda s=steps: model.decode(z, x, s)
        yield "steps must be a whole number from 1", lambda s=steps: model.sample_latents(2, s)
    for n in (0, -3, 1.5):
        yield "n must be a whole number from 1", lambda n=n: model.sample_latents(n)


def test_what_cannot_be_worked_on_is_refused_in_one_line(model, ddim):
    for message, call in calls(model, ddim):
        with pytest.raises(UserError, match=message) as refused:
            call()
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("make", [int, np.int64, np.int32, torch.tensor, np.array])
def test_whole_numbers_of_every_kind_are_taken(model, ddim, make):
    x, z = images(), torch.zeros(2, model.latent_dim)
    assert torch.equal(ddim.predict_noise(x, make(7)), ddim.predict_noise(x, torch.tensor([7, 7])))
    assert torch.equal(ddim.decode(x, make(2)), ddim.decode(x, 2))
    assert torch.equal(model.predict_latent_noise(z, make(7)), model.predict_latent_noise(z, 7))
    assert model.sample_latents(make(3), steps=1).shape == (3, model.latent_dim)
    assert find("ddim").timesteps(make(10)) == uniform(10)


def test_other_precisions_and_small_overshoots_are_taken(model):
    x = images()
    torch.testing.assert_close(model.encode(x.double()), model.encode(x))
    assert model.encode(1.2 * x).dtype == torch.float32
    assert model.encode(x.half()).dtype == torch.float32


# ----------------------------------------------------------------------------------------------
# Packaged names


def test_a_packaged_name_means_the_package_wherever_it_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "portraits").mkdir()  # the data, as docs/data.md makes it
    here = checkpoint.PACKAGED / "portraits"
    for name in ("portraits", Path("portraits")):
        assert checkpoint.open_checkpoint(name).path == here
    with pytest.raises(UserError, match=r"\./portraits: no such checkpoint"):
        checkpoint.open_checkpoint("./portraits")


def test_a_folder_of_that_name_is_reached_by_its_path(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    model.save_pretrained(tmp_path / "portraits")
    for path in ("./portraits", str(tmp_path / "portraits"), tmp_path / "portraits"):
        assert checkpoint.open_checkpoint(path).config == model.config
    assert checkpoint.open_checkpoint("portraits").path == checkpoint.PACKAGED / "portraits"


def _with_steps(*owners):
    """The public functions of these classes and modules that take steps, and have a default for them."""
    for owner in owners:
        for name, found in vars(owner).items():
            if name[0] != "_" and inspect.isfunction(found):
                known = inspect.signature(found).parameters
                if "steps" in known and known["steps"].default is not inspect.Parameter.empty:
                    yield name, known


def test_without_steps_models_take_a_hundred_of_ddim_and_pictures_ten_of_fast():
    """As the README and the help of the commands say."""
    of_models = list(_with_steps(DiffusionAutoencoder, DDIM))
    of_pictures = list(_with_steps(verbs))
    assert (
        len(of_models) >= 5 and len(of_pictures) >= 2
    )  # by which all other verbs encode and decode
    for of, expected in ((of_models, (100, "ddim")), (of_pictures, (10, "fast"))):
        for name, known in of:
            assert (known["steps"].default, known["solver"].default) == expected, name
