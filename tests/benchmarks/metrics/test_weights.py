"""Where weights are found, and that a file's hash is checked before the file is used."""

import hashlib
from pathlib import Path

import pytest
import torch
from official_files import Payload

from benchmarks import weights
from diffae.system.errors import UserError


@pytest.fixture(autouse=True)
def hub(empty) -> Path:
    checkpoints = empty / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints


def test_the_given_folder_comes_before_the_caches(tmp_path, hub, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    name = weights.KNOWN["inception"].files[-1].filename
    assert weights.find("inception", None) is None
    (hub / name).write_bytes(b"cached")
    assert weights.find("inception", tmp_path) == hub / name
    weights.folder().mkdir(parents=True)
    (weights.folder() / name).write_bytes(b"fetched")  # comes before torch.hub's cache
    assert weights.find("inception", None) == weights.find("inception", tmp_path)
    assert weights.find("inception", tmp_path) == weights.folder() / name
    (tmp_path / name).write_bytes(b"given")
    assert weights.find("inception", tmp_path) == tmp_path / name


@pytest.mark.parametrize("name", ["inception", "alexnet", "arcface"])
def test_what_cannot_be_verified_is_used_only_on_request(tmp_path, name):
    path = tmp_path / weights.KNOWN[name].files[-1].filename
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match="--allow-unknown-weights") as error:
        weights.load_path(name, tmp_path, allow_unknown=False)
    assert str(path) in str(error.value)
    assert hashlib.sha256(b"something else").hexdigest() in str(error.value)
    assert weights.KNOWN[name].files[-1].sha256 in str(error.value)
    assert weights.load_path(name, tmp_path, allow_unknown=True) == path


def test_a_published_file_of_another_network_is_refused(tmp_path, monkeypatch):
    digest = hashlib.sha256(b"published").hexdigest()
    for name, own in (("theirs", digest), ("ours", hashlib.sha256(b"ours").hexdigest())):
        file = weights.WeightFile(f"{name}.pth", own, 0.0)
        monkeypatch.setitem(weights.KNOWN, name, weights.Weight(name, "", "", "", (file,)))
        (tmp_path / f"{name}.pth").write_bytes(b"published")
    assert weights.load_path("theirs", tmp_path, allow_unknown=False) == tmp_path / "theirs.pth"
    assert weights.is_published(tmp_path / "ours.pth")
    with pytest.raises(UserError, match="--allow-unknown-weights"):
        weights.load_path("ours", tmp_path, allow_unknown=False)


def test_a_changed_file_is_hashed_again(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b"two, longer"):
        path.write_bytes(content)
        assert weights.sha256(path) == hashlib.sha256(content).hexdigest()


def test_code_in_a_weights_file_is_not_run(tmp_path):
    torch.save({"x": Payload(tmp_path / "trap")}, tmp_path / "evil.pth")
    (tmp_path / "cut.pth").write_bytes(b"")
    for name in ("evil.pth", "cut.pth"):
        with pytest.raises(UserError, match=name):
            weights.read_state(tmp_path / name)
    assert not (tmp_path / "trap").exists()


def test_the_published_names_hold_the_first_digits_of_the_published_hashes():
    """PyTorch's convention: name-XXXXXXXX.pth. What can be fetched can be verified."""
    for file in (file for weight in weights.KNOWN.values() for file in weight.files):
        assert len(file.sha256) == 64 or (not file.sha256 and not file.sources)
        _, dash, digits = file.filename.removesuffix(".pth").rpartition("-")
        if dash and file.filename.endswith(".pth"):
            assert file.sha256.startswith(digits)


@pytest.mark.parametrize("reader", ["numpy", "no_such_package"])
def test_a_file_of_a_package_is_found_without_running_its_code(tmp_path, monkeypatch, reader):
    """And only where the package that reads it is installed."""
    (tmp_path / "models_in_here" / "models").mkdir(parents=True)
    (tmp_path / "models_in_here" / "__init__.py").write_text("raise RuntimeError")
    path = tmp_path / "models_in_here" / "models" / "a.dat"
    path.write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    file = weights.WeightFile("a.dat", weights.sha256(path), 0.1, package="models_in_here")
    one = weights.Weight("one", "", "", "", (file,), extra="hub", reader=reader)
    monkeypatch.setitem(weights.KNOWN, "one", one)
    if reader == "numpy":
        assert weights.load_path("one", None, allow_unknown=False) == path
    else:
        with pytest.raises(UserError, match=r"missing: pip install 'huggingface_hub>="):
            weights.load_path("one", None, allow_unknown=False)


def test_the_hash_of_tensors_is_of_names_shapes_and_numbers_however_they_are_kept():
    ones = {"a": torch.ones(2, 3), "b": torch.zeros(4)}
    known = weights.tensors_sha256(ones)
    same = [dict(reversed(ones.items())), {name: t.half() for name, t in ones.items()}]
    same.append({name: t.double() for name, t in ones.items()})
    assert {weights.tensors_sha256(state) for state in same} == {known}
    others = [
        {"a": ones["a"], "c": ones["b"]},
        {"b": ones["a"], "a": ones["b"]},
        {"a": torch.ones(3, 2), "b": ones["b"]},
        {"a": torch.ones(6), "b": ones["b"]},
        {"a": ones["a"], "b": ones["b"] + 1e-6},
        {"a": ones["a"]},
    ]
    assert len({known, *map(weights.tensors_sha256, others)}) == 7


def test_a_folder_of_weights_that_is_absent_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        weights.find("arcface", tmp_path / "absent")
