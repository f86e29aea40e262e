"""`python -m diffae.images`: folders written whole, and one line for each error."""

import json
import math
import os
import re
import shutil
from dataclasses import replace

import in_process
import numpy as np
import pytest
import torch
from official_files import tiny_state, write_lightning
from PIL import Image
from sklearn.metrics import roc_auc_score

from diffae import images
from diffae.checkpoints.packaged import PACKAGED
from diffae.data import open_dataset, portraits
from diffae.images import commands, options, run
from diffae.images.__main__ import main
from diffae.images.classifier import Classifier, classifier_of
from reports.page.sheets import read_sheet

FEW = "--steps 2"


@pytest.fixture
def command(tmp_path):
    """Run a command line in a folder of its own."""
    return lambda line: in_process.command(main, *line.split(), cache=tmp_path)


@pytest.fixture
def made(command, tmp_path):
    """What the pictures that a command line makes say of themselves, by their names."""

    def run(line):
        done = command(line)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / re.search(r"--out (\S+)", line)[1]
        pictures = sorted({*folder.glob("*.png")} - {folder / "sheet.png"})
        return {path.name: images.read_mark(path) for path in pictures}

    return run


def test_an_edited_picture_of_one_s_own(command, faces, model, tmp_path):
    done = command(f"edit {faces}/a.png --attribute Smiling --strength -0.3 --out o {FEW}")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "o is made; look at o/sheet.png\n"
    edited, sheet = sorted((tmp_path / "o").iterdir())
    assert (edited.name, sheet.name) == ("a-Smiling-0.3.png", "sheet.png")
    x = images.read(faces / "a.png", 32)
    expected = images.to_pil(images.edit(model, x, {"Smiling": -0.3}, steps=2))[0]
    assert np.array_equal(Image.open(edited), expected)
    mark = images.read_mark(edited)
    known = classifier_of(model)
    assert mark["checkpoint_sha256"] == known.checkpoint and mark["classifier"] == known.made
    assert mark.items() >= {
        "verb": "edit", "checkpoint": "portraits", "steps": 2, "solver": "fast", "source": "a.png",
        "edit": {"Smiling": -0.3}, "cut": "center",
    }.items()  # fmt: skip
    assert mark["digital_source_type"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert images.read_mark(sheet)["verb"] == "edit"


def test_no_picture_takes_the_place_of_another_or_of_the_sheet(made, faces, tmp_path):
    """Not by its name, by its suffix, by its folder, or by strengths that are alike in six digits."""
    (tmp_path / "b").mkdir()
    given = ["sheet.png", "a.png", "a.jpg", "b/a.png"]
    for path, face in zip(given, "abcd", strict=True):
        Image.open(faces / f"{face}.png").save(tmp_path / path)
    files = made(f"reconstruct {' '.join(given)} --out o {FEW}")
    assert {name: mark["source"] for name, mark in files.items()} == {
        "sheet-2.png": "sheet.png",
        "a.png": "a.png",
        "a-2.png": "a.jpg",
        "a-3.png": "a.png",
    }
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"sheet.png", *files}
    assert len({(tmp_path / "o" / name).read_bytes() for name in files}) == 4
    assert len(read_sheet(tmp_path / "o" / "sheet.png").rows) == 4
    files = made(f"edit a.png --attribute Smiling --strength 0.3,0.30000001,-0.3 --out e {FEW}")
    strengths = {mark["edit"]["Smiling"] for mark in files.values()}
    assert strengths == {0.3, 0.30000001, -0.3}
    assert len(list((tmp_path / "e").iterdir())) == 4


