"""Training: a killed run resumes exactly, the moving average is correct, and the command works."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import in_process
import numpy as np
import pytest
import torch
from refusal import refusal
from tiny_preset import TINY, pictures
from tiny_training import same, words, write_pictures
from tiny_training import weights as weights_of
from torch import nn

from diffae.diffusion.noise import generator, normals
from diffae.model import DiffusionAutoencoder
from diffae.system.errors import Terminated, UserError
from diffae.train import __main__ as command
from diffae.train.images import Images
from diffae.train.presets import PRESETS
from diffae.train.stages import PixelDecoder, pixel_loss
from diffae.train.step import Training, batch_indices, learning_rate
from diffae.train.trainer import TrainingRun, fit
from diffae.train.types import Schedule, Stage

SCHEDULE = Schedule(samples=80, batch_size=8, learning_rate=1e-2, warmup_samples=16, decay="cosine")


def regression(dropout: float = 0.2):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1))
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    y = x.sum(1, keepdim=True)

    def loss(indices, noise):
        jitter = 0.1 * normals(noise, (len(indices), 4))
        return (network(x[indices] + jitter) - y[indices]).square().mean()

    return network, loss


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def advance(training, loss, steps):
    for step in steps:
        training.advance(loss, batch_indices(64, 8, training.seed, step))


def test_going_on_from_a_checkpoint_is_exact(tmp_path):
    whole_network, loss = regression()
    whole = Training(whole_network, SCHEDULE, seed=3)
    advance(whole, loss, range(10))

    first_network, loss = regression()
    first = Training(first_network, SCHEDULE, seed=3)
    advance(first, loss, range(4))
    first.save(tmp_path / "state", "me")

    torch.manual_seed(99)  # whatever state another process starts with
    second_network, loss = regression()
    second = Training(second_network, SCHEDULE, seed=3)
    second.load(tmp_path / "state", "me")
    assert second.step == 4
    advance(second, loss, range(4, 10))
    assert torch.equal(weights(second_network), weights(whole_network))
    assert all(torch.equal(a, b) for a, b in zip(second.ema, whole.ema, strict=True))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    network, loss = regression()
    training = Training(network, SCHEDULE, seed=0)
    training.advance(loss, batch_indices(64, 8, 0, 0))
    training.save(tmp_path / "state", "me")
    with pytest.raises(UserError, match="different training"):
        training.load(tmp_path / "state", "you")
    (tmp_path / "state").write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        training.load(tmp_path / "state", "me")


def test_learning_rate_warms_up_and_decays():
    rates = np.array([learning_rate(SCHEDULE, step) for step in range(SCHEDULE.steps)])
    assert rates[0] == pytest.approx(0.5e-2)
    assert rates[1] == pytest.approx(1e-2, rel=0.03)
    assert (np.diff(rates[1:]) < 0).all()
    assert rates[-1] < 0.05e-2
    constant = replace(SCHEDULE, decay="constant", warmup_samples=0)
    assert {learning_rate(constant, step) for step in range(10)} == {1e-2}


def test_learning_rate_stays_until_its_last_examples():
    """Ten steps of eight, the last 32 examples of which are half a cosine in four steps."""
    late = Schedule(80, 8, 1e-2, decay="cosine", decay_samples=32)
    falling = [1e-2 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    rates = [learning_rate(late, step) for step in range(10)]
    assert rates == pytest.approx([1e-2] * 6 + falling)
    assert late.at_most(40).decay_samples == 16


def train(out, cache, kill_when=None):
    """Run the command in a process of its own; `kill_when` ends it as hard as a power cut does."""
    command = [sys.executable, "-m", "diffae.train", "smoke", "--out", str(out)]
    process = subprocess.Popen(command, env=in_process.environment(cache))
    if kill_when is not None:
        while not kill_when() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_model(tmp_path):
    cache, killed = tmp_path / "cache", tmp_path / "killed"
    assert train(tmp_path / "whole", cache) == 0
    saved = killed / "training-image.safetensors"
    assert train(killed, cache, kill_when=saved.exists) == -signal.SIGKILL
    assert not (killed / "model.safetensors").exists()
    assert train(killed, cache) == 0
    assert same(weights_of(tmp_path / "whole"), weights_of(killed))


@pytest.fixture
def photos(tmp_path_factory) -> Path:
    """A folder of pictures of 32 px."""
    folder = tmp_path_factory.mktemp("photos") / "black"
    return write_pictures(folder, np.zeros((4, 32, 32, 3), np.uint8))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["portrait"], "did you mean portraits?"),
        (["fashion-mnist"], "needs --data"),
        (["smoke", "--dat", "x"], "did you mean --data?"),
        (["smoke", "--data", "/nowhere"], "/nowhere"),
        (["smoke", "--precision", "float16"], "--precision"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refusal(command.main, capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, photos, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    line = refusal(command.main, capsys, *words("smoke", photos, tmp_path))
    assert "choose another --out" in line
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_in_use_is_refused(tmp_path, photos, monkeypatch):
    arguments = words("smoke", photos, tmp_path / "out")

    def train_meanwhile(*_):
        with pytest.raises(UserError, match="another process is training"):
            command.main(arguments)
        return {}

    monkeypatch.setattr(command, "train", train_meanwhile)
    command.main(arguments)


def test_sigterm_saves_and_ends(tmp_path):
    network, loss = regression()

    def interrupted(indices, noise):
        if not (tmp_path / "state").exists():
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(indices, noise)

    with pytest.raises(Terminated):
        stage = Stage("image", "test", network, SCHEDULE, interrupted)
        fit(stage, 64, tmp_path / "state", TrainingRun(0, "me"))
    again = Training(network, SCHEDULE, seed=0)
    again.load(tmp_path / "state", "me")
    assert again.step == 1


def test_the_encoder_learns_from_its_pixel_decoder(tmp_path):
    """A start of a few steps lowers the error of the decoder that is thrown away."""
    data = Images(pictures(4), False, "cpu")
    torch.manual_seed(0)
    model, decoder = DiffusionAutoencoder(TINY.model), PixelDecoder(TINY.model)
    network = nn.ModuleDict({"encoder": model.encoder, "pixels": decoder})
    loss, everything = pixel_loss(model, data, decoder), torch.arange(4)
    before = float(loss(everything, generator(0, "test", 0)).detach())
    x_0 = torch.from_numpy(pictures(4)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        expected = (decoder(model.encoder(x_0)) - x_0).square().mean()
    assert before == pytest.approx(float(expected), rel=1e-5)
    schedule = replace(SCHEDULE, samples=160, batch_size=4, learning_rate=1e-3, ema_decay=0.5)
    fit(
        Stage("encoder", "test", network, schedule, loss),
        4,
        tmp_path / "state",
        TrainingRun(0, "me"),
    )
    assert float(loss(everything, generator(0, "test", 0)).detach()) < 0.9 * before


def test_presets_are_named_by_their_keys():
    assert all(preset.name == name for name, preset in PRESETS.items())
