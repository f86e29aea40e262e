"""`python -m diffae.images`: folders written whole, JSON, and one line for each error."""

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
from diffae.images import commands, verbs
from diffae.images.__main__ import main
from diffae.images.classifier import Classifier, classifier_of
from diffae.images.run import summary
from diffae.system.errors import Terminated
from reports.page.pictures import read_sheet

FEW = "--steps 2"


@pytest.fixture
def command(tmp_path):
    """Run a command line in a folder of its own."""
    return lambda line: in_process.command(main, *line.split(), cache=tmp_path)


@pytest.fixture
def made(command):
    """What a command line prints with --json."""

    def run(line):
        done = command(f"{line} --json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def pixels(path):
    return torch.from_numpy(np.asarray(Image.open(path))).permute(2, 0, 1).float() / 127.5 - 1


def test_an_edited_picture_of_one_s_own(command, faces, model, tmp_path):
    done = command(f"edit {faces}/a.png --attribute smiling --strength -0.3 --out o {FEW}")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "o: 1 picture; look at o/sheet.png\n"
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


def test_an_edit_of_strength_0_is_none(command, made, faces, tmp_path):
    """0 is a strength, not a missing one."""
    still = made(f"edit {faces}/a.png --attribute Smiling --strength 0 --out still {FEW}")
    own = made(f"edit {faces}/a.png --attribute Smiling=0 --out own {FEW}")
    assert [file["edit"] for file in (*still["files"], *own["files"])] == 2 * [{"Smiling": 0.0}]
    command(f"reconstruct {faces}/a.png --out r {FEW}")
    edited, plain = pixels(tmp_path / "still" / "a-Smiling0.png"), pixels(tmp_path / "r" / "a.png")
    assert torch.equal(edited, plain)


def test_a_question_mark_lists_the_attributes(command, model, tmp_path):
    """Without pictures or --out, and nothing is written."""
    before = set(tmp_path.iterdir())
    for line in ("edit --attribute ?", "sample-class --attribute=?"):
        done = command(line)
        assert (done.returncode, done.stderr) == (0, "")
        assert tuple(done.stdout.split("\n")[:-1]) == classifier_of(model).names
    assert {path for path in tmp_path.iterdir() if path.name != "cache"} <= before


def test_no_picture_takes_the_place_of_another_or_of_the_sheet(made, faces, tmp_path):
    """Not by its name, by its suffix, by its folder, by capitals, or by strengths that are alike in
    six digits.
    """
    (tmp_path / "b").mkdir()
    given = ["sheet.png", "a.png", "a.jpg", "b/A.png"]
    for path, face in zip(given, "abcd", strict=True):
        Image.open(faces / f"{face}.png").save(tmp_path / path)
    result = made(f"reconstruct {' '.join(given)} --out o {FEW}")
    files = [path["file"].removeprefix("o/") for path in result["files"]]
    assert files == ["sheet-2.png", "a.png", "a-2.png", "A-3.png"]
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"sheet.png", *files}
    assert len({(tmp_path / "o" / name).read_bytes() for name in files}) == 4
    assert len(read_sheet(tmp_path / "o" / "sheet.png").rows) == 4
    result = made(f"edit a.png --attribute Smiling --strip 0.3,0.30000001,-0.3 --out e {FEW}")
    assert [path["edit"]["Smiling"] for path in result["files"]] == [0.3, 0.30000001, -0.3]
    assert len(list((tmp_path / "e").iterdir())) == 4


def test_a_strip_over_strengths_holds_the_other_attribute(made, faces, tmp_path):
    edit = "--attribute Male --attribute Young=-0.2 --strip -0.3,0,0.3"
    result = made(f"edit {faces} {edit} --out o --batch-size 3 {FEW}")
    assert len(result["files"]) == 12
    assert [one["edit"] for one in result["files"][:3]] == [
        {"Male": strength, "Young": -0.2} for strength in (-0.3, 0, 0.3)
    ]
    sheet = read_sheet(tmp_path / "o" / "sheet.png")
    edited = [f"Male {strength}, Young -0.2" for strength in ("-0.3", "0", "+0.3")]
    assert list(sheet.columns) == ["input", *edited]
    assert list(sheet.rows) == ["a", "b", "c", "d"]
    kept = Image.open(tmp_path / "o" / "d-Male+0.3_Young-0.2.png")
    assert np.array_equal(sheet.cell(3, 3), kept)


