"""A training loses nothing: non-finite gradients, damaged states, changed settings, permissions."""

import itertools
import json
import math
import os
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from interleaving import interleaved
from safetensors.torch import load_file
from tiny_preset import SCHEDULE, TINY, pictures
from tiny_training import trained, words, write_pictures
from torch import nn

from benchmarks.systems.shared.folder import write as write_system
from diffae.checkpoints import checkpoint
from diffae.checkpoints.trained_on import TrainedOn
from diffae.data import open_dataset, portraits
from diffae.data.portraits.attributes import PICTURES_PER_IDENTITY, partition
from diffae.networks import bfloat16
from diffae.system.errors import UserError
from diffae.train import __main__ as command
from diffae.train import stages, state, step, trainer
from diffae.train.note import Note
from diffae.train.presets import PRESETS
from diffae.train.stages import set_moments
from diffae.train.step import Training, batch_indices
from diffae.train.trainer import TrainingRun, choose_precision, fit
from diffae.train.types import Outcome, Stage


class Slope(nn.Module):
    """One weight; the loss of a step is `slopes[step] * weight`, so that its gradient is the slope."""

    def __init__(self, slopes):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.slopes, self.calls = slopes, 0

    def loss(self, indices, noise):
        slope = self.slopes[min(self.calls, len(self.slopes) - 1)]
        self.calls += 1
        return (Backward.apply(self.weight, slope)).sum()


class Backward(torch.autograd.Function):
    """1 whatever the weight, with the gradient given: a finite loss whose gradient need not be."""

    @staticmethod
    def forward(ctx, weight, slope):
        ctx.slope = slope
        return torch.ones_like(weight)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.slope, None


def stage_of(slope, schedule=SCHEDULE):
    return Stage("image", "test", slope, schedule, slope.loss)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_counted_and_not_taken(bad, tmp_path, capsys):
    with_bad, without = Slope([1.0, bad, 1.0]), Slope([1.0])
    a = fit(stage_of(with_bad), 8, tmp_path / "a", TrainingRun(0, "me"))
    short = replace(SCHEDULE, samples=20)
    fit(stage_of(without, short), 8, tmp_path / "b", TrainingRun(0, "me"))
    assert a.skipped == 1
    assert torch.equal(with_bad.weight, without.weight)
    assert "1 of 6 steps not taken" in capsys.readouterr().err
    again = Training(with_bad, SCHEDULE, 0)
    again.load(tmp_path / "a", "me")
    assert (again.step, again.skipped) == (6, 1)


def test_a_training_without_finite_gradients_gives_up_and_keeps_its_state(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "SAVE_EVERY_SECONDS", -1)
    good = Slope([1.0])
    training = Training(good, SCHEDULE, 0)
    training.advance(good.loss, torch.arange(4))
    training.save(tmp_path / "state", "me")
    before = (tmp_path / "state").read_bytes()
    bad, schedule = Slope([math.nan]), replace(SCHEDULE, samples=4_000)
    with pytest.raises(
        UserError, match=r"no finite gradient in 100 steps.*lower the learning rate"
    ):
        fit(stage_of(bad, schedule), 8, tmp_path / "state", TrainingRun(0, "me"))
    assert (tmp_path / "state").read_bytes() == before


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    training = Training(Slope([1.0]), SCHEDULE, 0)
    with torch.no_grad():
        training.parameters[0].fill_(math.inf)
    with pytest.raises(UserError, match="weight is not finite at step 0"):
        training.save(tmp_path / "state", "me")
    assert not (tmp_path / "state").exists()


class OnFullGPU(torch.Tensor):
    """A tensor of a GPU without memory, of which nothing can be made but a copy on the CPU."""

    @staticmethod
    def __new__(cls, values):
        like = {"strides": values.stride(), "dtype": values.dtype, "device": "cuda:0"}
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, **like)

    def __init__(self, values):
        self.values = values

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.detach.default:
            return cls(args[0].values)
        copied = function is torch.ops.aten._to_copy.default
        if copied and kwargs["device"].type == "cpu" and kwargs["dtype"] == args[0].dtype:
            return args[0].values.clone()
        raise torch.OutOfMemoryError(str(function))