def test_several_strengths_hold_the_other_attribute(made, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "AT_ONCE", 3)
    edit = "--attribute Male --attribute Young=-0.2 --strength -0.3,0,0.3"
    files = made(f"edit {faces} {edit} --out o {FEW}")
    assert len(files) == 12
    for name, strength in (("a-Male-0.3", -0.3), ("a-Male0", 0), ("a-Male+0.3", 0.3)):
        assert files[f"{name}_Young-0.2.png"]["edit"] == {"Male": strength, "Young": -0.2}
    sheet = read_sheet(tmp_path / "o" / "sheet.png")
    edited = [f"Male {strength}, Young -0.2" for strength in ("-0.3", "0", "+0.3")]
    assert list(sheet.columns) == ["input", *edited]
    assert list(sheet.rows) == ["a", "b", "c", "d"]
    kept = Image.open(tmp_path / "o" / "d-Male+0.3_Young-0.2.png")
    assert np.array_equal(sheet.cell(3, 3), kept)


def test_classes_of_labels_csv_are_edited_by_name(made, faces, tmp_path):
    """Their names have "=" in them, and what follows may be a number."""
    known = Classifier.load(PACKAGED / "portraits" / "classifier.safetensors")
    names = ("colour=red", "shape=3", *known.names[2:])
    replace(known, names=names).save(tmp_path / "c.safetensors")
    edit = "--attribute colour=red --attribute shape=3 --attribute Male=-0.2"
    for given, shape in ((edit, 0.3), (edit.replace("shape=3", "shape=3=0.1"), 0.1)):
        line = f"edit {faces}/a.png --classifier c.safetensors {given} --out {shape} {FEW}"
        (mark,) = made(line).values()
        assert mark["edit"] == {"colour=red": 0.3, "shape=3": shape, "Male": -0.2}


