"""--dry-run of a training: what it says against what a step takes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from diffae.errors import UserError
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.train import dry_run
from diffae.train.__main__ import main
from diffae.train.memory import activation_bytes
from diffae.train.presets import PRESETS, Schedule


def stages(preset):
    return {s.name: s for s in dry_run.plan(preset, "cpu", "float32")}


def test_the_parameters_are_those_of_the_networks():
    preset = replace(PRESETS["smoke"], encoder=None, pixel_weight=0.0)
    model = DiffusionAutoencoder(preset.model)
    found = stages(preset)
    assert list(found) == ["image", "latent"]
    everything = sum(p.numel() for p in model.parameters())
    assert found["image"].parameters + found["latent"].parameters == everything
    assert list(stages(PRESETS["smoke"])) == ["encoder", "image", "latent"]


def test_memory_of_a_batch_is_that_of_one_and_two_examples_continued():
    stage = stages(PRESETS["smoke"])["image"]
    predicted = dry_run.kept(stage)
    measured = activation_bytes(stage.network, lambda: stage.loss(8))
    assert predicted.of(8) == pytest.approx(measured, rel=0.01)
    assert dry_run.kept(stage, again=True).of(8) < 0.5 * measured


def test_operations_of_a_layer_that_is_known():
    stage = stages(PRESETS["portraits-ddim"])["image"]
    wide = replace(PRESETS["portraits-ddim"].model, image_size=64)
    other = stages(replace(PRESETS["portraits-ddim"], model=wide))["image"]
    conv = DDIM(wide).unet.input_blocks[0][0]
    assert dry_run.flops(other) > 3.5 * dry_run.flops(stage) > 2 * conv.weight.numel() * 32**2


@pytest.mark.parametrize(("launch", "largest"), [(0.01, 512), (0.05, 512), (0.099, 128), (5.0, 2)])
def test_a_pass_is_timed_of_as_many_examples_as_take_a_while(launch, largest, monkeypatch):
    """A pass of n takes a launch and 10 microseconds an example; the step takes a launch alone."""
    asked, network = [], nn.Linear(1, 1)

    def loss(examples):
        asked.append(examples)
        return network(torch.ones(examples, 1)).mean()

    def timed(work, stage):
        work()
        return launch + (1e-5 * asked[-1] if work.__name__ == "<lambda>" else 0)

    monkeypatch.setattr(dry_run, "_timed", timed)
    stage = dry_run.Stage("latent", network, Schedule(5_120, 512, 1e-3), loss)
    each, step = dry_run.seconds(stage)
    assert max(asked) == largest
    assert each == pytest.approx(launch / largest + 1e-5) and step == launch


def test_it_says_what_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    before = torch.get_num_threads()
    main(["smoke", "--dry-run", "--device", "cpu", "--precision", "float32"])
    out = capsys.readouterr().out
    assert "| image" in out and "recomputed" in out and "256 images" in out
    assert not list(tmp_path.iterdir()) and torch.get_num_threads() == before
    with pytest.raises(UserError, match="--dry-run: not for vqgan-portraits"):
        main(["vqgan-portraits", "--dry-run", "--device", "cpu"])