def test_a_gpu_needs_no_memory_for_a_state_or_a_checkpoint(tmp_path):
    """Weights in channels_last, as in a training, and an export in float16."""
    values = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    model = SimpleNamespace(state_dict=lambda: {"w": OnFullGPU(values)})
    with pytest.raises(RuntimeError):
        OnFullGPU(values).contiguous()
    state.save(tmp_path / "state", state.State({"w": OnFullGPU(values)}, 1, 0, "float32", 0), "me")
    assert torch.equal(state.load(tmp_path / "state", "me").tensors["w"], values)
    checkpoint.save(model, TINY.model, tmp_path / "ours", torch.float16)
    (tmp_path / "other").mkdir()
    write_system(model, "dummy", TINY.image, tmp_path / "other")
    for name in ("ours", "other"):
        assert torch.equal(load_file(tmp_path / name / checkpoint.WEIGHTS)["w"], values.half())


# ----------------------------------------------------------------------------------------------
# The last two states


def two_states(path):
    slope = Slope([1.0])
    training = Training(slope, SCHEDULE, 0)
    for _ in range(2):
        training.advance(slope.loss, torch.arange(4))
        training.save(path, "me")


@pytest.mark.parametrize("damage", ["cut", "foreign", "removed", "no step", "step", "identity"])
def test_a_damaged_state_gives_way_to_the_one_before(damage, tmp_path, capsys):
    path = tmp_path / "state"
    two_states(path)
    content = path.read_bytes()
    if damage == "foreign":
        checkpoint.write_tensors({"x": torch.zeros(1)}, path, {"identity": "me"})
    elif damage == "no step":
        checkpoint.write_tensors(load_file(path), path, {"identity": "me"})
    elif damage == "removed":
        path.unlink()
    else:
        change = {"cut": (content, content[:-3]), "step": (b'"step":"2"', b'"step":"6"')}
        change |= {"identity": (b'"identity":"me"', b'"identity":"mf"')}
        path.write_bytes(content.replace(*change[damage]))
    training = Training(Slope([1.0]), SCHEDULE, 0)
    training.load(path, "me")
    assert training.step == 1
    said = capsys.readouterr().err
    assert (
        said == "" if damage == "removed" else f"{path}: damaged" in said and said.count("\n") == 1
    )


def test_a_training_with_a_damaged_state_ends_as_one_that_nothing_happened_to(
    tmp_path, monkeypatch, capsys
):
    """It was interrupted after four steps, the newest of its states is damaged, and it goes on
    after three.
    """
    monkeypatch.setattr(trainer, "SAVE_EVERY_SECONDS", 0)  # saves after every step
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: 0.0))
    preset, stopped, save = replace(TINY, latent=None), tmp_path / "stopped", state.save
    whole = trained(tmp_path / "whole", preset=preset)

    def until_the_fourth(path, now, *more):
        save(path, now, *more)
        if now.step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(state, "save", until_the_fourth)
        trained(stopped, preset=preset)
    content = stages.state_path(stopped, "image").read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1])):
        out = tmp_path / str(len(damaged))
        shutil.copytree(stopped, out)
        newest = stages.state_path(out, "image")
        assert (state.step_on_disk(newest), state.step_on_disk(state.previous(newest))) == (4, 3)
        newest.write_bytes(damaged)
        trained(out, preset=preset)
        assert f"{newest}: damaged" in capsys.readouterr().err
        for name in ("model.safetensors", "config.json"):
            assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_two_damaged_states_are_refused(tmp_path):
    path = tmp_path / "state"
    two_states(path)
    path.write_bytes(b"nothing")
    state.previous(path).write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged, as are all before it"):
        Training(Slope([1.0]), SCHEDULE, 0).load(path, "me")


# ----------------------------------------------------------------------------------------------
# Identity, order of the examples, what is built


KNOWN = TrainedOn("p", "celeba", "train", 9, 0, "official", {"crop": "d2c"}, "print")