def test_an_attribute_is_learnt_from_one_s_own_folders(command, made, faces, model, tmp_path):
    """It has the name of the folder, and serves samples and edits."""
    for folder, names in (("Mine", "ab"), ("no", "cd")):
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.copy(faces / f"{name}.png", tmp_path / folder)
    done = command("learn --with Mine/ --without no --out c.safetensors")
    assert done.stdout == "c.safetensors: learnt from 2 images with and 2 without\n"
    known = Classifier.load(tmp_path / "c.safetensors")
    assert known.names == ("Mine",)
    z = model.encode(images.read(faces, 32))
    expected = images.learn_from_two(model, z[:2], z[2:], "Mine")
    torch.testing.assert_close(known.move({"Mine": 1}), expected.move({"Mine": 1}))
    assert known.made == "2 images with and 2 without"
    own = f"--attribute Mine --classifier c.safetensors {FEW}"
    sampled = made(f"sample-class --count 3 --out 1 {own}")
    assert len(sampled) == 3
    for mark in sampled.values():
        assert mark["probability"] > 0.5
        assert mark["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    (mark,) = made(f"edit {faces}/a.png --out 2 {own}").values()
    assert mark["edit"] == {"Mine": 0.3}


def test_what_is_not_read_and_what_the_packaged_model_does_not_know_is_said_once(
    command, faces, tmp_path
):
    """Nothing of a set of portraits, and nothing to other models."""
    known = commands.LIMITS.format(size=32)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(faces / name, tmp_path / "in")
    (tmp_path / "in" / "d.heic").write_bytes(b"")
    done = command(f"reconstruct in --out 1 {FEW}")
    assert done.stderr.splitlines() == ["in: 1 other file: heic 1", known]
    assert command(f"reconstruct {faces}/b.png --out 2 {FEW}").stderr == ""
    (tmp_path / "own").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(PACKAGED / "portraits" / name, tmp_path / "own")
    assert command(f"reconstruct in/a.png --ckpt own --out 3 {FEW}").stderr == ""


EDIT = ("edit", "FACES", "--out", "o", "--attribute", "Male")


@pytest.mark.parametrize(
    "words, said",
    [
        (("draw",), "unknown verb 'draw'; there are: reconstruct, vary"),
        (("edt",), "unknown verb 'edt'; did you mean edit?"),
        (("reconstruct", "no.png", "--out", "o"), "no.png: no such file or folder"),
        (("reconstruct", "text.png", "--out", "o"), "text.png: cannot read this image"),
        (("reconstruct", "FACES", "text.png", "--out", "o", "--steps", "2"), "text.png: cannot read this image"),
        (("reconstruct", "empty", "--out", "o"), "empty: no images in this folder"),
        (("reconstruct", "FACES"), "the following arguments are required: --out"),
        (("reconstruct", "FACES", "--out", "full"), "--out full: exists"),
        (("reconstruct", "FACES", "--out", "text.png"), "--out text.png: exists"),
        (("reconstruct", "FACES", "--out", "o", "--solver", "heun"), "solver heun: cannot encode"),
        (("reconstruct", "FACES", "--out", "o", "--solver", "x"), "no solver 'x'"),
        (("reconstruct", "FACES", "--out", "o", "--ckpt", "portraits-ddim"), "holds a ddim"),
        (("edit", "FACES", "--out", "o"), "the following arguments are required: --attribute"),
        ((*EDIT, "--strength", "much"), "argument --strength: must be a number, not 'much'"),
        ((*EDIT, "--strength", "nan"), "argument --strength: must be a finite number"),
        ((*EDIT, "--attribute", "Mael"), "no attribute 'Mael'; did you mean Male?"),
        ((*EDIT, "--attribute", "123"), "no attribute '123'; there are: 5_o_Clock_Shadow, Arched"),
        ((*EDIT, "--attribute", "Male=1"), "--attribute Male: given twice"),
        ((*EDIT, "--classifier", "other.safetensors"), "trained on a different checkpoint"),
        ((*EDIT, "--classifier", "text.png"), "text.png: not a classifier"),
        (("interpolate", "FACES", "--out", "o"), "interpolate: two pictures, not the 4 of these folders"),
        (("sample", "--ckpt", "bare", "--out", "o"), "has no latent DDIM"),
        (("learn", "--data", "FACES", "--out", "c.safetensors"), "--data FACES: has no attributes"),
        (("learn", "--data", "FACES", "--out", "text.png"), "--out text.png: exists"),
        (("learn", "--out", "c.safetensors"), "learn: give either --data, or --with and --without"),
        (("learn", "--with", "FACES", "--out", "c.safetensors"), "learn: give either --data, or"),
        (("learn", "--data", "d", "--with", "FACES", "--without", "FACES", "--out", "c.safetensors"), "learn: give either"),
        (("learn", "--with", "FACES", "--without", "FACES", "--out", "c.safetensors"), "both are"),
        (("learn", "--data", "d", "--without", "FACES", "--out", "c.safetensors"), "learn: give either"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_line_and_nothing_is_left(faces, tmp_path, words, said):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    known = Classifier.load(PACKAGED / "portraits" / "classifier.safetensors")
    Classifier(known.names, known.probe, "0" * 64).save(tmp_path / "other.safetensors")
    if "bare" in words:
        without_latents(tmp_path / "bare")
    before = sorted(tmp_path.rglob("*"))
    given = (faces if word == "FACES" else word for word in words)
    done = in_process.command(main, *given, cache=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    line = done.stderr.replace(str(faces), "FACES")
    assert re.fullmatch(r"error: [^\n]+\n", line) and said in line
    assert sorted(tmp_path.rglob("*")) == before


def without_latents(folder):
    """A tiny checkpoint that has no latent DDIM."""
    from diffae import DiffusionAutoencoder
    from diffae.networks.config import read_config

    config = read_config(PACKAGED / "portraits" / "config.json").to_json() | {"latent": None}
    (folder.parent / "c.json").write_text(json.dumps(config))
    DiffusionAutoencoder(read_config(folder.parent / "c.json")).save_pretrained(folder)
    (folder.parent / "c.json").unlink()


def test_pictures_are_read_as_the_evaluation_reads_them(tmp_path):
    """Turned by EXIF, transparent, of 16 bits, with a palette: the pixels of `open_dataset`."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (40, 64, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(rng.integers(0, 256, (40, 64, 4), np.uint8)).save(tmp_path / "clear.png")
    Image.fromarray(rng.integers(0, 65536, (40, 64), np.uint16)).save(tmp_path / "deep.png")
    colour.quantize(16).save(tmp_path / "few.png")
    data = open_dataset(tmp_path, 32)
    expected = data.batch(data.indices("all"))
    assert len(expected) == 4
    torch.testing.assert_close(images.read(tmp_path, 32), expected, rtol=0, atol=0)


def test_odd_names_are_taken(made, faces, tmp_path):
    names = ["=1+1.png", "-x.png", "<b>&,\"'|%_$\n.png", "Zoë 😀.png", "." + "x" * 200 + ".png"]
    folder = os.fsencode(tmp_path / "odd")
    os.mkdir(folder)
    for name in [*map(os.fsencode, names), b"not-\xff-utf8.png"]:
        shutil.copy(faces / "a.png", os.path.join(folder, name))
    files = made(f"reconstruct odd --out o {FEW}")
    assert len(files) == 5  # a hidden file is none
    assert all(mark["source"] for mark in files.values())


def test_the_authors_classifier_is_taken(tmp_path):
    """Of z_sem of 512 numbers and CelebA's 40 attributes in its order; it does not say of which
    checkpoint it is.
    """
    state = {
        "classifier.weight": torch.randn(40, 512),
        "classifier.bias": torch.randn(40),
        "conds_mean": torch.randn(1, 512),
        "conds_std": torch.rand(1, 512) + 0.5,
    }
    found = Classifier.load(write_lightning(tmp_path / "last.ckpt", state))
    assert found.names[31] == "Smiling" and found.checkpoint == ""
    direction = state["classifier.weight"][31] / state["classifier.weight"][31].norm()
    expected = 0.3 * math.sqrt(512) * direction * state["conds_std"][0]  # manipulate.ipynb
    torch.testing.assert_close(found.move({"Smiling": 0.3})[0], expected)


def test_the_authors_checkpoint_is_taken(command, made, faces, tmp_path):
    """A small `last.ckpt`: samples, and an edit by a classifier beside it."""
    (tmp_path / "theirs").mkdir()
    write_lightning(tmp_path / "theirs" / "last.ckpt", tiny_state())
    theirs = "--ckpt theirs/last.ckpt"
    sampled = made(f"sample --count 2 --out 1 {theirs} {FEW}")
    assert [mark["checkpoint"] for mark in sampled.values()] == ["last.ckpt", "last.ckpt"]
    out = "theirs/classifier.safetensors"
    command(f"learn --with {faces}/a.png --without {faces} --out {out} {theirs}")
    made(f"edit {faces}/b.png --attribute a.png --out 3 {theirs} {FEW}")
    refused = command(f"edit {faces} --attribute a.png --out 4 --classifier {out}")
    assert refused.returncode == 2 and "for a z_sem of 64 numbers" in refused.stderr


def test_a_classifier_is_learnt_from_labelled_data(model, tmp_path):
    """In CelebA's layout."""
    portraits.write_dataset(tmp_path / "set", 60, 32, 0, 1)
    out = tmp_path / "c.safetensors"
    args = options.parse("learn", ["--data", str(tmp_path / "set"), "--out", str(out)])
    line = run.learn(args)
    known = Classifier.load(out)
    data = open_dataset(tmp_path / "set", 32)
    test = data.indices("test")
    assert known.names == data.attribute_names
    assert len(test) != len(data.indices("train"))
    logits = known.logits(model.encode(data.batch(test))).numpy().T
    labels = data.attributes[test].T
    both = [k for k in range(40) if 0 < labels[k].sum() < len(test)]
    assert 10 < len(both) < 40
    mean = np.mean([roc_auc_score(labels[k], logits[k]) for k in both])
    scores = f"mean AUROC {mean:.3f} on {len(test)} test images"
    assert line == f"{out}: learnt from {known.made}, {scores}"
