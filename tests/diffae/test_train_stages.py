"""--stages: the networks of a preset one after the other or at once, and the baseline with them."""

import json
from dataclasses import replace
from functools import partial

import pytest
from refusal import refusal
from safetensors.torch import load_file
from tiny_preset import SCHEDULE, TINY
from tiny_training import same, weights
from tiny_training import words as words_of

from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import read_config
from diffae.train import __main__ as command
from diffae.train import chain, dry_run, state, trainer
from diffae.train.presets import PRESETS, Preset, other_presets, override
from diffae.train.stages import state_path

STATES = {"training-image.safetensors", "training-latent.safetensors"}


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


def test_the_baseline_is_a_checkpoint_of_its_own(data, tmp_path, monkeypatch):
    """What the preset of the baseline alone would train, byte for byte; asked for again it takes no
    step.
    """
    out, alone = tmp_path / "out", tmp_path / "alone"
    command.main(words(data, out, "--stages", "autoencoder,latent,baseline"))
    assert {path.name for path in out.glob("*.safetensors")} >= STATES
    baseline = out / "ddim"
    assert DDIM.from_pretrained(baseline).config == replace(
        TINY.model, kind="ddim", encoder_channel_mult=(), latent=None
    )
    monkeypatch.setitem(PRESETS, "tiny-ddim", chain.baseline_of(PRESETS["tiny"]))
    command.main(words_of("tiny-ddim", data, alone))
    assert same(weights(baseline), weights(alone))
    notes = [json.loads((folder / "training.json").read_text()) for folder in (baseline, alone)]
    assert notes[0]["identity"] == notes[1]["identity"]
    assert notes[0]["trained_on"] == notes[1]["trained_on"]
    monkeypatch.setattr(trainer.Training, "advance", None)
    command.main(words(data, out, "--stages", "baseline"))


def test_epochs_are_those_of_the_baseline_too(data, tmp_path, monkeypatch):
    """Of twenty images, where its preset and the autoencoder's are of more examples and of fewer."""
    baseline = chain.baseline_of(PRESETS["tiny"])
    for samples, epochs, seen in ((100, 2, 40), (12, 1, 12)):
        monkeypatch.setitem(
            PRESETS, "tiny-ddim", replace(baseline, image=replace(SCHEDULE, samples=samples))
        )
        out = tmp_path / str(samples)
        command.main(words(data, out, "--stages", "baseline", "--set", f"epochs={epochs}"))
        note = json.loads((out / "ddim/training.json").read_text())
        assert note["stages"]["image"]["examples"] == seen


def test_the_baseline_may_come_first(data, tmp_path):
    out = tmp_path / "out"
    command.main(words(data, out, "--stages", "baseline"))
    assert not (out / "model.safetensors").exists() and (out / "ddim/model.safetensors").exists()
    command.main(words(data, out))
    assert DiffusionAutoencoder.from_pretrained(out).latent_net is not None


def test_a_baseline_that_has_no_place_is_refused_before_anything_is_trained(data, tmp_path, capsys):
    (tmp_path / "out/ddim").mkdir(parents=True)
    (tmp_path / "out/ddim/thesis.tex").write_text("years of work")
    (tmp_path / "out/training.json").write_text("{}")
    line = refusal(command.main, capsys, *words(data, tmp_path / "out"))
    assert "training.json: damaged" in line
    (tmp_path / "out/training.json").unlink()
    (tmp_path / "out/ddim").rename(tmp_path / "ddim")
    command.main(words(data, tmp_path / "out", "--stages", "autoencoder"))
    (tmp_path / "ddim").rename(tmp_path / "out/ddim")
    capsys.readouterr()
    line = refusal(
        command.main, capsys, *words(data, tmp_path / "out", "--stages", "latent,baseline")
    )
    assert "out/ddim: exists and is no training folder" in line
    assert not (tmp_path / "out/training-latent.safetensors").exists()


