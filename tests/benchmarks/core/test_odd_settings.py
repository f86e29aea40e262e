"""Settings and data at their limits: a row that says so, or one line before anything is computed."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dummies import Perfect
from refusal import refusal
from safetensors.torch import load_file, save_file

from benchmarks import measure, run, weights
from benchmarks.commands.options import parse
from benchmarks.core.runner.evaluation import prepare, rows
from benchmarks.core.store import MemoryStore
from benchmarks.tasks import probes
from diffae.model import DDIM
from diffae.system.errors import UserError
from diffae.system.files import OutputPath, file_name, refuse_outputs

CPU = torch.device("cpu")


class Sampler(Perfect):
    """A perfect code that can also sample: noise."""

    name, title = "sampler", "sampler"
    capabilities = Perfect.capabilities | {"sample"}

    def sample(self, indices, seed, steps):
        return self.random_x_T(indices, seed).clamp(-1, 1)


def sampler():
    system = Sampler(None, CPU)
    system.image_size = 32
    return system


# ----------------------------------------------------------------------------------------------
# Data at its limits


def test_attributes_of_one_class_everywhere_are_a_row_with_the_reason(context):
    attributes = np.ones((150, 2), bool)
    context.dataset = replace(context.dataset, attribute_names=("a", "b"), attributes=attributes)
    (row,) = rows(probes.BENCHMARK, context, [Perfect(None, CPU)])
    assert row.value is None and "no attribute has both classes" in row.note


# ----------------------------------------------------------------------------------------------
# Settings out of range


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("samples.count=1000000001", "must be at most 1000000000"),
        ("samples.steps=10,1001", "must be at most 1000"),
        ("denoising.timesteps=1000", "must be at most 999"),
        ("reconstruction.split=tset", "no choice 'tset'; did you mean test?"),
        ("fewshot.acceptance=", "no choice ''; there are: probability, threshold, reject"),
        ("probes.adam_paper=1", "true or false"),
        ("name=paper", "no such setting"),
    ],
)
def test_a_wrong_setting_is_refused_before_the_run(text, message):
    with pytest.raises(UserError) as error:
        parse(["all", "--set", text], None)
    assert message in str(error.value)


def test_a_value_that_is_there_twice_counts_once():
    options = parse(["all", "--set", "samples.steps=20,10,20"], None)
    assert options.profile.settings()["samples.steps"] == (20, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--systems", "difae"], "did you mean diffae?"),
        (["--profil", "smoke"], "did you mean --profile?"),
        (["--profile", "quik"], "did you mean quick?"),
        (["--ckpt", "/nowhere"], "/nowhere: no such checkpoint"),
        (["--weights-dir", "/nowhere"], "--weights-dir /nowhere"),
        (["--ckpt", "diffae:=portraits"], "--ckpt diffae:=portraits: expected SYSTEM=PATH"),
        (["--ckpt", "diffae:a\nb=portraits"], "expected SYSTEM=PATH or SYSTEM:TITLE=PATH"),
        (
            ["--ckpt", "portraits", "--ckpt", "diffae=other"],
            "two checkpoints for diffae, portraits and other; give the second a title: "
            "--ckpt diffae:TITLE=other",
        ),
        (
            ["--ckpt", "diffae:A=portraits", "--ckpt", "diffae:A=other"],
            "two checkpoints for diffae:A, portraits and other",
        ),
    ],
)
def test_options_that_contradict_or_overstep_are_one_line(capsys, arguments, message):
    line = refusal(lambda given: parse(given, None), capsys, "all", *arguments)
    assert message in line


@pytest.mark.parametrize(
    ("data", "out"),
    [("set", "set/runs/a"), ("set", "set"), ("runs/a/pictures", "runs/a"), (".", "runs/a")],
)
def test_a_run_does_not_become_its_own_data(tmp_path, monkeypatch, data, out):
    (tmp_path / "set").mkdir()
    (tmp_path / "link").symlink_to("set")
    monkeypatch.chdir(tmp_path)
    place = [OutputPath("--out", Path(out), Path.is_dir)]
    with pytest.raises(
        UserError, match=rf"--out {out}: (is|is inside|contains) {re.escape(data)}, "
    ):
        refuse_outputs(place, [data])
    if data == "set":
        with pytest.raises(UserError):
            refuse_outputs(place, ["link"])
    refuse_outputs([OutputPath("--out", Path("/elsewhere"))], [data])
    refuse_outputs(place, [None])


def test_two_systems_of_one_title_are_refused(untrained):
    ours = ["--systems", "ddim", "--ckpt", f"ddim={untrained / 'ddim'}"]
    for title in ("DDIM", "ddim"):
        more = ["--ckpt", f"ddim:{title}={untrained / 'ddim'}"]
        with pytest.raises(
            UserError, match=r"system (DDIM|ddim) is listed 2 times; give one a diff"
        ):
            prepare(parse(["all", *ours, *more], None), MemoryStore())


def test_a_hostile_checkpoint_ends_the_command_in_one_line(tmp_path, capsys):
    """The whole way once: nothing computed, no run folder."""
    DDIM.from_pretrained("portraits-ddim").save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    state = load_file(path)
    state["unet.out.2.bias"] *= torch.nan
    save_file(state, path)
    ckpt, out = f"ddim={tmp_path / 'model'}", tmp_path / "run"
    line = refusal(
        run.main, capsys, "cost", "--systems", "ddim", "--ckpt", ckpt, "--out", out
    )  # fmt: skip
    assert line == f"error: {tmp_path / 'model'}: tensors not finite: unet.out.2.bias\n"
    assert not out.exists()


# ----------------------------------------------------------------------------------------------
# Two files that claim to be one


def test_two_images_of_one_name_are_no_pair(tmp_path, capsys, patches):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").symlink_to(patches.root / "001.png")
    (tmp_path / "a" / "1.jpg").symlink_to(patches.root / "002.png")
    line = refusal(measure.main, capsys, "mse", tmp_path / "a", tmp_path / "b")
    assert "a/1.png: has the name of 1.jpg" in line and "take one of the two out" in line


@pytest.fixture
def two_places(tmp_path, monkeypatch):
    """The folder of --weights-dir and torch.hub's cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    hub, given = tmp_path / "torch" / "hub" / "checkpoints", tmp_path / "given"
    hub.mkdir(parents=True)
    given.mkdir()
    return given, hub


def test_a_verified_weight_is_used_whatever_lies_elsewhere(two_places):
    packaged = weights.find("efficientnet-lite0", None)
    given, hub = (place / packaged.name for place in two_places)
    given.symlink_to(packaged)
    hub.write_bytes(b"damaged")
    assert weights.load_path("efficientnet-lite0", given.parent, allow_unknown=True) == given


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(2)], torch.zeros(2), {"a": "text"}, {"a": torch.tensor([1.0, torch.nan])}],
)
def test_what_is_no_state_of_a_network_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth: (not PyTorch weights|tensor a is not fin)"):
        weights.read_state(tmp_path / "weights.pth")


# ----------------------------------------------------------------------------------------------
# Names that go into files' names


def test_an_attributes_name_is_no_path():
    assert file_name("T-shirt/top") == "T-shirt_top"
    assert file_name("../../x\n\0") == ".._.._x__"
    assert len(file_name("x" * 500)) == 100
    assert file_name("5_o_Clock_Shadow") == "5_o_Clock_Shadow"
