"""The example that measures an autoencoder of CIFAR-10, with random weights in place of its author's."""

import importlib
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from benchmarks import systems
from diffae.system.errors import UserError

NAME = "cifar_autoencoder:CifarAutoencoder"
SHAPES = {  # of the published file
    "encoder.0": (32, 3, 4, 4),
    "encoder.2": (48, 32, 3, 3),
    "decoder.0": (48, 32, 3, 3),
    "decoder.2": (32, 3, 4, 4),
}


def test_weights_of_the_published_shapes_are_read_and_others_refused(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    module = importlib.import_module("cifar_autoencoder")
    weights = {f"{name}.weight": torch.randn(shape) / 9 for name, shape in SHAPES.items()}
    biases = zip(SHAPES, (32, 48, 32, 3), strict=True)
    weights |= {f"{name}.bias": torch.randn(size) for name, size in biases}
    file = tmp_path / "weights" / "autoencoder.pkl"
    file.parent.mkdir()
    with monkeypatch.context() as on_a_gpu:
        on_a_gpu.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        torch.save(weights, file)
    with pytest.raises(UserError, match=f"^{file}: is not that of github.com/chenjie/PyTorch"):
        systems.load(NAME, tmp_path)
    monkeypatch.setattr(module, "SHA256", sha256(file.read_bytes()).hexdigest())
    system = systems.load(NAME, tmp_path)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    code = system.encode(images)
    assert (system.latent_dim, code.semantic.shape) == (768, (2, 48, 4, 4))
    hidden = torch.nn.functional.conv2d(
        images / 2 + 0.5, weights["encoder.0.weight"], weights["encoder.0.bias"], 4
    )
    expected = torch.nn.functional.conv2d(
        hidden.relu(), weights["encoder.2.weight"], weights["encoder.2.bias"], 3, 2
    )
    torch.testing.assert_close(code.semantic, expected.relu())
    assert system.decode(code).shape == images.shape