@pytest.mark.parametrize(
    ("preset", "text", "told"),
    [
        ("tiny", "autoencodr", "no stage 'autoencodr'; did you mean autoencoder?"),
        ("tiny", "latent,", "no stage ''; there are: autoencoder, latent, baseline"),
        ("ffhq128-72m", "latent", "no stage 'latent'; there are: autoencoder, baseline"),
        ("ffhq128-ddim", "autoencoder", "no stage 'autoencoder'; there are: baseline"),
        ("vqgan-portraits", "autoencoder", "not for vqgan-portraits, only for DiffAE"),
        ("tiny", "latent", "is at step 0 of 6: train it first (--stages autoencoder,latent)"),
        (
            "tiny",
            "latent,baseline",
            "(--stages autoencoder,latent,baseline), or give --init",
        ),
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


# ----------------------------------------------------------------------------------------------
# Which baseline belongs to which preset


@pytest.mark.parametrize(
    "name", ["portraits", "portraits-short", "fashion-mnist", "ffhq128", "horse128", "celeba64"]
)
def test_the_baseline_of_a_preset_is_the_table_s(name):
    found = chain.baseline_of(PRESETS[name])
    named = PRESETS[f"{name}-ddim"]
    assert found.decides == named.decides
    assert (found.split, found.dtype, found.expect) == (named.split, named.dtype, named.expect)


@pytest.mark.parametrize("name", [n for n, p in PRESETS.items() if p.model.encoder_channel_mult])
def test_every_autoencoder_has_a_baseline(name):
    preset, found = PRESETS[name], chain.baseline_of(PRESETS[name])
    assert found.model.kind == "ddim" and chain.stages_of(found) == ("baseline",)
    unet = ("image_size", "model_channels", "channel_mult", "attention_resolutions", "prediction")
    assert all(getattr(found.model, field) == getattr(preset.model, field) for field in unet)


def test_what_is_set_for_the_autoencoder_is_set_for_its_baseline():
    texts = ["image.batch_size=64", "model.dropout=0.3", "flip=true", "latent.samples=5120"]
    found = chain.baseline_of(override(PRESETS["portraits"], texts))
    named = PRESETS["portraits-ddim"]
    assert found.image == replace(named.image, batch_size=64)
    assert found.model.dropout == 0.3 and found.flip and found.latent is None


def test_what_is_trained_where_nothing_is_chosen():
    assert chain.chosen(PRESETS["ffhq128"], None) == ("autoencoder", "latent")
    assert chain.chosen(PRESETS["ffhq128-72m"], None) == ("autoencoder",)
    assert chain.chosen(PRESETS["ffhq128-ddim"], None) == ("baseline",)
    assert chain.chosen(PRESETS["ffhq128"], "baseline, latent") == ("latent", "baseline")
    assert all(chain.chosen(preset, None) == () for preset in other_presets())


def test_a_dry_run_is_of_the_stages_that_are_asked_for(data, monkeypatch, capsys):
    monkeypatch.setattr(dry_run, "examples_per_second", lambda *_: 100.0)
    shown = {}
    for stages in ("autoencoder", "latent,baseline"):
        command.main(["tiny", "--dry-run", "--device", "cpu", "--stages", stages])
        lines = capsys.readouterr().out.splitlines()
        table = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
        shown[stages] = table[2:]  # below the heads and their rule
    assert shown == {"autoencoder": ["image"], "latent,baseline": ["latent", "baseline"]}


def test_a_size_of_z_reaches_the_latent_ddim(data, tmp_path):
    out = tmp_path / "out"
    command.main(words(data, out, "--set", "z_channels=6"))
    model = DiffusionAutoencoder.from_pretrained(out)
    assert model.latent_dim == 6 and model.z_mean.shape == (1, 6)
    assert model.sample_latents(2, steps=2).shape == (2, 6)
    assert load_file(out / "training-codes.safetensors")["z"].shape == (20, 6)


def test_presets_without_a_schedule_for_it_train_no_latent_ddim(data, tmp_path, monkeypatch):
    preset: Preset = replace(TINY, latent=None, image=replace(SCHEDULE, samples=4), split="all")
    monkeypatch.setitem(PRESETS, "tiny", preset)
    command.main(words(data, tmp_path / "out"))
    assert read_config(tmp_path / "out/config.json").latent is None
