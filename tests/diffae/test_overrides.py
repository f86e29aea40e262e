"""--set NAME=VALUE of a training: typed, checked, and part of the training's identity."""

import json
from dataclasses import replace

import pytest

from diffae.networks.config import ModelConfig
from diffae.system.errors import UserError
from diffae.train.__main__ import main
from diffae.train.presets import (
    PRESETS,
    differences,
    find_preset,
    other_presets,
    override,
    settings,
)
from diffae.train.types import Schedule

TINY = [
    "portraits=16",
    "model.image_size=16",
    "model.model_channels=8",
    "model.encoder_channel_mult=1,1",
    "model.channel_mult=1,1",
    "image.samples=16",
    "image.batch_size=8",
    "image.bfloat16=false",
    "encoder=none",
    "latent=none",
]


def changed(preset, *texts):
    return override(PRESETS[preset], texts)


def test_values_have_the_types_of_the_fields():
    preset = changed(
        "portraits",
        "image.batch_size=64",
        "image.learning_rate=2e-4",
        "model.channel_mult=1,2,4",
        "model.image_size=64",
        "flip=true",
        "pixel_weight=2",
        "image.decay=constant",
        "model.latent.num_layers=4",
    )
    before = PRESETS["portraits"]
    assert preset == replace(
        before,
        model=replace(
            before.model,
            image_size=64,
            channel_mult=(1, 2, 4),
            latent=replace(before.model.latent, num_layers=4),
        ),
        image=replace(before.image, batch_size=64, learning_rate=0.0002, decay="constant"),
        flip=True,
        pixel_weight=2.0,
    )
    assert type(preset.pixel_weight) is float


def test_a_stage_can_be_left_out():
    preset = changed("smoke", "latent=none", "encoder=none")
    assert preset.latent is None and preset.encoder is None and preset.model.latent is None
    with pytest.raises(UserError, match="latent.samples=64: no such setting of smoke"):
        changed("smoke", "latent.samples=64", "latent=none")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image.batchsize=4", "no such setting of smoke; did you mean image.batch_size?"),
        ("z_channels=4", "did you mean model.z_channels?"),
        ("colour=4", "no such setting of smoke; there are: model.image_size, "),
        ("model.kind=ddim", "no such setting"),
        ("name=mine", "no such setting"),
        ("image.batch_size", "expected NAME=VALUE"),
        ("=4", "expected NAME=VALUE"),
        ("image.batch_size=4.5", "not a whole number"),
        ("image.batch_size=0", "must be at least 1, not 0"),
        ("image.learning_rate=nan", "must be a finite number"),
        ("image.learning_rate=fast", "must be a number, not 'fast'"),
        ("image.ema_decay=1", "must be at most 0.9999999"),
        ("image.decay=cosin", "did you mean cosine?"),
        ("flip=yes", "must be true or false"),
        ("image.samples=3", "image: samples is 3, below one batch of 32"),
        ("image.decay_samples=900", "image: decay_samples is 900 of 768 samples; lower it"),
        ("model.model_channels=33", "config: model_channels 33 must be even and a multiple"),
        ("model.z_channels=99999999", "must be at most 65536, not 99999999"),
        ("image=none", "no such setting"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(text, told):
    with pytest.raises(UserError) as error:
        changed("smoke", text)
    assert str(error.value).startswith(f"--set {text}") and told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*PRESETS, *(preset.name for preset in other_presets())])
def test_every_preset_is_what_its_own_settings_make_of_it(name):
    preset = find_preset(name)
    assert override(preset, []) == preset
    for setting, hint in settings(preset).items():
        value = preset
        for part in setting.split("."):
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        several = isinstance(value, tuple)
        typed = ",".join(map(str, value)) if several else str(value)
        if value != ():  # the DDIM baseline's encoder_channel_mult, which it cannot have
            assert override(preset, [f"{setting}={typed}"]) == preset, (setting, hint)


def test_presets_of_other_systems_have_schedules_and_weights():
    preset = override(
        find_preset("vqgan-portraits"),
        ["schedules.autoencoder.samples=640", "weights.perceptual=0.5"],
    )
    assert preset.schedules["autoencoder"].samples == 640
    assert preset.weights["perceptual"] == 0.5 and preset.weights["codebook"] == 1.0


def test_a_schedule_checks_itself():
    with pytest.raises(UserError, match="decay: no choice 'cosinus'"):
        Schedule(samples=8, batch_size=8, learning_rate=1e-3, decay="cosinus")


def test_what_differs_is_named():
    config = ModelConfig("ddim", 32, 32, (1, 2)).to_json()
    theirs = {"model": config, "image": {"batch_size": 8}, "latent": None}
    ours = {"model": config | {"z_channels": 4}, "image": {"batch_size": 8}, "latent": None}
    assert differences(theirs, ours) == ["model.z_channels is 512 there and 4 here"]


def test_overrides_are_part_of_what_a_training_is(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    flags = [word for text in TINY for word in ("--set", text)]
    main(["portraits-short", *flags, "--out", str(tmp_path / "run"), "--device", "cpu"])
    note = json.loads((tmp_path / "run/training.json").read_text())
    assert note["overrides"] == TINY
    assert note["settings"]["image"]["batch_size"] == 8 and note["settings"]["latent"] is None
    assert json.loads((tmp_path / "run/config.json").read_text())["model_channels"] == 8
    other = [word.replace("batch_size=8", "batch_size=4") for word in flags]
    assert other != flags
    with pytest.raises(UserError, match="image.batch_size is 8 there and 4 here"):
        main(["portraits-short", *other, "--out", str(tmp_path / "run"), "--device", "cpu"])