def identity_of(preset):
    return Note(Path(), KNOWN, preset.decides, []).identity


def test_the_wording_of_a_preset_is_no_part_of_its_identity():
    preset = PRESETS["ffhq128"]
    reworded = replace(preset, name="x", description="y", expect="z", data_hint="FFHQ, 70,000")
    assert identity_of(reworded) == identity_of(preset)
    for change in (
        {"flip": False},
        {"pixel_weight": 1.0},
        {"model": replace(preset.model, dropout=0.2)},
        {"image": replace(preset.image, learning_rate=2e-4)},
        {"latent": None},
        {"encoder": preset.image},
    ):
        other = replace(preset, **change)
        assert identity_of(other) != identity_of(preset), change


def test_the_data_decides_by_content_split_and_crop():
    assert replace(KNOWN, preset="q", data="a copy").decides == KNOWN.decides
    for change in (
        {"split": "all"},
        {"count": 8},
        {"seed": 1},
        {"partition": "seeded"},
        {"transform": {"crop": "center"}},
        {"fingerprint": "x"},
    ):
        assert replace(KNOWN, **change).decides != KNOWN.decides, change


def test_folders_of_earlier_versions_go_on():
    """The hash of version 0.6: what decides nothing may be added to a record, but not to this."""
    assert (
        identity_of(PRESETS["ffhq128"])
        == "549de203cc36ffb55f3e0cf7505444c0f9c9cc241627f72b9308f04d44daa095"
    )


def test_an_epoch_s_order_is_drawn_once(monkeypatch):
    drawn = []
    permutation = np.random.default_rng

    def counting(seed):
        drawn.append(seed)
        return permutation(seed)

    step._order.cache_clear()
    monkeypatch.setattr(step.np.random, "default_rng", counting)
    batches = [batch_indices(10, 4, 5, step).tolist() for step in range(10)]
    assert drawn == [[5, 0], [5, 1], [5, 2], [5, 3]]
    orders = np.concatenate([permutation([5, epoch]).permutation(10) for epoch in range(4)])
    assert batches == orders.reshape(10, 4).tolist()


def test_the_pixel_decoder_is_built_only_where_it_is_used(tmp_path, monkeypatch):
    built = []

    class Spy(stages.PixelDecoder):
        def __init__(self, config):
            built.append(config)
            super().__init__(config)

    monkeypatch.setattr(stages, "PixelDecoder", Spy)
    short = replace(SCHEDULE, samples=4)
    for used, count in (({}, 0), ({"pixel_weight": 1.0}, 1), ({"encoder": short}, 2)):
        trained(tmp_path / str(count), preset=replace(TINY, image=short, latent=None, **used))
        assert len(built) == count


def test_one_training_image_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="at least 2 training images, not 1"):
        trained(tmp_path, 1)


def test_images_that_are_all_one_are_refused():
    model = stages.DiffusionAutoencoder(TINY.model)
    with pytest.raises(UserError, match="4 of 4 numbers of z_sem are the same for all 6"):
        set_moments(model, torch.ones(6, 4))


def test_files_have_the_permissions_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        trained(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {"0o640"}, modes


# ----------------------------------------------------------------------------------------------
# Precision


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [
        ({"avx2", "avx512_bf16", "amx_bf16"}, "bfloat16"),
        ({"avx2", "avx512_bf16"}, "float32"),
        ({"arm_bf16"}, "bfloat16"),
        ({"avx2"}, "float32"),
    ],
)
def test_bfloat16_is_taken_where_it_is_faster(capabilities, chosen, monkeypatch):
    monkeypatch.setattr(bfloat16, "capabilities", lambda: capabilities)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert choose_precision("auto", "cpu")[0] == chosen
    for asked in ("bfloat16", "float32"):
        assert choose_precision(asked, "cpu")[0] == asked
    assert choose_precision("float16", "cuda:1") == ("float16", "as asked")