def test_classes_of_labels_csv_are_edited_by_name(made, faces, tmp_path):
    """Their names have "=" in them, and what follows may be a number."""
    known = Classifier.load(PACKAGED / "portraits")
    names = ("colour=red", "shape=3", *known.names[2:])
    replace(known, names=names).save(tmp_path / "c.safetensors")
    edit = "--attribute colour=red --attribute shape=3 --attribute Male=-0.2"
    for given, shape in ((edit, 0.3), (edit.replace("shape=3", "shape=3=0.1"), 0.1)):
        result = made(f"edit {faces}/a.png --classifier c.safetensors {given} --out {shape} {FEW}")
        assert result["files"][0]["edit"] == {"colour=red": 0.3, "shape=3": shape, "Male": -0.2}


def test_the_batch_size_changes_nothing(command, faces, tmp_path):
    for size in ("1", "4"):
        command(f"reconstruct {faces} --out {size} --batch-size {size} {FEW}")
    for name in ("a", "d"):
        one, other = (pixels(tmp_path / size / f"{name}.png") for size in ("1", "4"))
        assert float((one - other).abs().max()) <= 2 / 127.5


def test_from_one_picture_to_another(command, made, faces, tmp_path):
    result = made(f"interpolate {faces}/a.png {faces}/b.png --count 3 --out o {FEW}")
    assert [one.get("t") for one in result["files"]] == [None, None, 0.0, 0.5, 1.0]
    strip = np.asarray(Image.open(tmp_path / "o" / "a-b-strip.png"))
    assert np.array_equal(strip[:, 32:64], Image.open(tmp_path / "o" / "a-b-2.png"))
    command(f"reconstruct {faces}/a.png --out r {FEW}")
    ends = pixels(tmp_path / "r" / "a.png"), pixels(tmp_path / "o" / "a-b-1.png")
    assert float((ends[0] - ends[1]).abs().max()) <= 2 / 127.5
    assert images.read_mark(tmp_path / "o" / "a-b.gif")["source"] == ["a.png", "b.png"]


