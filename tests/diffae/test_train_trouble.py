"""Errors in a training: one line, status 2, and nothing lost."""

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import in_process
import numpy as np
import pytest
import torch
from memory_errors import CPU, MEMORY_ERRORS
from PIL import Image
from refusal import refusal
from tiny_preset import SCHEDULE, pictures
from tiny_training import same, weights, write_pictures
from tiny_training import words as words_of

from diffae.data import open_dataset, open_for_model
from diffae.system.errors import UserError
from diffae.train import __main__ as command
from diffae.train import images as images_module
from diffae.train import state
from diffae.train.images import Images, OnDisk, source_of
from diffae.train.trainer import TrainingRun, fit, needing_memory
from diffae.train.types import Stage

ROOT = Path(__file__).parents[2]
TWENTY = pictures(20)
words = partial(words_of, "tiny")


@pytest.fixture
def from_disk(monkeypatch):
    monkeypatch.setattr(images_module, "IN_MEMORY", 0)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ----------------------------------------------------------------------------------------------
# Images that cannot be read


@pytest.mark.parametrize("workers", ["0", "2", "in memory"])
def test_a_damaged_image_is_an_error_and_once_it_is_mended_the_training_goes_on(
    workers, data, tmp_path, request
):
    flags = [] if workers == "in memory" else ["--workers", workers]
    if flags:
        request.getfixturevalue("from_disk")
    whole, out, good = tmp_path / "whole", tmp_path / "out", content(data)
    command.main(words(data, whole, *flags))
    (data / "07.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"07\.png: cannot read this image"):
        command.main(words(data, tmp_path / "other", *flags))
    (data / "07.png").write_bytes(good["07.png"])
    command.main(words(data, out, *flags))
    assert same(weights(whole), weights(out))


@pytest.mark.parametrize("spare", [0, -1])
def test_images_are_held_in_memory_if_their_pixels_fit(tmp_path, monkeypatch, spare):
    folder = write_pictures(tmp_path / "noise", TWENTY)
    monkeypatch.setattr(images_module, "IN_MEMORY", TWENTY.nbytes + spare)
    source = source_of(open_dataset(folder, 8), np.arange(20))
    assert isinstance(source, np.ndarray) == (spare == 0) and len(source) == 20


def test_a_size_is_found_though_the_first_image_is_damaged(data):
    (data / "00.png").write_bytes(b"no image")
    assert len(open_for_model(data, 8)) == 20
    with pytest.raises(UserError, match="images of 8 px, but the model is for 16 px"):
        open_for_model(data, 16)
    for path in data.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"00\.png: cannot read this image"):
        open_for_model(data, 8)


def test_a_worker_that_dies_is_one_line(data, from_disk):
    found = open_dataset(data, 8)
    source = source_of(found, found.indices("all"))

    class Dying(OnDisk):
        def __getitem__(self, indices):
            os.kill(os.getpid(), signal.SIGKILL)

    images = Images(Dying(source.dataset, source.order), False, "cpu", 1)
    with (
        pytest.raises(UserError, match="a process that reads images died.*--workers") as error,
        images.ahead(iter([torch.tensor([0])])),
    ):
        images.batch(torch.tensor([0]))
    assert "\n" not in str(error.value)


# ----------------------------------------------------------------------------------------------
# A folder that changes


def gone(folder):
    (folder / "07.png").unlink()


def more(folder):
    (folder / "new.png").write_bytes((folder / "07.png").read_bytes())


def another(folder):
    Image.fromarray(TWENTY[0]).save(folder / "07.png")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (gone, "trained_on.count is 20 there and 19 here"),
        (more, "trained_on.count is 20 there and 21 here"),
        (another, "trained_on.fingerprint is "),
    ],
)
def test_images_that_changed_between_two_runs_are_noticed(change, told, data, tmp_path, capsys):
    out, good = tmp_path / "out", content(data)
    command.main(words(data, out))
    before = content(out)
    change(data)
    capsys.readouterr()
    line = refusal(command.main, capsys, *words(data, out))
    assert f"{out}: holds a different training (see {out / 'training.json'}: {told}" in line
    assert content(out) == before
    for path in data.iterdir():
        path.unlink()
    for name, bytes_of in good.items():
        (data / name).write_bytes(bytes_of)
    command.main(words(data, out))