@pytest.mark.parametrize(
    ("run", "allowed", "autocast"),
    [
        ("bfloat16", True, True),
        ("float16", True, True),
        ("float32", True, False),
        ("bfloat16", False, False),
        ("float16", False, False),
    ],
)
def test_a_step_computes_in_the_precision_of_the_run(run, allowed, autocast, tmp_path):
    network, seen = nn.Linear(2, 1), set()

    def loss(indices, noise):
        out = network(torch.ones(len(indices), 2))
        seen.add(out.dtype)
        return out.float().mean()

    schedule = replace(SCHEDULE, bfloat16=allowed)
    fit(
        Stage("image", "test", network, schedule, loss),
        8,
        tmp_path / "s",
        TrainingRun(0, "me", run),
    )
    assert seen == {getattr(torch, run) if autocast else torch.float32}


def test_going_on_in_another_precision_is_said_and_recorded(tmp_path, capsys):
    slope = Slope([1.0])
    first = Training(slope, SCHEDULE, 0, "bfloat16")
    first.advance(slope.loss, torch.arange(4))
    first.save(tmp_path / "state", "me")
    second = Training(Slope([1.0]), SCHEDULE, 0, "float32")
    second.load(tmp_path / "state", "me")
    text = "bfloat16 to step 1, then float32"
    assert text in capsys.readouterr().err
    second.save(tmp_path / "state", "me")
    third = Training(Slope([1.0]), SCHEDULE, 0, "float32")
    third.load(tmp_path / "state", "me")
    assert third.precision_history == text and capsys.readouterr().err == ""
    assert third.outcome.precision == text


# float16, whose gradients are scaled: what a GPU does, on the processor


@pytest.mark.parametrize("slope", [0.5, 3.0])
def test_gradients_of_float16_are_clipped_and_told_without_their_scale(slope):
    """Adam's first moment is a tenth of the gradient, whose norm is at most 1."""
    network = Slope([slope])
    training = Training(network, SCHEDULE, 0, "float16")
    told = training.advance(network.loss, torch.arange(4))
    assert told == 1 and training.norm == pytest.approx(slope) and training.skipped == 0
    moment = training.optimiser.state[network.weight]["exp_avg"]
    assert float(moment) == pytest.approx(0.1 * min(slope, 1), rel=1e-4)


class Half:
    """Four weights and a loss whose scaled gradient is more than float16 holds, until the scale has
    come down.
    """

    def __init__(self, precision="float16", skip=0):
        torch.manual_seed(0)
        self.network = nn.Linear(4, 1)
        self.training = Training(self.network, SCHEDULE, 0, precision)
        self.training.step = skip
        self.training.scaler.set_growth_interval(3)

    def loss(self, indices, noise):
        x = torch.linspace(0.5, 2, 4).repeat(len(indices), 1)
        return self.network(x).float().square().sum()

    def steps(self, count):
        for _ in range(count):
            self.training.advance(self.loss, torch.arange(4))
        return self.training


def test_steps_that_overflow_float16_are_skipped_and_the_others_are_those_of_float32():
    half = Half()
    overflowed = half.steps(1).skipped
    while half.training.skipped_in_a_row:
        overflowed = half.steps(1).skipped
    scale = half.training.scaler.get_scale()
    assert overflowed > 0 and scale == 2.0 ** (16 - overflowed)
    steps = half.steps(2).step - overflowed
    assert (half.training.skipped, half.training.scaler.get_scale()) == (overflowed, 2 * scale)
    whole = Half("float32", overflowed).steps(steps)
    assert half.training.norm == pytest.approx(whole.norm, rel=1e-2)
    torch.testing.assert_close(half.network.weight, whole.network.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(half.training.ema[0], whole.ema[0], rtol=1e-3, atol=1e-4)


def test_float16_goes_on_with_its_scale(tmp_path):
    whole, first, second = Half(), Half(), Half()
    whole.steps(12)
    first.steps(7).save(tmp_path / "state", "me")
    assert first.training.skipped and first.training.scaler.get_scale() < 2**16
    second.training.load(tmp_path / "state", "me")
    second.steps(5)
    assert second.training.scaler.state_dict() == whole.training.scaler.state_dict()
    assert second.training.skipped == whole.training.skipped
    assert torch.equal(second.network.weight, whole.network.weight)


@pytest.mark.parametrize(("before", "then"), [("float16", "float32"), ("float32", "float16")])
def test_a_state_of_float16_and_one_of_float32_take_each_other_s_place(before, then, tmp_path):
    Half(before).steps(7).save(tmp_path / "state", "me")
    half = Half(then)
    half.training.load(tmp_path / "state", "me")
    assert half.training.scaler.get_scale() == (2**16 if then == "float16" else 1)
    half.steps(1).save(tmp_path / "state", "me")
    again = Half(then)
    again.training.load(tmp_path / "state", "me")
    assert again.training.step == 8
    assert again.training.scaler.state_dict() == half.training.scaler.state_dict()


# ----------------------------------------------------------------------------------------------
# What a checkpoint was trained on


def trained_on(split: str, data, monkeypatch):
    """The folder of a training on a split of the images of a folder."""
    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, split=split, data_hint="x"))
    command.main(words("tiny", data, out := data.parent / split))
    return out