def test_variations_and_samples(made, faces, tmp_path):
    result = made(f"vary {faces}/a.png --count 2 --seed 4 --out v {FEW}")
    assert [one["variation"] for one in result["files"]] == [1, 2]
    assert result["settings"]["seed"] == 4
    result = made(f"sample --count 10 --batch-size 4 --out s {FEW}")
    assert result["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    sheet = read_sheet(tmp_path / "s" / "sheet.png")
    assert [sheet.note(i // 8, i % 8) for i in range(10)] == [str(i) for i in range(10)]
    assert not sheet.rows and not sheet.columns  # no other numbers
    assert np.array_equal(sheet.cell(1, 1), Image.open(tmp_path / "s" / "sample-0009.png"))


def test_samples_of_a_class_from_one_s_own_folders(command, made, faces, tmp_path):
    """The classifier is kept, and used again it accepts the same."""
    sample = f"sample-class --attribute Mine --count 3 {FEW}"
    for folder, names in (("yes", "ab"), ("no", "cd")):
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.copy(faces / f"{name}.png", tmp_path / folder)
    first = made(f"{sample} --with yes --without no --save-classifier c.safetensors --out 1")
    again = made(f"{sample} --classifier c.safetensors --out 2")
    assert [one["number"] for one in first["files"]] == [one["number"] for one in again["files"]]
    assert all(one["probability"] > 0.5 for one in first["files"])
    known = Classifier.load(tmp_path / "c.safetensors")
    assert known.names == ("Mine",) and known.made == "2 images with and 2 without"
    own = "--attribute Mine --classifier c.safetensors"
    assert command(f"edit {faces} {own} --out 3 {FEW}").returncode == 0


def test_photographs_are_cut_and_it_is_said_once(command, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, shape in (("a.jpg", (40, 64)), ("b.jpg", (64, 40)), ("c.jpg", (20, 20))):
        Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "d.heic").write_bytes(b"")
    done = command(f"reconstruct in --out o {FEW}")
    assert done.stderr.splitlines() == [
        "in: 1 other file: heic 1",
        f"3 pictures (a.jpg, ...): {commands.KNOWS.format(size=32)}",
        "2 pictures (a.jpg of 64 x 40, ...): cut to the middle square; --align, --landmarks or --points aligns a face",
        "c.jpg: smaller than the model's 32 px, and enlarged",
    ]
    points = "20,15,40,15,30,20,23,30,37,30"
    aligned = command(f"reconstruct in/a.jpg --points {points} --out p {FEW}")
    assert aligned.returncode == 0 and "cut" not in aligned.stderr
    assert images.read_mark(tmp_path / "p" / "a.png")["cut"] == "aligned"


def test_pictures_that_are_not_drawn_portraits_are_said_to_be_unknown_to_the_packaged_model(
    command, faces, tmp_path
):
    """Not those of a set of portraits, not the model's own results, and not for other models."""
    known = commands.KNOWS.format(size=32)
    shutil.copy(faces / "a.png", tmp_path / "photo.png")
    done = command(f"reconstruct {faces}/b.png photo.png --out 1 {FEW}")
    assert done.stderr == f"photo.png: {known}\n"
    assert command(f"vary 1/b.png --count 1 --out 2 {FEW}").stderr.count("knows") == 0
    (tmp_path / "own").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(PACKAGED / "portraits" / name, tmp_path / "own")
    assert command(f"reconstruct photo.png --ckpt own --out 3 {FEW}").stderr == ""


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
        (("reconstruct", "FACES", "--out", "o", "--solver", "x"), "argument --solver: no solver 'x'"),
        (("reconstruct", "FACES", "--out", "o", "--ckpt", "portraits-ddim"), "holds a ddim"),
        (("reconstruct", "FACES", "--out", "o", "--landmarks", "marks.txt"), "has no row for 4 of 4 pictures"),
        (("reconstruct", "FACES", "--out", "o", "--points", "1,2,3,4,5,6,7,8,9,9"), "--points: for one picture"),
        (("edit", "FACES", "--out", "o"), "--attribute: say what to change"),
        ((*EDIT, "--strength", "much"), "argument --strength: 'much' is not a strength"),
        ((*EDIT, "--strength", "nan"), "argument --strength: 'nan' is not a strength"),
        ((*EDIT, "--attribute", "Mael"), "no attribute 'Mael'; did you mean Male?"),
        ((*EDIT, "--attribute", "123"), "no attribute '123'; there are: 5_o_Clock_Shadow, Arched"),
        ((*EDIT, "--attribute", "male"), "--attribute Male: given twice"),
        ((*EDIT, "--with", "FACES"), "--with and --without: one is given without the other"),
        ((*EDIT, "--classifier", "other.safetensors"), "trained on a different checkpoint"),
        ((*EDIT, "--classifier", "text.png"), "text.png: not a classifier"),
        ((*EDIT, "--strip", ",".join(["0"] * 100_000)), "--strip: 100,000 strengths; give at most 100"),
        ((*EDIT, "--strip", "0,1", "--strength", "1"), "--strength and --strip: one strength or several"),
        (("sample-class", "--attribute", "X", "--shots", "5", "--classifier", "other.safetensors", "--out", "o"), "--shots: belongs to labelled data"),
        (("interpolate", "FACES", "--out", "o"), "the following arguments are required: PICTURE"),
        (("sample", "--ckpt", "bare", "--out", "o"), "--ckpt bare: has no latent DDIM"),
        (("sample-class", "--attribute", "X", "--data", "FACES", "--out", "o"), "has no attributes"),
        (("learn", "--out", "text.png"), "--out text.png: exists"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_line_and_nothing_is_left(faces, tmp_path, words, said):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "marks.txt").write_text("z.png 40 50 60 50 50 60 43 72 57 72\n")
    known = Classifier.load(PACKAGED / "portraits")
    Classifier(known.names, known.probe, "0" * 64).save(tmp_path / "other.safetensors")
    if "bare" in words:
        without_latents(tmp_path / "bare")
    before = sorted(tmp_path.rglob("*"))
    given = (faces if word == "FACES" else word for word in words)
    done = in_process.command(main, *given, cache=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr) and said in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def without_latents(folder):
    """A tiny checkpoint that has no latent DDIM."""
    from diffae import DiffusionAutoencoder
    from diffae.networks.config import read_config

    config = read_config(PACKAGED / "portraits" / "config.json").to_json() | {"latent": None}
    (folder.parent / "c.json").write_text(json.dumps(config))
    DiffusionAutoencoder(read_config(folder.parent / "c.json")).save_pretrained(folder)
    (folder.parent / "c.json").unlink()


def test_help_names_an_attribute_and_its_strength(command):
    done = command("edit --help")
    assert done.returncode == 0 and "--attribute NAME[=STRENGTH]" in done.stdout


def test_pictures_are_enlarged_by_whole_pixels(command, faces, tmp_path):
    line = f"interpolate {faces}/a.png {faces}/b.png --count 2 {FEW}"
    command(f"{line} --out 1")
    command(f"{line} --out 5 --enlarge 5")
    small, large = (np.asarray(Image.open(tmp_path / n / "a-b-1.png")) for n in "15")
    assert np.array_equal(large, small.repeat(5, 0).repeat(5, 1))
    assert images.read_mark(tmp_path / "5" / "a-b-1.png")["enlarged"] == 5
    assert Image.open(tmp_path / "1" / "a-b.gif").size == (128, 128)


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
    result = made(f"reconstruct odd --out o {FEW}")
    assert len(result["files"]) == 5  # a hidden file is none
    assert all(images.read_mark(tmp_path / one["file"])["source"] for one in result["files"])


def test_sigterm_leaves_nothing(faces, tmp_path, monkeypatch):
    """In the middle of the second batch."""
    calls = []

    def told_to_end(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise Terminated
        return reconstruct(*arguments[:2], steps=2)

    reconstruct = images.reconstruct
    monkeypatch.setattr(verbs, "reconstruct", lambda *a, **_: told_to_end(*a))
    words = ("reconstruct", faces, "--out", "o", "--batch-size", "2")
    done = in_process.command(main, *words, cache=tmp_path)
    assert done.returncode == 143 and len(calls) == 2 and not list(tmp_path.iterdir())


def test_what_is_kept_is_not_written_over(command, faces, tmp_path):
    (tmp_path / "c.safetensors").write_text("mine")
    own = f"--with {faces} --without {faces} --save-classifier c.safetensors"
    done = command(f"edit {faces} {own} --out o")
    assert done.returncode == 2
    assert "--save-classifier c.safetensors: exists" in done.stderr
    assert (tmp_path / "c.safetensors").read_text() == "mine" and not (tmp_path / "o").exists()


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
    """A small `last.ckpt`: samples, an edit by one's own folders, and one by a classifier beside it."""
    (tmp_path / "theirs").mkdir()
    write_lightning(tmp_path / "theirs" / "last.ckpt", tiny_state())
    theirs = f"--ckpt theirs/last.ckpt {FEW}"
    sampled = made(f"sample --count 2 --out 1 {theirs}")
    assert sampled["settings"]["checkpoint"] == "theirs"
    own = f"--with {faces}/a.png --without {faces} --save-classifier theirs/classifier.safetensors"
    first = made(f"edit {faces}/b.png --attribute A --out 2 {own} {theirs}")
    again = made(f"edit {faces}/b.png --attribute A --out 3 {theirs}")
    assert first["files"][0]["edit"] == again["files"][0]["edit"] == {"A": 0.3}
    assert np.array_equal(*(Image.open(tmp_path / n / "b-A+0.3.png") for n in "23"))
    refused = command(f"edit {faces} --attribute A --out 4 --ckpt portraits --classifier theirs")
    assert refused.returncode == 2 and "for a z_sem of 64 numbers" in refused.stderr


def test_a_classifier_is_learnt_from_labelled_data(command, made, model, tmp_path):
    """In CelebA's layout: by `learn` of all attributes, by `sample-class` from a few of one."""
    portraits.write_dataset(tmp_path / "set", 60, 32, 0, 1)
    result = made("learn --data set --out c.safetensors")
    known = Classifier.load(tmp_path / "c.safetensors")
    data = open_dataset(tmp_path / "set", 32)
    test = data.indices("test")
    assert known.names == data.attribute_names
    logits = known.logits(model.encode(data.batch(test))).numpy()[:, known.index("Male")]
    theirs = roc_auc_score(data.attributes[test, known.index("Male")], logits)
    assert result["auroc"]["Male"] == pytest.approx(theirs, abs=2e-4)
    assert result["test_images"] == len(test) != len(data.indices("train"))
    mean = np.mean(list(result["auroc"].values()))
    assert summary(result) == (
        f"c.safetensors: 40 attributes from {known.made}, mean AUROC {mean:.3f} on {len(test)} test images"
    )
    sample = f"sample-class --attribute male --count 2 --data set {FEW}"
    for number, more in enumerate(("", "--unlabelled", "--absent --accept probability")):
        shown = made(f"{sample} --shots 5 {more} --out {number}")
        assert shown["settings"]["class"] == ("not Male" if "--absent" in more else "Male")
        assert len(shown["files"]) == 2
    few = command(f"{sample} --out 9 --shots 50")
    assert few.returncode == 2 and "Male: 50 positive images needed, but there are" in few.stderr
