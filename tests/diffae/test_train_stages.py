"""--stages: the networks of a preset one after the other or at once."""

import json
from dataclasses import replace
from functools import partial

import pytest
from refusal import refusal
from safetensors.torch import load_file
from tiny_preset import SCHEDULE, TINY
from tiny_training import same, weights
from tiny_training import words as words_of

from diffae.model import DiffusionAutoencoder
from diffae.networks.config import read_config
from diffae.train import __main__ as command
from diffae.train import dry_run, state
from diffae.train.presets import PRESETS, Preset
from diffae.train.stages import state_path

words = partial(words_of, "tiny")


def test_stages_one_after_the_other_end_where_all_at_once_do(data, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command.main(words(data, whole))
    command.main(words(data, parts, "--stages", "autoencoder"))
    assert read_config(parts / "config.json") == replace(TINY.model, latent=None)
    assert DiffusionAutoencoder.from_pretrained(parts).latent_net is None
    before = (parts / "training-image.safetensors").stat().st_mtime_ns
    command.main(words(data, parts, "--stages", "latent"))
    assert (parts / "training-image.safetensors").stat().st_mtime_ns == before
    assert same(weights(whole), weights(parts))
    notes = [json.loads((folder / "training.json").read_text()) for folder in (whole, parts)]
    assert notes[0]["identity"] == notes[1]["identity"]
    assert [list(note["stages"]) for note in notes] == [["image", "latent"]] * 2


def test_an_autoencoder_that_is_asked_for_again_keeps_its_latent_ddim(data, tmp_path):
    out = tmp_path / "out"
    command.main(words(data, out))
    before = weights(out)
    command.main(words(data, out, "--stages", "autoencoder"))
    assert same(before, weights(out))
    assert list(json.loads((out / "training.json").read_text())["stages"]) == ["image", "latent"]


@pytest.mark.parametrize(
    ("preset", "text", "told"),
    [
        ("tiny", "autoencodr", "invalid choice"),
        ("ffhq128-72m", "latent", "ffhq128-72m trains no latent DDIM; leave it out"),
        ("ffhq128-ddim", "autoencoder", "ffhq128-ddim trains no latent DDIM; leave it out"),
        ("vqgan-portraits", "autoencoder", "not for vqgan-portraits, only for DiffAE"),
        ("tiny", "latent", "is at step 0 of 6: leave it out, or give --init"),
    ],
)
def test_a_stage_that_cannot_be_is_one_line(preset, text, told, data, tmp_path, capsys):
    arguments = words_of(preset, data, tmp_path / "out", "--stages", text)
    line = refusal(command.main, capsys, *arguments)
    assert "--stages" in line and told in line
    assert not (tmp_path / "out").exists()


def test_an_autoencoder_that_is_half_trained_has_no_latent_ddim_yet(data, tmp_path, capsys):
    out = tmp_path / "out"
    command.main(words(data, out))
    path = state_path(out, "image")
    assert state.step_on_disk(path) == TINY.image.steps
    path.write_bytes(b"nothing")
    assert state.step_on_disk(path) == 0
    capsys.readouterr()
    line = refusal(command.main, capsys, *words(data, out, "--stages", "latent"))
    assert f"the autoencoder in {out} is at step 0 of 6" in line


def test_a_dry_run_is_of_the_stages_that_are_asked_for(data, monkeypatch, capsys):
    monkeypatch.setattr(dry_run, "examples_per_second", lambda *_: 100.0)
    shown = {}
    for stages in ("autoencoder", "latent"):
        command.main(["tiny", "--dry-run", "--device", "cpu", "--stages", stages])
        lines = capsys.readouterr().out.splitlines()
        table = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
        shown[stages] = table[2:]  # below the heads and their rule
    assert shown == {"autoencoder": ["image"], "latent": ["latent"]}


def test_a_size_of_z_reaches_the_latent_ddim(data, tmp_path):
    out = tmp_path / "out"
    command.main(words(data, out, "--set", "model.z_channels=6"))
    model = DiffusionAutoencoder.from_pretrained(out)
    assert model.latent_dim == 6 and model.z_mean.shape == (1, 6)
    assert model.sample_latents(2, steps=2).shape == (2, 6)
    assert load_file(out / "training-codes.safetensors")["z"].shape == (20, 6)


def test_presets_without_a_schedule_for_it_train_no_latent_ddim(data, tmp_path, monkeypatch):
    preset: Preset = replace(TINY, latent=None, image=replace(SCHEDULE, samples=4), split="all")
    monkeypatch.setitem(PRESETS, "tiny", preset)
    command.main(words(data, tmp_path / "out"))
    assert read_config(tmp_path / "out/config.json").latent is None