@pytest.mark.parametrize(
    ("split", "saw", "did_not_see"),
    [("train", ("train", "all"), ("test", "valid")), ("all", ("train", "test", "all"), ())],
)
def test_a_checkpoint_says_what_it_was_trained_on(split, saw, did_not_see, data, monkeypatch):
    """And how long its six steps took, by a clock that moves by a second between two looks."""
    monkeypatch.setattr(step, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    folder, out = data, trained_on(split, data, monkeypatch)
    data = open_dataset(folder, 8)
    known = checkpoint.open_checkpoint(out).trained_on()
    assert known == checkpoint.open_checkpoint(out / "model.safetensors").trained_on()
    assert (known.preset, known.data, known.split, known.seed) == ("tiny", data.name, split, 0)
    assert known.fingerprint == data.fingerprint and known.transform == data.transform.describe()
    assert known.count == len(data.indices(split)) == {"all": 20}.get(split, known.count)
    assert all(known.saw(data, other) for other in saw)
    assert not any(known.saw(data, other) for other in did_not_see)
    elsewhere = write_pictures(folder.parent / "other", pictures(1))
    assert not known.saw(open_dataset(elsewhere, 8), "all")
    assert known.saw(open_dataset(folder, 8, seed=1), "test")  # another split of them
    stages_of = json.loads((out / "training.json").read_text())["stages"]
    outcome = {"precision": "float32", "skipped": 0, "examples": 24, "seconds": 6.0}
    assert stages_of["image"] == outcome


def test_the_packaged_models_know_their_portraits(tmp_path, monkeypatch):
    """However many are drawn: the training split of 250,000 begins as that of 12 does."""
    portraits.write_dataset(tmp_path / "p", 12, 8)
    drawn = open_dataset(tmp_path / "p", 8)
    per_identity, persons = PICTURES_PER_IDENTITY, range(250_000 // PICTURES_PER_IDENTITY)
    for name in ("portraits", "portraits-ddim"):
        known = checkpoint.open_checkpoint(name).trained_on()
        assert known.count == per_identity * sum(partition(0, person) == 0 for person in persons)
        assert known.saw(drawn, "train") and not known.saw(drawn, "test")
    portraits.write_dataset(tmp_path / "q", 12, 8, seed=1)
    assert not known.saw(open_dataset(tmp_path / "q", 8), "train")


def test_portraits_with_levels_and_of_another_size_are_other_images(tmp_path):
    portraits.write_dataset(tmp_path / "p", 12, 8)
    portraits.write_dataset(tmp_path / "large", 12, 16)
    portraits.write_dataset(tmp_path / "levels", 12, 8, levels={"turn": 2})
    portraits.write_dataset(tmp_path / "persons", 12, 8, levels={})  # each is portrait 4 i
    data = {name: open_dataset(tmp_path / name, 8) for name in ("p", "large", "levels", "persons")}
    known = {name: TrainedOn.describe("tiny", of, "train", 0) for name, of in data.items()}
    generator = {"version": "1", "seed": 0, "count": 12, "size": 8}
    assert known["p"].portraits == generator and known["levels"].portraits is None
    assert (known["p"].fingerprint, known["levels"].fingerprint) == ("", data["levels"].fingerprint)
    for name, others in {"p": ("large", "persons"), "levels": ()}.items():
        seen = {other for other, of in data.items() if known[name].saw(of, "train")}
        assert seen == {name, *others}
    note = {name: Note(tmp_path / "out", one, {"steps": 1}, []) for name, one in known.items()}
    note["p"].claim().close()
    note["p"].claim().close()
    with pytest.raises(UserError, match=r"portraits\.size is 8 there and 16 here"):
        note["large"].claim()


def test_a_checkpoint_without_a_record_or_with_a_damaged_one(tmp_path):
    out = trained(tmp_path)
    assert checkpoint.open_checkpoint(out).trained_on() is None
    (out / "training.json").write_text('{"trained_on": {"preset": 1}}')
    with pytest.raises(UserError, match=r"training\.json: not the record of a training"):
        checkpoint.open_checkpoint(out).trained_on()
    fields = {"preset": "p", "data": "d", "split": "train", "count": 3, "seed": 0}
    for name, wrong in {"count": "zz", "data": [], "portraits": "zz", "transform": 3.0}.items():
        (out / "training.json").write_text(json.dumps({"trained_on": fields | {name: wrong}}))
        with pytest.raises(UserError, match=rf"not the record of a training \({name}: must be "):
            checkpoint.open_checkpoint(out).trained_on()
    for content in ("zz", {"trained_on": "zz"}, {"trained_on": fields | {"before": "zz"}}):
        (out / "training.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match="not the record of a training"):
            checkpoint.open_checkpoint(out).trained_on()


@pytest.mark.parametrize("steps", [1, 2])
def test_another_training_may_begin_and_end_at_any_moment(steps, tmp_path):
    """What it wrote is kept if it is the same. Of two others one is refused."""

    def note(out, steps):
        return Note(out, TrainedOn("p", "d", "train", 3, 0), {"steps": steps}, [])

    def other(out):
        with note(out, steps).claim():
            note(out, steps).ended({"image": Outcome("float32", 0)})

    def ours(out):
        note(out, 1).claim().close()

    allowed = "another process is training" + "|holds a different training" * (steps - 1)
    for place, ends in enumerate(interleaved(tmp_path, Note.claim, ours, other)):
        errors = [str(end) for end in ends if end]
        assert steps - 1 <= len(errors) <= 1
        assert all(re.search(allowed, error) for error in errors)
        kept = json.loads((tmp_path / str(place) / "training.json").read_text())
        assert bool(kept["stages"]) == (ends[1] is None)


@pytest.mark.parametrize("name", ["trained_on", "settings", "init", "stages"])
def test_a_record_with_a_field_of_a_wrong_type_is_refused_before_training(name, tmp_path):
    note = Note(tmp_path / "out", TrainedOn("p", "d", "train", 3, 0), {"steps": 1}, [])
    note.claim().close()
    content = json.loads(note.path.read_text())
    for value in (None, "zz"):
        note.path.write_text(json.dumps(content | {name: value, "identity": "another"}))
        with pytest.raises(UserError, match=r"holds a different training|training\.json: damaged"):
            note.claim()


def test_presets_of_data_without_a_split_train_on_all_of_it_in_float32():
    for preset in PRESETS.values():
        if preset.expect:
            assert preset.dtype == "float32"
            assert preset.split == ("train" if "celeba" in preset.name else "all")


def test_the_settings_of_a_stage_are_all_in_the_identity():
    assert set(asdict(TINY)) - set(TINY.decides) == {
        "name",
        "description",
        "expect",
        "data_hint",
        "portraits",  # of the data, whose count is in the record
        "epochs",  # of which the samples are made
        "split",  # in the record too
        "dtype",  # of what is written
    }
