"""Whatever has a name is given once: of two values none is taken in silence."""

import importlib
import io
import warnings
import zipfile
from pathlib import Path

import factor_files
import numpy as np
import pytest
import torch
from data_files import encode, write_tar
from PIL import Image
from refusal import refusal, refused_file

from benchmarks.systems.shared.recognised import Whole, read_address
from diffae.checkpoints.torch_file import load
from diffae.data import npz, open_dataset
from diffae.system.errors import UserError
from diffae.system.files import read_json
from diffae.system.plain_yaml import read_yaml


@pytest.mark.parametrize(
    ("module", "words", "name"),
    [
        ("diffae.data.__main__", "portraits --out x --count 4 --count 5", "--count"),
        ("diffae.data.__main__", "portraits --out x --count 4 --factors turn=2,turn=4", "turn"),
        ("diffae.train.__main__", "portraits --dry-run --tflops 1 --seed 0 --seed 1", "--seed"),
        (
            "diffae.train.__main__",
            "portraits --dry-run --tflops 1 --set epochs=1 --set epochs=2",
            "epochs",
        ),
        ("benchmarks.run", "all --limit 1 --limit 2 --dry-run", "--limit"),
        ("benchmarks.run", "all --set probes.images=1 --set probes.images=2", "probes.images"),
        ("benchmarks.measure", "psnr a b --limit 2 --limit 3", "--limit"),
        ("reports.make", "a --table x --table y", "--table"),
        ("reports.compare", "a b --alpha .1 --alpha .2", "--alpha"),
    ],
)
def test_a_flag_has_one_value(module, words, name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refusal(importlib.import_module(module).main, capsys, *words.split())
    assert f"{name} is given twice, as " in line and line.endswith("; keep one\n")
    assert not any(tmp_path.iterdir())


def test_the_same_value_again_is_harmless(tmp_path):
    from benchmarks.commands.options import parse

    words = "reconstruction --device cpu --limit 2 --set reconstruction.images=4"
    twice = f"{words} --limit 2 --set reconstruction.images=4 --systems ddim,ddim --protocol a,a"
    options = parse(twice.replace("a,a", "plain,plain").split(), None)
    assert options.profile == parse(words.split(), None).profile
    assert (options.systems, options.protocols) == (("ddim",), ("plain",))
    (tmp_path / "a.json").write_text('{"a": [1], "a": [1]}')
    assert read_json(tmp_path / "a.json") == {"a": [1]}


def two_arrays(path: Path) -> Path:
    """An npz file with two arrays of one name; NumPy and zipfile read the second."""
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w") as archive:
        for value in (0, 1):
            content = io.BytesIO()
            np.save(content, np.full((4, 2), value, np.float32))
            archive.writestr("codes.npy", content.getvalue())
    return path


def two_entries(path: Path) -> Path:
    """A checkpoint with a second entry of one name."""
    torch.save({"x": torch.zeros(2)}, path)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "a") as archive:
        name = archive.namelist()[-1]
        archive.writestr(name, archive.read(name) + b" ")
    return path


def test_an_entry_of_a_packed_file_has_one_content(tmp_path):
    two_arrays(tmp_path / "codes.npz")
    for read in (npz.names, lambda path: npz.array(path, "codes")):
        assert "array codes is listed 2 times" in refused_file(read, tmp_path / "codes.npz")
    assert "is listed 2 times" in refused_file(load, two_entries(tmp_path / "a.pt"))


def test_a_sample_of_a_webdataset_has_one_class(tmp_path):
    image = encode(Image.new("RGB", (8, 8)))
    write_tar(tmp_path / "a.tar", [("0.png", image), ("0.cls", b"1"), ("0.cls", b"2")])
    with pytest.raises(UserError, match=r"a\.tar: entry 0\.cls is listed 2 times"):
        open_dataset(tmp_path, 8)


def test_a_car_is_listed_once(tmp_path):
    cars = factor_files.cars3d(tmp_path)
    with (cars / "list.txt").open("a") as file:
        file.write(factor_files.CARS[0])
    with pytest.raises(UserError, match=r"list\.txt: car car_007_mesh is listed 2 times"):
        open_dataset(cars, 8)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", '{"in": {"x": 1, "x": 2}}'), ("a.yaml", "in:\n  x: 1\n  x: 2\n")],
)
def test_a_key_has_one_value(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    read = read_json if name == "a.json" else lambda path: read_yaml(path, 100)
    assert "x is given twice, as 1 and as 2; keep one" in refused_file(read, tmp_path / name)


def test_an_option_of_a_checkpoint_has_one_value():
    with pytest.raises(UserError, match="#n=1,n=2: n is given twice, as 1 and as 2; keep one"):
        read_address("#n=1,n=2", {"n": Whole(1, 1, 9)})
