"""--init: another training starts from a trained model: its weights, its hash and its training data."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import official_files
import pytest
import torch
from refusal import refusal
from tiny_preset import SCHEDULE, TINY
from tiny_training import weights, write_pictures
from tiny_training import words as arguments

from diffae.checkpoints import checkpoint
from diffae.checkpoints.trained_on import TrainedOn
from diffae.data import open_dataset
from diffae.model import DiffusionAutoencoder
from diffae.networks.config import read_config
from diffae.train import __main__ as command
from diffae.train.init import Init
from diffae.train.presets import PRESETS

ONE_STEP = replace(SCHEDULE, samples=4, learning_rate=1e-12, ema_decay=0.0)


def folder_of(place, seed, size=8, count=12):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3))
    return write_pictures(place, pixels.astype(np.uint8))


@pytest.fixture(scope="module", autouse=True)
def presets():
    tiny = replace(TINY, split="all", data_hint="x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", tiny)
        patch.setitem(PRESETS, "started", replace(tiny, name="started", encoder=SCHEDULE))
        patch.setitem(PRESETS, "still", replace(tiny, name="still", image=ONE_STEP))
        yield


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("data") / "theirs", 1)


@pytest.fixture(scope="module")
def first(theirs, tmp_path_factory):
    """A finished training on images of its own."""
    out = tmp_path_factory.mktemp("runs") / "first"
    run("tiny", theirs, out)
    return out


def run(*words):
    command.main(arguments(*words))


def refused(capsys, *words):
    """The line with which a training is refused."""
    capsys.readouterr()
    return refusal(command.main, capsys, *arguments(*words))


def test_a_new_latent_ddim_leaves_the_autoencoder_as_it_is(first, tmp_path):
    data, out = folder_of(tmp_path / "ours", 2), tmp_path / "second"
    run("tiny", data, out, "--stages", "latent", "--init", first)
    before, after = weights(first), weights(out)
    assert before.keys() == after.keys()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same >= {name for name in before if name.startswith(("unet.", "encoder."))}
    assert not any(name in same for name in before if name.startswith("latent_net.layers"))
    model = DiffusionAutoencoder.from_pretrained(out)
    z = model.encode(open_dataset(data, 8).batch(range(12)))
    torch.testing.assert_close(model.z_mean, z.mean(0, keepdim=True), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.z_std, z.std(0, keepdim=True), rtol=1e-4, atol=1e-5)
    assert not (out / "training-image.safetensors").exists()


def test_a_training_begins_with_the_weights(first, tmp_path):
    """One step of next to no rate: what comes out is what went in, and not the weights of a seed."""
    data = folder_of(tmp_path / "ours", 2)
    run("still", data, tmp_path / "second", "--init", first, "--seed", "5")
    before, after = weights(first), weights(tmp_path / "second")
    for name in before:
        if name.startswith(("unet.", "encoder.")):
            torch.testing.assert_close(before[name], after[name], rtol=0, atol=1e-9)
    run("still", data, tmp_path / "third", "--seed", "5")
    other = weights(tmp_path / "third")["encoder.out.3.weight"]
    assert not torch.allclose(before["encoder.out.3.weight"], other, atol=1e-3)


def test_a_baseline_begins_with_a_baseline(tmp_path, monkeypatch):
    model = replace(TINY.model, kind="ddim", encoder_channel_mult=(), latent=None)
    for name in ("tiny", "still"):
        monkeypatch.setitem(
            PRESETS, f"{name}-ddim", replace(PRESETS[name], model=model, latent=None)
        )
    data = folder_of(tmp_path / "data", 1)
    run("tiny-ddim", data, tmp_path / "first")
    run("still-ddim", data, tmp_path / "second", "--init", tmp_path / "first", "--seed", "5")
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    torch.testing.assert_close(before, after, rtol=0, atol=1e-9)


def test_a_latent_ddim_on_the_authors_checkpoint(tmp_path):
    config = replace(official_files.TINY, latent=None)
    last = official_files.write_lightning(tmp_path / "last.ckpt", official_files.tiny_state(config))
    out = tmp_path / "out"
    run("tiny", folder_of(tmp_path / "data", 1, 32), out, "--stages", "latent", "--init", last)
    theirs = DiffusionAutoencoder.from_pretrained(last).state_dict()
    ours = weights(out)
    assert read_config(out / "config.json") == replace(config, latent=TINY.model.latent)
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    note = json.loads((out / "training.json").read_text())
    assert note["init"]["sha256"] == checkpoint.open_checkpoint(last).fingerprint()


def test_a_packaged_name_is_a_start():
    init = Init.open("portraits")
    preset = init.adapt(PRESETS["fashion-mnist"])
    assert preset.model.z_channels == 256 and preset.encoder is None
    assert init.trained_on.preset == "portraits"
    model = DiffusionAutoencoder(preset.model)
    init.give(model)
    packaged = DiffusionAutoencoder.from_pretrained("portraits").state_dict()
    found = model.state_dict()
    for name, tensor in packaged.items():
        if name.startswith(("unet.", "encoder.")):
            assert torch.equal(found[name], tensor)


def test_the_images_of_the_start_count_as_trained_on(first, theirs, tmp_path):
    ours, theirs = folder_of(tmp_path / "ours", 2), open_dataset(theirs, 8)
    run("tiny", ours, tmp_path / "second", "--init", first)
    run("tiny", ours, tmp_path / "third", "--stages", "latent", "--init", tmp_path / "second")
    known = checkpoint.open_checkpoint(tmp_path / "third").trained_on()
    assert known.sight(theirs, "test").data == "theirs"
    assert known.sight(open_dataset(ours, 8), "test").data == "ours"
    assert known.saw(theirs, "test") and known.saw(open_dataset(ours, 8), "test")
    assert not known.saw(open_dataset(folder_of(tmp_path / "new", 3), 8), "all")
    assert isinstance(known.before.before, TrainedOn) and known.before.before.before is None


def test_another_start_is_another_training(first, tmp_path, capsys):
    data, out = folder_of(tmp_path / "ours", 2), tmp_path / "second"
    run("tiny", data, out, "--init", first)
    run("tiny", data, out, "--init", first)
    run("tiny", data, out, "--init", first, "--stages", "autoencoder")
    copied = shutil.copytree(first, tmp_path / "copied")
    run("tiny", data, out, "--init", copied)
    line = refused(capsys, "tiny", data, out)
    assert "init is {'checkpoint': " in line and "there and None here" in line
    kept = refused(capsys, "tiny", data, out, "--init", copied, "--stages", "latent")
    assert "init.kept is False there and True here" in kept
    run("tiny", folder_of(tmp_path / "more", 3), tmp_path / "another")
    line = refused(capsys, "tiny", data, out, "--init", tmp_path / "another")
    assert "init.sha256 is " in line


@pytest.mark.parametrize(
    ("preset", "more", "told"),
    [
        ("tiny", ["--set", "model.z_channels=6"], "model.z_channels is 4 there and 6 here, for which it was trained; leave out the --set"),
        ("tiny", ["--set", "model.model_channels=16"], "model.model_channels is 8 there and 16 here"),
        ("tiny", ["--set", "model.prediction=velocity"], "model.prediction is epsilon there and vel"),
        ("tiny", ["--set", "model.norm_groups=8"], "model.norm_groups is 4 there and 8 here"),
        (
            "tiny",
            ["--set", "model.image_size=16", "--stages", "latent"],
            "model.image_size is 8 there and 16 here, which --stages keeps as it is",
        ),
        ("ffhq128-ddim", [], "holds a diffusion_autoencoder, and preset ffhq128-ddim trains a ddim"),
        ("vqgan-portraits", [], "--init: not for vqgan-portraits"),
    ],
)  # fmt: skip
def test_a_start_that_does_not_fit_is_one_line(preset, more, told, first, theirs, tmp_path, capsys):
    out = tmp_path / "out"
    line = refused(capsys, preset, theirs, out, "--init", first, *more)
    assert re.search(told, line) and "--init" in line
    assert not out.exists()


def test_a_start_that_is_none_is_one_line(tmp_path, capsys):
    for given, told in (("/nowhere", "/nowhere: no such checkpoint"), ("", "--init")):
        assert told in refused(capsys, "tiny", "data", tmp_path / "out", "--init", given)


def test_the_encoder_needs_no_start_of_its_own(first, theirs, tmp_path):
    out = tmp_path / "out"
    run("started", theirs, out, "--init", first)
    assert list(json.loads((out / "training.json").read_text())["stages"]) == ["image", "latent"]


def test_a_damaged_record_of_the_start_is_one_line(first, theirs, tmp_path, capsys):
    first = shutil.copytree(first, tmp_path / "first")
    note = first / "training.json"
    known = json.loads(note.read_text())
    known["trained_on"]["before"] = {"preset": 1}
    note.write_text(json.dumps(known))
    line = refused(capsys, "tiny", theirs, tmp_path / "out", "--init", first)
    assert "not the record of a training" in line
