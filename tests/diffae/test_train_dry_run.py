"""--dry-run of a training: its estimates against a real step."""

import re
from dataclasses import replace

import pytest
import torch
from tiny_preset import SCHEDULE, TINY
from torch import nn

from diffae.data.portraits.write import planned
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.counting import flops
from diffae.networks.unet import Stage as Blocks
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.train import chain, dry_run
from diffae.train.__main__ import main
from diffae.train.dry_run import Costs, Kept, activation_bytes, loss_of
from diffae.train.presets import PRESETS
from diffae.train.trainer import Training
from diffae.train.types import Schedule, Stage, Steps

SMALL = replace(
    PRESETS["smoke"],
    encoder=None,
    pixel_weight=0.0,
    model=replace(
        PRESETS["smoke"].model, model_channels=16, channel_mult=(1, 2), encoder_channel_mult=(1, 2)
    ),
)


def stages(preset):
    return {s.name: s for s in dry_run.plan(preset, "cpu")}


def parameters(stage):
    return sum(p.numel() for p in stage.network.parameters())


def counted(preset, precision="float32"):
    return {c.name: c for c in dry_run.counted(preset, precision)}


def test_the_parameters_are_those_of_the_networks():
    preset = replace(PRESETS["smoke"], encoder=None, pixel_weight=0.0)
    model = DiffusionAutoencoder(preset.model)
    found = stages(preset)
    assert list(found) == ["image", "latent"]
    everything = sum(p.numel() for p in model.parameters())
    assert parameters(found["image"]) + parameters(found["latent"]) == everything
    assert list(stages(PRESETS["smoke"])) == ["encoder", "image", "latent"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_memory_is_that_of_a_step_that_is_computed(precision):
    """Counted without numbers from one and two examples, against what autograd keeps for eight real
    ones.
    """
    stage = stages(SMALL)["image"]
    predicted = counted(SMALL, precision)["image"]
    measured = activation_bytes(stage.network, lambda: loss_of(stage, 8, precision))
    eight, again = (kept.fixed + 8 * kept.each for kept in predicted.kept)
    assert eight == pytest.approx(measured, rel=0.01) and again < 0.5 * measured
    assert predicted.weights == 20 * predicted.parameters
    if precision == "bfloat16":
        whole = activation_bytes(stage.network, lambda: loss_of(stage, 8, "float32"))
        assert measured < 0.8 * whole


def test_operations_of_a_layer_that_is_known():
    preset = PRESETS["portraits-ddim"]
    narrow = replace(preset.model, model_channels=16)
    found = counted(replace(preset, model=narrow))["baseline"]
    wide = replace(narrow, image_size=64)
    other = counted(replace(preset, model=wide))["baseline"]
    conv = DDIM(wide).unet.input_blocks[0][0]
    assert other.flops > 3.5 * found.flops > 2 * conv.weight.numel() * 32**2


def test_hours_are_those_of_the_operations_of_a_computed_step():
    """Of ffhq128, narrow and shallow: three times those of the loss, on four devices of 20 TFLOP/s."""
    preset = PRESETS["ffhq128-72m"]
    few = {"model_channels": 32, "channel_mult": (1, 2), "encoder_channel_mult": (1, 2)}
    preset = replace(preset, model=replace(preset.model, num_res_blocks=1, **few))
    stage = stages(preset)["image"]
    with torch.no_grad():
        forward = flops(lambda: loss_of(stage, 1, "float32"))
    expected = 3 * forward * 72e6 / (4 * 20e12) / 3600
    how = dry_run.How("cpu", "bfloat16", devices=4, tflops=20)
    text = dry_run.report(preset, 70_000, how, ["autoencoder"])
    (hours,) = re.findall(r"^([\d,.]+) hours in all", text, re.M)
    assert float(hours.replace(",", "")) == pytest.approx(expected, rel=0.06)
    assert "device of a different machine" in text and "memory here" not in text


def test_activations_that_are_computed_again_take_the_operations_that_they_do():
    """As PyTorch's counter has them of forward and backward of an example: 1.26, of which the last
    layer of a block is not computed again; the latent DDIM has none.
    """
    preset, rates, counts = SMALL, [], []
    costs = counted(preset)
    image = stages(preset)["image"]
    for again in (False, True):
        how = dry_run.How("cpu", "float32", tflops=1, steps=Steps(recompute=again))
        rates.append(list(dry_run._rates(preset, [*costs.values()], how, None)))
        dry_run.recompute(image.network, again)
        counts.append(flops(lambda: loss_of(image, 1, "float32").backward()))
    slower = {name: a / b for name, a, b in zip(costs, *rates, strict=True)}
    assert slower["image"] == pytest.approx(counts[1] / counts[0], rel=0.06)
    assert slower["latent"] == 1


@pytest.mark.slow
def test_hours_are_those_that_the_authors_report():
    """Five days for 72 million images of ffhq128 on four V100s: 42 images a second each, which at
    478 GFLOPs an image is 20 TFLOP/s, a sixth of their peak.
    """
    how = dry_run.How("cpu", "bfloat16", devices=4, tflops=20)
    text = dry_run.report(PRESETS["ffhq128-72m"], 70_000, how)
    hours = float(re.search(r"^([\d,.]+) hours in all", text, re.M)[1].replace(",", ""))
    assert hours == pytest.approx(5 * 24, rel=0.05)
    assert "device of a different machine" in text and "memory here" not in text
    assert re.search(r"\| 2\.57 +\| 0\.454 +\|", text)


@pytest.mark.parametrize(("devices", "part", "rate"), [(1, None, 80), (4, None, 200), (4, 2, 200)])
def test_devices_share_a_batch_and_each_takes_the_step(devices, part, rate, monkeypatch):
    """An example takes 10 ms, a step of Adam 80 ms: of a batch of 32 that is 2.5 ms an example, of
    a quarter 10 ms.
    """
    asked = []

    def seconds(stage, examples, precision):
        again = {m.recomputes for m in stage.network.modules() if isinstance(m, Blocks)}
        asked.append((examples, again))
        return 0.01, 0.08

    monkeypatch.setattr(dry_run, "seconds", seconds)
    preset = replace(TINY, image=replace(TINY.image, samples=64, batch_size=32))
    for again in (False, True):
        how = dry_run.How("cpu", "float32", devices, steps=Steps(part, again))
        assert list(dry_run._rates(preset, [], how, ["autoencoder"])) == pytest.approx([rate])
    assert asked == [(part or 32 // devices, {False}), (part or 32 // devices, {True})]


def test_the_disk_that_is_told_is_what_a_training_writes(tmp_path):
    """A state has weights, their average and two moments; another is written before the oldest goes."""
    preset, nothing = PRESETS["smoke"], Kept(0, 0)
    found = [
        Costs(s.name, s.schedule, parameters(s), 1, (nothing, nothing))
        for s in dry_run.plan(preset, "cpu")
    ]
    network = nn.Linear(1000, 500)
    training = Training(network, SCHEDULE, 0)
    training.advance(lambda *_: network.weight.sum() + network.bias.sum(), torch.arange(4))
    training.save(tmp_path / "state", "me")
    each = (tmp_path / "state").stat().st_size / 500_500 * sum(c.parameters for c in found)
    assert preset.dtype == "float16"
    DiffusionAutoencoder(preset.model).save_pretrained(tmp_path / "model", torch.float16)
    written = (tmp_path / "model" / "model.safetensors").stat().st_size
    for keep in (1, 2):
        text = dry_run._disk(
            preset, found, 1000, dry_run.How("cpu", "float32", steps=Steps(keep=keep))
        )
        told = [float(number) for number in re.findall(r"([\d.]+) GB", text)]
        sizes = [(keep + 1) * each, written, 4 * 1000 * preset.model.z_channels, 3000 * 32**2]
        assert told == pytest.approx([size / 1e9 for size in sizes], abs=0.0052)


@pytest.mark.parametrize(
    ("launch", "part", "largest"),
    [(0.01, 512, 512), (0.05, 512, 512), (0.099, 512, 128), (5.0, 512, 2), (0.01, 300, 300), (0.01, 1, 2)],
)  # fmt: skip
def test_a_pass_is_timed_of_as_many_examples_as_take_a_while(launch, part, largest, monkeypatch):
    """A pass of n takes a launch and 10 microseconds an example; the step takes a launch alone."""
    asked, network = [], nn.Linear(1, 1)

    def loss(indices, noise):
        asked.append(len(indices))
        return network(torch.ones(len(indices), 1)).mean()

    def timed(work, device):
        work()
        return launch + (1e-5 * asked[-1] if work.__name__ == "backward" else 0)

    monkeypatch.setattr(dry_run, "_timed", timed)
    stage = Stage("latent", "latent DDIM", network, Schedule(5_120, 512, 1e-3), loss)
    each, step = dry_run.seconds(stage, part, "float32")
    assert max(asked) == largest
    assert each == pytest.approx(launch / largest + 1e-5) and step == launch


def test_a_gpu_is_waited_for_before_and_after_what_is_timed(monkeypatch):
    events, second = [], torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "synchronize", events.append)
    assert dry_run._timed(lambda: events.append("work"), second) >= 0
    assert events == [second, "work", second]


def test_it_says_what_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PRESETS, "smoke", SMALL)
    before = torch.get_num_threads()
    main(["smoke", "--dry-run", "--device", "cpu", "--precision", "float32"])
    out = capsys.readouterr().out
    trained_on = len(planned(256, 32).indices("train"))
    assert "| image" in out and "--recompute" in out and f"; {trained_on} images are" in out
    assert "hours in all, timed here" in out and "GB of memory here: latent fits\n" in out
    assert not list(tmp_path.iterdir()) and torch.get_num_threads() == before
    with pytest.raises(UserError, match="--dry-run: not for vqgan-portraits"):
        main(["vqgan-portraits", "--dry-run", "--device", "cpu"])
    with pytest.raises(UserError, match="--crop: says how --data is cut, and there is no --data"):
        main(["smoke", "--dry-run", "--device", "cpu", "--crop", "d2c"])


@pytest.mark.parametrize("split", ["valid", "all"])
def test_epochs_are_of_the_portraits_that_would_be_drawn(split, monkeypatch, capsys):
    """Of the preset's split, and for each network its own; without --data too."""
    smoke = replace(SMALL, split=split, image=replace(SMALL.image, samples=10**6))
    baseline = chain.baseline_of(smoke)
    named = replace(baseline, image=replace(baseline.image, samples=2 * 10**6))
    monkeypatch.setitem(PRESETS, "smoke", smoke)
    monkeypatch.setitem(PRESETS, "smoke-ddim", named)
    flags = ["--set", "epochs=9", "--stages", "autoencoder,baseline", "--tflops", "1"]
    main(["smoke", "--dry-run", "--device", "cpu", "--precision", "float32", *flags])
    seen = 9 * len(planned(smoke.portraits, 32).indices(split))
    assert capsys.readouterr().out.count(f"| {seen:,} ") == 2


@pytest.mark.parametrize(
    "gigabytes, flags, expected",
    [
        (80, {}, "image fits"),
        (32, {}, "image fits with --micro-batch 57, or --recompute"),
        (4, {}, "image fits with --micro-batch 1, or --recompute --micro-batch 11"),
        (2, {}, "image does not fit"),
        (4, {"micro_batch": 16}, "image does not fit"),
        (16, {"micro_batch": 16}, "image fits with --micro-batch 16"),
        (16, {"micro_batch": 64}, "image fits with --recompute --micro-batch 64"),
        (32, {"recompute": True}, "image fits with --recompute"),
    ],
)
def test_what_fits_into_a_device(gigabytes, flags, expected, monkeypatch):
    """ffhq128's numbers: 2.57 GB, and for each example 0.454, or 0.086 recomputed (bfloat16)."""
    monkeypatch.setattr(dry_run, "_memory_of", lambda device: gigabytes * 10**9)
    kept, again = Kept(281_235_712, 453_780_800), Kept(1_055_488, 86_169_216)
    preset = PRESETS["ffhq128"]
    image = Costs("image", preset.image, 128_545_155, 1, (kept, again))
    how = dry_run.How("cpu", "bfloat16", steps=Steps(**flags))
    assert list(dry_run._fits([image], how)) == [f"{gigabytes} GB of memory here: {expected}"]


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
