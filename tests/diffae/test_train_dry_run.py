"""--dry-run of a training: its operations and rates against real steps."""

import re
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn

from diffae.data.portraits.write import planned
from diffae.model import DDIM
from diffae.networks.counting import flops
from diffae.networks.unet import recompute
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.train import dry_run
from diffae.train.__main__ import main
from diffae.train.presets import PRESETS
from diffae.train.types import Schedule, Stage, Steps

FEW = {"model_channels": 16, "channel_mult": (1, 2), "encoder_channel_mult": (1, 2)}
SMALL = replace(
    PRESETS["smoke"],
    encoder=None,
    pixel_weight=0.0,
    model=replace(PRESETS["smoke"].model, **FEW),
)


def stages(preset):
    return {stage.name: stage for stage in dry_run.plan(preset, "cpu")}


def test_the_stages_are_those_that_are_trained():
    assert list(stages(PRESETS["smoke"])) == ["encoder", "image", "latent"]
    assert [stage.name for stage in dry_run.plan(SMALL, "cpu", "latent")] == ["latent"]


def test_operations_of_a_layer_that_is_known():
    preset = PRESETS["portraits-ddim"]
    narrow = replace(preset.model, model_channels=16)
    wide = replace(narrow, image_size=64)
    few, many = (
        dry_run.operations(stages(replace(preset, model=model))["image"])
        for model in (narrow, wide)
    )
    conv = DDIM(wide).unet.input_blocks[0][0]
    assert many > 3.5 * few > 2 * conv.weight.numel() * 32**2


@pytest.mark.parametrize(("again", "tolerance"), [(False, 0.1), (True, 0.2)])
def test_operations_are_those_of_forward_and_backward(again, tolerance):
    """As PyTorch counts those of an example, but the first layers need no gradient of their input, and the
    last layer of a block is not computed again, nor is the latent DDIM."""
    planned = stages(SMALL)
    image = planned["image"]
    recompute(image.network, again)
    counted = flops(lambda: image.loss(torch.arange(1), dry_run.generator(0, "", 0)).backward())
    recompute(image.network, False)
    assert dry_run.operations(image, again) == pytest.approx(counted, rel=tolerance)
    assert dry_run.operations(planned["latent"], again) == dry_run.operations(planned["latent"])


@pytest.mark.slow
def test_hours_are_those_that_the_authors_report():
    """Five days for 72 million images of ffhq128 on four V100s: 42 images a second each, which at
    478 GFLOPs an image is 20 TFLOP/s, a sixth of their peak.
    """
    planned = stages(PRESETS["ffhq128-72m"]).values()
    text = dry_run.report(planned, "bfloat16", Steps(), gpus=4, tflops=20)
    (hours,) = re.findall(r"^([\d,.]+) hours in all", text, re.M)
    assert float(hours.replace(",", "")) == pytest.approx(5 * 24, rel=0.05)


@pytest.mark.parametrize(
    ("launch", "most", "largest"), [(0.1, 512, 512), (0.99, 512, 128), (5, 512, 2), (0.1, 300, 300)]
)
def test_a_step_is_timed_of_as_many_examples_as_take_a_while(launch, most, largest, monkeypatch):
    """A step of n takes a launch and 0.1 milliseconds an example."""
    asked, network = [], nn.Linear(1, 1)

    def loss(indices, noise):
        asked.append(len(indices))
        return network(torch.ones(len(indices), 1)).mean()

    def clock():
        clock.now += launch + 1e-4 * asked[-1] if asked else 0
        return clock.now

    clock.now = 0.0
    monkeypatch.setattr("diffae.train.step.time.monotonic", clock)
    stage = Stage("latent", "latent DDIM", network, Schedule(5_120, 512, 1e-3), loss)
    rate = dry_run.examples_per_second(stage, most, "float32", Steps())
    assert max(asked) == largest and rate == pytest.approx(largest / (launch + 1e-4 * largest))


def test_a_step_in_parts_is_timed_in_parts():
    sizes, network = [], nn.Linear(1, 1)

    def loss(indices, noise):
        sizes.append(len(indices))
        return network(torch.ones(len(indices), 1)).mean()

    stage = Stage("image", "", network, Schedule(64, 8, 1e-3), loss)
    assert dry_run.examples_per_second(stage, 8, "float32", Steps(micro_batch=3)) > 0
    assert sizes[-3:] == [3, 3, 2]


def test_devices_share_a_batch(monkeypatch):
    asked = []

    def rate(stage, most, precision, steps):
        asked.append(most)
        return 10.0

    monkeypatch.setattr(dry_run, "examples_per_second", rate)
    stage = Stage("image", "", nn.Linear(1, 1), Schedule(360_000, 32, 1e-3), None)
    for gpus, hours in ((1, "10"), (4, "2.5")):
        text = dry_run.report([stage], "float32", Steps(), gpus)
        assert f"{hours} hours in all, float32, {gpus} device(s), timed here" in text
    assert asked == [32, 8]


def test_it_says_what_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PRESETS, "smoke", SMALL)
    before = torch.get_num_threads()
    main(["smoke", "--dry-run", "--device", "cpu", "--precision", "float32"])
    out = capsys.readouterr().out
    assert "| image" in out and "hours in all, float32, 1 device(s), timed here" in out
    assert not list(tmp_path.iterdir()) and torch.get_num_threads() == before
    with pytest.raises(UserError, match="--dry-run: not for vqgan-portraits"):
        main(["vqgan-portraits", "--dry-run", "--device", "cpu"])


@pytest.mark.parametrize("split", ["valid", "all"])
def test_epochs_are_of_the_portraits_that_would_be_drawn(split, monkeypatch, capsys):
    """Of the preset's split; without --data too."""
    smoke = replace(SMALL, split=split, image=replace(SMALL.image, samples=10**6))
    monkeypatch.setitem(PRESETS, "smoke", smoke)
    flags = ["--set", "epochs=9", "--stages", "autoencoder", "--tflops", "1"]
    main(["smoke", "--dry-run", "--device", "cpu", "--precision", "float32", *flags])
    seen = 9 * len(planned(smoke.portraits, 32).indices(split))
    assert capsys.readouterr().out.count(f"| {seen:,} ") == 1


@pytest.mark.parametrize(
    "number, text",
    [
        (0.01234, "0.012"),
        (9.87, "9.9"),
        (99.6, "100"),
        (12345.6, "12,346"),
        (494321.0, "494,321"),
        (0, "0"),
    ],
)
def test_numbers_are_written_as_people_read_them(number, text):
    assert cli.plain(number, 2) == text


def test_data_whose_split_is_empty_are_refused_as_by_the_training(tmp_path):
    (tmp_path / "data" / "test").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "data" / "test" / "0.png")
    for words in (["--dry-run", "--tflops", "1"], ["--out", str(tmp_path / "out")]):
        with pytest.raises(UserError, match="no images in split train, which is trained on"):
            main(["portraits", "--data", str(tmp_path / "data"), *words])
