"""Evaluations during a training: of what, when, only once, and whatever their outcome."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from refusal import refusal
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_preset import TINY, pictures
from tiny_training import same, weights, words, write_pictures
from tiny_training import trained as trained_with

from diffae.system.errors import UserError
from diffae.train import __main__ as command
from diffae.train.callbacks import evaluations
from diffae.train.callbacks.curves import Curves
from diffae.train.callbacks.evaluations import Evaluations
from diffae.train.presets import PRESETS

FLAGS = ("--profile", "smoke", "--device", "cpu")
TASKS = ("reconstruction", "unconditional")


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Where the stand-in keeps a folder for each evaluation that it was asked for."""
    stand_in = SimpleNamespace(module="stand_in_evaluation", load=evaluations.harness().load)
    monkeypatch.setattr(evaluations, "harness", lambda: stand_in)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
    monkeypatch.setenv("STAND_IN_TOLD", str(tmp_path / "told"))
    (tmp_path / "told").mkdir()
    return tmp_path / "told"


def trained(out, watched=True, every=12, curves=None):
    """The tiny preset, six steps of four images in each stage."""
    out.mkdir(exist_ok=True)
    (out / "training.json").write_text("{}")
    share = every / TINY.image.samples
    callback = Evaluations(
        out / "evaluations", share, out / "training.json", TASKS, "diffae", FLAGS, curves
    )
    return trained_with(out, callbacks=[*filter(None, [curves]), callback] if watched else [])


def asked(told):
    """The arguments of each evaluation, in order."""
    count = len(list(told.iterdir()))
    return [json.loads((told / f"{n}" / "words.json").read_text())[0] for n in range(count)]


def test_the_averaged_model_is_measured_after_so_many_images_and_at_the_end(told, tmp_path):
    out = trained(tmp_path / "out")
    made = sorted(str(p.relative_to(out)) for p in (out / "evaluations").glob("*/*"))
    assert made == [f"evaluations/{s}/0000000000{n}" for s in ("image", "latent") for n in (12, 24)]
    assert all((out / folder / "run.json").exists() for folder in made)
    first, _, _, last = asked(told)
    given = ["--systems", "diffae", "--ckpt", *FLAGS]
    assert [w for w in first if w in given] == given and first[:2] == list(TASKS)
    assert last[0] == "unconditional" and "reconstruction" not in last  # it changes samples only
    exported = weights(out)
    assert same(weights(told / "3"), exported)
    image = {n: t for n, t in exported.items() if n.startswith(("unet.", "encoder."))}
    assert same(weights(told / "1"), image)  # a latent DDIM that is not trained is not measured
    assert (told / "0" / "training.json").read_text() == "{}"


def test_headlines_are_points_of_the_curves(told, tmp_path):
    """Without numbers that were not measured, and those of real images."""
    trained(tmp_path / "out", curves=Curves(tmp_path / "logs"))
    shown = EventAccumulator(str(tmp_path / "logs" / "image")).Reload()
    assert not [tag for tag in shown.Tags()["scalars"] if tag.startswith("unconditional")]
    points = shown.Scalars("reconstruction/ssim x_T inverted 10")
    assert [(point.step, point.value) for point in points] == [(12, 0.75), (24, 0.75)]


def test_a_training_that_is_measured_is_the_training(told, tmp_path, monkeypatch):
    """Nor does the process know of its launcher."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "1" if name == "WORLD_SIZE" else "0")
    plain, measured = trained(tmp_path / "a", watched=False), trained(tmp_path / "b", every=8)
    assert same(weights(plain), weights(measured))
    assert len(asked(told)) == 6
    names = json.loads((told / "0" / "words.json").read_text())[1]
    assert "STAND_IN_TOLD" in names and not set(names) & set(evaluations.LAUNCHER)


def test_going_on_measures_nothing_twice_and_what_a_kill_has_cut_short_once(told, tmp_path):
    out = trained(tmp_path / "out")
    shutil.rmtree(out / "evaluations/latent/000000000024")
    (out / "evaluations/latent/.000000000064.0a1b2c3d.partial").mkdir()
    trained(out)
    assert len(asked(told)) == 5
    assert sorted(p.name for p in (out / "evaluations/latent").iterdir()) == ["000000000012", "000000000024"]  # fmt: skip


@pytest.mark.parametrize("ending", ["failed", "in part"])
def test_an_evaluation_that_fails_is_said_and_the_training_goes_on(told, tmp_path, monkeypatch, capsys, ending):  # fmt: skip
    monkeypatch.setenv("STAND_IN", ending)
    out = trained(tmp_path / "out", every=100)
    assert (out / "model.safetensors").exists()
    place = out / "evaluations/image/000000000024"
    line = capsys.readouterr().err.splitlines()[0]
    assert line == "evaluation after 24 images: error: 1 measurement failed"
    assert (place / "run.json").exists() == (ending == "in part")


# ----------------------------------------------------------------------------------------------
# The command


@pytest.mark.parametrize(
    ("tasks", "given", "said"),
    [
        (("reconstructon",), FLAGS, "did you mean reconstruction?"),
        (TASKS, ("--profile", "smok"), "did you mean smoke?"),
    ],
)
def test_what_the_harness_would_refuse_is_refused_at_once(tasks, given, said, tmp_path):
    with pytest.raises(UserError, match="--evaluate: unknown") as found:
        Evaluations(tmp_path, 1, tmp_path, tasks, "diffae", given)
    assert said in str(found.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("images") / "noise", pictures(40))


@pytest.mark.parametrize(
    ("split", "flags", "said"),
    [
        ("all", ["--evaluate-every", "9"], "holds out no images; use"),
        ("train", ["--evaluate-every", "9", "--evaluate", "costs"], "did you mean cost?"),
    ],
)  # fmt: skip
def test_bad_flags_are_one_line_and_nothing_is_written(
    told, folder, split, flags, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, split=split, data_hint="x"))
    out = tmp_path / "out"
    line = refusal(command.main, capsys, "tiny", "--data", folder, "--out", out, *flags)
    assert said in line and not out.exists()


def test_the_command_measures_what_the_data_holds_out(told, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, data_hint="x"))
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    command.main(words("tiny", folder, tmp_path / "out", "--evaluate-every", 100))
    (arguments,) = asked(told)  # reconstruction, at the end of the autoencoder
    assert arguments[0] == "reconstruction"
    assert arguments[-8:-2] == ["--profile", "smoke", "--device", "cpu", "--data", str(folder)]
    note = json.loads((told / "0" / "training.json").read_text())
    assert note["trained_on"]["split"] == "train"


def test_an_evaluation_is_of_the_crop_and_the_profile_that_are_given(
    told, folder, tmp_path, monkeypatch
):
    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, data_hint="x"))
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    more = ("--crop", "center", "--evaluate-profile", "quick")
    command.main(words("tiny", folder, tmp_path / "out", "--evaluate-every", 100, *more))
    (arguments,) = asked(told)
    expected = f"--profile quick --device cpu --data {folder} --crop center"
    assert arguments[arguments.index("--profile") : -2] == expected.split()
