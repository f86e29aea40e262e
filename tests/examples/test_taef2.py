"""The example that measures TAEF2, with a network and weights in place of theirs."""

import importlib
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import systems
from diffae.system.errors import UserError

FOLDER = Path(__file__).parents[2] / "examples"
THEIRS = """
import torch
from torch import nn

class TAESD(nn.Module):
    def __init__(self, encoder_path, decoder_path):
        super().__init__()
        self.encoder, self.decoder = nn.Conv2d(3, 32, 8, 8), nn.ConvTranspose2d(32, 3, 8, 8)
        self.encoder.load_state_dict(torch.load(encoder_path, weights_only=True))
        self.decoder.load_state_dict(torch.load(decoder_path, weights_only=True))
"""


@pytest.fixture
def taef2(monkeypatch, tmp_path):
    """The module of the example, which expects the random weights in `tmp_path`."""
    monkeypatch.syspath_prepend(FOLDER)
    module = importlib.import_module("taef2")
    (tmp_path / "taesd.py").write_text(THEIRS)
    networks = (nn.Conv2d(3, 32, 8, 8), nn.ConvTranspose2d(32, 3, 8, 8))
    for name, network in zip(module.SHA256, networks, strict=True):
        torch.save(network.state_dict(), tmp_path / name)
        digest = sha256((tmp_path / name).read_bytes()).hexdigest()
        monkeypatch.setitem(module.SHA256, name, digest)
    return module


def test_it_is_measured_in_its_range_at_any_size(taef2, tmp_path):
    system = systems.load("taef2:TAEF2", tmp_path)
    assert (system.title, system.latent_dim, list(system.networks())) == ("TAEF2", 32768, ["net"])
    images = torch.rand(1, 3, 16, 40) * 2 - 1
    code = system.encode(images)
    net = system.networks()["net"]
    torch.testing.assert_close(code.semantic, net.encoder(images / 2 + 0.5))
    decoded = (2 * net.decoder(code.semantic) - 1).clamp(-1, 1)
    torch.testing.assert_close(system.decode(code), decoded)


def test_weights_that_are_missing_or_others_are_refused(taef2, tmp_path):
    fingerprint = systems.load("taef2:TAEF2", tmp_path).fingerprint
    with (tmp_path / "taesd.py").open("a") as file:
        file.write("\n")
    assert systems.load("taef2:TAEF2", tmp_path).fingerprint != fingerprint
    decoder = tmp_path / "taef2_decoder.pth"
    decoder.write_bytes(decoder.read_bytes()[:-1] + b"?")
    for path, file in ((tmp_path, decoder), (None, Path("taesd/taef2_encoder.pth"))):
        with pytest.raises(
            UserError, match=f"^{file}: is not that of github.com/madebyollin/taesd"
        ):
            systems.load("taef2:TAEF2", path)
