"""Weights that a person already has are recognised by content, whatever they are called."""

import hashlib
import io
import os
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_distribution import MEMBERS, weight_of, write_distribution

from benchmarks import weights
from benchmarks.weights import KNOWN, Url, Weight, WeightFile, fetch
from diffae.system.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    return weights.folder()


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of a network in an archive, and two of a distribution; the file of the last."""
    (tmp_path / "index").mkdir()
    path = write_distribution(tmp_path / "index")
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = WeightFile("net.onnx", digest, 0.3, (Url("https://x.invalid/pack.zip", "net.onnx"),))
    net = Weight("net", "a test", "MIT", "the releases of net", (file,))
    for weight in (net, weight_of("alex", path), weight_of("vgg", path)):
        monkeypatch.setitem(KNOWN, weight.name, weight)
    return path


def take(name, path):
    with fetch.opened() as fetching:
        return fetch.take(fetching, KNOWN[name], fetch.candidates(path))


def zipped(content: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("pack/net.onnx", content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "content"), [("net", CONTENT), ("net", zipped(CONTENT)), ("alex", MEMBERS["alex"])]
)
def test_each_form_is_recognised_under_any_name(name, content, table, place, tmp_path):
    path = tmp_path / "download (1)"
    path.write_bytes(content)
    kept = take(name, path)
    assert kept == place / KNOWN[name].files[0].filename
    assert weights.sha256(kept) == KNOWN[name].files[0].sha256
    assert path.read_bytes() == content


def test_a_file_is_kept_in_the_folder_of_its_name(place, tmp_path, monkeypatch):
    file = WeightFile("net-large/model.bin", hashlib.sha256(CONTENT).hexdigest(), 0.3)
    monkeypatch.setitem(
        KNOWN, "net", Weight("net", "a test", "MIT", "the releases of net", (file,))
    )
    (tmp_path / "model.bin").write_bytes(CONTENT)
    assert take("net", tmp_path) == place / "net-large" / "model.bin"
    assert weights.find("net", None) == place / "net-large" / "model.bin"


def test_a_distribution_gives_each_network(table, place):
    for name, layers in (("alex", 5), ("vgg", 13)):
        found = load_file(take(name, table))
        assert len(found) == 2 * layers and found["features.0.weight"].shape == (5, 4, 3, 2)


def test_a_folder_is_looked_through_for_such_files(table, place, tmp_path):
    folder = tmp_path / "Downloads"
    (folder / "deeper").mkdir(parents=True)
    (folder / "deeper" / "net.onnx").write_bytes(CONTENT)
    (folder / "film.bin").write_bytes(bytes(2_000_000))
    os.mkfifo(folder / "pipe")
    os.rename(table, folder / "a.tar.gz")
    assert fetch.candidates(folder) == [folder / "a.tar.gz"]
    assert take("vgg", folder).parent == place
    with pytest.raises(UserError, match="net is not in --from: no file of it"):
        take("net", folder)
    (folder / "pack.zip").write_bytes(zipped(CONTENT))
    assert take("net", folder).read_bytes() == CONTENT


def test_the_preferred_file_of_a_network_is_taken_wherever_it_lies(tmp_path):
    """In the table's order, and not in that of the folder."""
    contents = {"preferred.bin": CONTENT[:1000], "other.bin": CONTENT[1000:2000]}
    files = (WeightFile(n, hashlib.sha256(c).hexdigest(), 0.001) for n, c in contents.items())
    weight = Weight("net", "a test", "MIT", "the releases of net", tuple(files))
    paths = []
    for name in ("other.bin", "preferred.bin"):
        paths.append(tmp_path / f"{len(paths)}.bin")
        paths[-1].write_bytes(contents[name])
    for order in (paths, paths[::-1]):
        found = [file.filename for _, file, _ in fetch.held(order, weight)]
        assert found == ["preferred.bin", "other.bin"]


def test_a_changed_archive_is_kept_out(table, place, tmp_path):
    path = tmp_path / "pack.zip"
    path.write_bytes(zipped(CONTENT[:-1] + b"!"))
    with pytest.raises(UserError, match=rf"not in --from: {path}: a different file, of SHA-256 "):
        take("net", path)
    assert [kept.name for kept in place.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("kind", "reason"), [("absent", "no such file"), ("pipe", "a pipe, not a file")]
)
def test_what_is_no_file_is_refused(kind, reason, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=reason):
        fetch.candidates(tmp_path / kind)