@pytest.mark.parametrize("change", [gone, another, None])
def test_images_that_change_meanwhile_are_told_of(change, data, tmp_path, monkeypatch, capsys):
    def changing(*_):
        if change:
            change(data)
        return {}

    monkeypatch.setattr(command, "train", changing)
    command.main(words(data, tmp_path / "out"))
    told = "data: its files have changed since this command began" in capsys.readouterr().err
    assert told == bool(change)


# ----------------------------------------------------------------------------------------------
# Too little memory


@pytest.mark.parametrize("error", MEMORY_ERRORS)
def test_too_little_memory_is_one_line(error):
    with pytest.raises(UserError) as found, needing_memory("work", "wait"):
        raise error
    assert str(found.value) == "work: not enough memory; wait"


def test_other_errors_are_as_they_were():
    with pytest.raises(RuntimeError, match="shapes"), needing_memory("work", "wait"):
        raise RuntimeError("shapes do not fit")


def test_a_step_that_takes_too_much_memory_says_what_to_try(tmp_path):
    """The state stays that of before: Adam's moments may be half made."""
    network, taken = torch.nn.Linear(1, 1), []

    def loss(indices, noise):
        taken.append(len(indices))
        if sum(taken) > SCHEDULE.batch_size:
            raise RuntimeError(CPU)
        return network(torch.ones(1)).sum()

    with pytest.raises(UserError) as error:
        stage = Stage("image", "tiny: it", network, SCHEDULE, loss)
        fit(stage, 8, tmp_path / "s", TrainingRun(0, "me"))
    told = (
        "tiny: it: 4 examples at a time: not enough memory; try --micro-batch 2, --recompute or a"
    )
    assert str(error.value).startswith(told)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_what_is_said_to_try_helps(tmp_path):
    """A real limit: a batch of 256 that does not fit at once does in parts, in the same folder."""
    folder = write_pictures(tmp_path / "data", np.zeros((40, 32, 32, 3), np.uint8))
    settings = ["image.batch_size=256", "image.samples=256", "encoder=none", "latent=none"]
    flags = [word for setting in settings for word in ("--set", setting)]
    program = [sys.executable, str(ROOT / "tests/helpers/train_in_little_memory.py"), "1000"]

    def limited(*more):
        command = [*program, *words_of("smoke", folder, tmp_path / "out", *flags, *more)]
        environment = in_process.environment(tmp_path)
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    found = limited()
    assert found.returncode == 2, found.stderr
    line = found.stderr.splitlines()[-1]
    assert line.startswith("error: smoke: autoencoder: 256 examples at a time: not enough memory")
    assert "try --micro-batch 128, --recompute or" in line
    found = limited("--micro-batch", "32")
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "out/model.safetensors").exists()


# ----------------------------------------------------------------------------------------------
# Several processes


@pytest.mark.slow
def test_one_of_two_processes_that_cannot_read_an_image_ends_both_with_one_line(data, tmp_path):
    (data / "07.png").write_bytes(b"no image")
    out = tmp_path / "out"
    helper = str(ROOT / "tests/helpers/train_tiny.py")
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = in_process.environment(tmp_path)
    launch = partial(subprocess.run, env=environment, capture_output=True, text=True, timeout=300)
    found = launch([*program, helper, str(data), str(out), "--from-disk"])
    assert found.returncode == 1
    assert len(re.findall(r"^error: .*07\.png: cannot read this image", found.stderr, re.M)) == 1
    assert found.stderr.count("error: ") == 1
    mine = found.stderr.split("torch/distributed")[0]
    assert "Traceback" not in mine
    assert state.step_on_disk(out / "training-image.safetensors") > 0
