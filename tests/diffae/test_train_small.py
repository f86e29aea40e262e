"""Trainings sized to their images: the size is recorded, and a resumed training keeps it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from refusal import refusal
from tiny_preset import TINY, pictures
from tiny_training import same, weights, words, write_pictures

from diffae.train import __main__ as command
from diffae.train import dry_run, stages
from diffae.train.presets import PRESETS, override
from diffae.train.types import Schedule

SIZED = replace(TINY, epochs=3, encoder=TINY.image, data_hint="photographs")


@pytest.mark.parametrize(
    ("count", "samples"), [(1, 100), (100, 10_000), (200, 20_000), (500, 20_000), (10**6, 20_000)]
)
def test_small_sees_each_photograph_a_hundred_times_at_most(count, samples):
    small = PRESETS["small"].sized(count)
    assert small.image.samples == samples
    assert small.encoder.samples == min(small.image.samples, PRESETS["small"].encoder.samples)
    assert small.latent == PRESETS["small"].latent
    assert small.image.warmup_samples * 20_000 <= 2_000 * small.image.samples


def test_other_presets_are_what_they_are_however_many_images():
    assert all(p.sized(1) == p for p in PRESETS.values() if p.name != "small")


def test_a_schedule_of_fewer_examples_warms_up_in_proportion():
    schedule = Schedule(1_000, 10, 1e-3, warmup_samples=100)
    assert schedule.at_most(2_000) == schedule
    assert schedule.at_most(500) == replace(schedule, samples=500, warmup_samples=50)
    assert schedule.at_most(3).steps == 1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Seven photographs, of which four are to train on."""
    monkeypatch.setitem(PRESETS, "tiny", SIZED)
    for split, pixels in zip(
        ("train", "test", "valid"), np.split(pictures(7), [4, 6]), strict=True
    ):
        write_pictures(tmp_path / "data" / split, pixels)
    return tmp_path / "data"


def test_the_record_says_what_was_trained(folder, tmp_path, capsys):
    """Four images, three epochs: twelve examples in place of 24. A folder of fewer epochs is
    another training.
    """
    arguments = words("tiny", folder, tmp_path / "out")
    command.main(arguments)
    note = json.loads((tmp_path / "out" / "training.json").read_text())
    assert [note["stages"][s]["examples"] for s in ("encoder", "image", "latent")] == [12, 12, 24]
    assert [note["settings"][s]["samples"] for s in ("encoder", "image", "latent")] == [12, 12, 24]
    command.main(arguments)  # goes on: nothing is left to do
    capsys.readouterr()
    line = refusal(command.main, capsys, *arguments, "--set", "epochs=2")
    assert "image.samples is 12 there and 8 here" in line
    assert "holds a different training" in line


def test_a_killed_training_of_a_sized_preset_goes_on(folder, tmp_path, monkeypatch):
    """The second run finds the states of the first, which have its identity."""
    whole, out = tmp_path / "whole", tmp_path / "killed"
    command.main(words("tiny", folder, whole))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stages, "_codes", killed)
        command.main(words("tiny", folder, out))
    command.main(words("tiny", folder, out))
    assert same(weights(whole), weights(out))


def test_a_latent_ddim_goes_on_a_sized_autoencoder(folder, tmp_path):
    """It is finished after three epochs, and not after the examples of the preset."""
    for stage in ("autoencoder", "latent"):
        command.main(words("tiny", folder, tmp_path / "out", "--stages", stage))
    note = json.loads((tmp_path / "out" / "training.json").read_text())
    assert note["stages"]["latent"]["examples"] == 24


def test_the_number_of_examples_may_be_asked_for():
    """Fewer of them, or more epochs."""
    fewer = override(PRESETS["small"], ["image.samples=1600"]).sized(500)
    assert (fewer.image.samples, fewer.image.steps) == (1_600, 100)
    assert override(PRESETS["small"], ["epochs=200"]).sized(100).image.samples == 20_000


def test_the_dry_run_is_of_the_images_that_there_are(folder, monkeypatch, capsys):
    monkeypatch.setattr(dry_run, "examples_per_second", lambda *_: 1.0)
    command.main(["tiny", "--data", str(folder), "--dry-run"])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert {row[1].strip(): row[2].strip() for row in rows[2:5]} == {
        "encoder": "12", "image": "12", "latent": "24",
    }  # fmt: skip
