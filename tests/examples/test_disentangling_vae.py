"""The example that measures VAEs of CelebA, with random weights in place of the published ones."""

import importlib
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch.nn.functional import conv2d, linear

from benchmarks import systems
from diffae.system.errors import UserError

NAMES = [f"disentangling_vae:{name}" for name in ("VAE", "FactorVAE")]
DOWN = [f"encoder.{name}" for name in ("conv1", "conv2", "conv3", "conv_64")]
UP = [f"decoder.{name}" for name in ("convT_64", "convT1", "convT2", "convT3")]
SHAPES = {  # of the published files, in their order
    **{name: (32, 3 if name == DOWN[0] else 32, 4, 4) for name in DOWN},
    "encoder.lin1": (256, 512),
    "encoder.lin2": (256, 256),
    "encoder.mu_logvar_gen": (20, 256),
    "decoder.lin1": (256, 10),
    "decoder.lin2": (256, 256),
    "decoder.lin3": (512, 256),
    **{name: (32, 3 if name == UP[-1] else 32, 4, 4) for name in UP},
}


@pytest.fixture
def file(monkeypatch, tmp_path):
    """Weights of the published names and shapes, which the example takes for those of two models."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    module = importlib.import_module("disentangling_vae")
    weights = {}
    for name, shape in SHAPES.items():
        weights[f"{name}.weight"] = torch.randn(shape) / 12
        weights[f"{name}.bias"] = torch.randn(shape[1 if name in UP else 0])
    torch.save(weights, tmp_path / "model.pt")
    digest = sha256((tmp_path / "model.pt").read_bytes()).hexdigest()
    for title in ("VAE", "FactorVAE"):
        monkeypatch.setitem(module.SHA256, title, digest)
    return tmp_path / "model.pt"


def test_the_code_is_the_mean_of_the_published_network(file):
    first, second = (systems.load(name, file) for name in NAMES)
    assert (first.title, second.title, first.latent_dim) == ("VAE", "FactorVAE", 10)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    weights, x = torch.load(file), images / 2 + 0.5
    for name in DOWN:
        x = conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], 2, 1).relu()
    x = x.flatten(1)
    for name in ("lin1", "lin2"):
        x = linear(x, weights[f"encoder.{name}.weight"], weights[f"encoder.{name}.bias"]).relu()
    x = linear(x, *(weights[f"encoder.mu_logvar_gen.{kind}"] for kind in ("weight", "bias")))
    code = first.encode(images)
    torch.testing.assert_close(code.semantic, x.view(2, 10, 2)[..., 0])  # as theirs unbinds it
    assert first.decode(code).shape == images.shape


def test_weights_of_another_model_are_refused(file):
    for path in (file, file.parent / "none.pt"):
        with pytest.raises(UserError, match=rf"^{path}: is not the beta-TCVAE of github.com/Yann"):
            systems.load("disentangling_vae:BetaTCVAE", path)
