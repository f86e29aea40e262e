"""Weights that a person already has are recognised by content, whatever they are called."""

import hashlib
import io
import os
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_distribution import distribution, weight_of

from benchmarks import weights
from benchmarks.weights import Source, Weight, WeightFile, fetch

CONTENT = np.random.default_rng(0).bytes(3000)


def zipped(content: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo("net.onnx"), content)
    return data.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


SOURCE = Source("https://x.invalid/pack.zip", member="net.onnx", sha256=sha256(zipped(CONTENT)))
OTHER = WeightFile("net-large/model.bin", sha256(b"another form"), 0.0)
NET = Weight("net", "", "", "", (WeightFile("net.onnx", sha256(CONTENT), 0.0, (SOURCE,)), OTHER))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    return weights.folder()


def take(weight: Weight, path):
    with fetch.opened():
        return fetch.take(fetch.given(path), weight)


@pytest.mark.parametrize(
    ("content", "name"),
    [(CONTENT, "net.onnx"), (zipped(CONTENT), "net.onnx"), (b"another form", OTHER.filename)],
)
def test_each_form_is_recognised_under_any_name(content, name, place, tmp_path):
    path = tmp_path / "download (1)"
    path.write_bytes(content)
    kept = take(NET, path)
    assert kept == place / name and path.read_bytes() == content
    assert kept.read_bytes() == (CONTENT if name == "net.onnx" else content)


def test_a_distribution_is_recognised_and_converted(tmp_path):
    archive = distribution()
    (tmp_path / "x").write_bytes(archive)
    weight = weight_of("alex", "https://x.invalid/small.tar.gz", archive)
    assert len(load_file(take(weight, tmp_path / "x"))) == 10


def test_the_preferred_file_in_a_folder_is_taken(place, tmp_path):
    """In the table's order, and not in that of the folder; what is no file is passed over."""
    (tmp_path / "deeper").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "deeper" / "net.onnx").write_bytes(CONTENT)
    assert take(NET, tmp_path) is None
    (tmp_path / "a").write_bytes(b"another form")
    assert take(NET, tmp_path) == place / OTHER.filename
    (tmp_path / "b").write_bytes(zipped(CONTENT))
    assert take(NET, tmp_path) == place / "net.onnx"


@pytest.mark.parametrize("content", [CONTENT[1:], zipped(CONTENT[1:])])
def test_what_is_changed_is_kept_out(content, place, tmp_path):
    (tmp_path / "net.onnx").write_bytes(content)
    assert take(NET, tmp_path) is None
    assert not list(place.iterdir())
