"""Weights are fetched whole and verified, or not at all, from a real web server and real files."""

import hashlib
import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from file_server import serving
from safetensors.numpy import load_file
from small_distribution import distribution, weight_of

from benchmarks import weights
from benchmarks.weights import Source, Weight, WeightFile, fetch
from diffae.system.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
NAME = "net-1234.pth"
NOBODY = "http://127.0.0.1:9/x"  # discard: nobody listens


def network(*sources: Source, filename: str = NAME) -> Weight:
    file = WeightFile(filename, hashlib.sha256(CONTENT).hexdigest(), 0.3, sources)
    return Weight("net", "a test", "MIT", "the releases of net", (file,))


def at(*addresses: str) -> Weight:
    return network(*map(Source, addresses))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The folder of weights, on a machine without mirror and proxies."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    monkeypatch.setattr(fetch, "RETRIES", 0)
    return weights.folder()


@pytest.fixture(scope="module")
def server():
    with serving(CONTENT) as served:
        yield served


def got(weight: Weight) -> bytes:
    with fetch.opened() as scratch:
        return fetch.fetch(weight, scratch).read_bytes()


def refused(weight: Weight) -> str:
    with pytest.raises(UserError) as error:
        got(weight)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("path", ["whole", "to/whole", "to/to/whole"])
@pytest.mark.parametrize("filename", [NAME, "net-large/model.bin"])
def test_a_file_is_kept_under_its_name(path, filename, server, place):
    assert got(network(Source(f"{server.url}/{path}"), filename=filename)) == CONTENT
    kept = [path for path in place.rglob("*") if path.is_file()]
    assert kept == [place / filename]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("absent", "404 Client Error: Not Found"),
        ("changed", "does not match the known hash"),
        ("cut", "Connection broken"),
        ("closed", "Connection aborted"),
        ("to/file:///etc/passwd", "No connection adapters were found for 'file:///etc/passwd'"),
    ],
)
def test_what_a_server_does_wrong_is_said_and_nothing_is_kept(path, reason, server, place):
    address = f"{server.url}/{path}"
    line = refused(at(address))
    assert line.startswith(f"net is not fetched: {address}: ") and reason in line
    assert "(the releases of net) can be given by --from FILE" in line
    assert not list(place.iterdir())


def test_a_download_that_breaks_off_is_tried_again(server, monkeypatch):
    monkeypatch.setattr(fetch, "RETRIES", 1)
    assert got(at(f"{server.url}/cut_once/net.pth")) == CONTENT


def test_sources_are_tried_in_order_and_each_is_named(server, place, capsys):
    addresses = [NOBODY, f"{server.url}/absent", f"{server.url}/whole"]
    assert got(at(*addresses)) == CONTENT
    assert capsys.readouterr().err.splitlines() == [f"net: {address}" for address in addresses]
    line = refused(at(*addresses[:2]))
    assert "Connection refused" in line and "404" in line


def test_a_different_file_is_replaced_only_by_the_published_one(server, place):
    place.mkdir(parents=True)
    (place / NAME).write_bytes(b"mine")
    refused(at(f"{server.url}/changed"))
    assert (place / NAME).read_bytes() == b"mine"
    assert got(at(f"{server.url}/whole")) == CONTENT


def test_what_cannot_be_verified_is_never_fetched(server, monkeypatch):
    monkeypatch.setenv(fetch.MIRROR, f"{server.url}/whole")
    weight = at(f"{server.url}/whole")
    unknown = replace(weight, files=(replace(weight.files[0], sha256=""),))
    before = len(server.seen)
    assert "net is not fetched: it has no source" in refused(unknown)
    assert len(server.seen) == before


def test_every_address_of_the_table_is_https():
    files = [file for weight in weights.KNOWN.values() for file in weight.files]
    addresses = [source.address for file in files for source in file.sources]
    assert addresses and all(address.startswith("https://") for address in addresses)


# ----------------------------------------------------------------------------------------------
# The mirror


def test_a_mirror_is_tried_first_and_is_verified_too(server, monkeypatch):
    monkeypatch.setenv(fetch.MIRROR, f"{server.url}/changed")
    assert "does not match the known hash" in refused(at(NOBODY))
    assert got(at(f"{server.url}/whole")) == CONTENT
    before = len(server.seen)
    monkeypatch.setenv(fetch.MIRROR, f"{server.url}/whole/")
    assert got(at(NOBODY)) == CONTENT
    assert server.seen[before:] == [f"/whole/{NAME}"]


@pytest.mark.parametrize("mirror", ["http://[", "http://127.0.0.1:port", "https://", "ftp://x/"])
def test_a_mirror_that_is_no_web_address_is_one_line(mirror, server, monkeypatch):
    monkeypatch.setenv(fetch.MIRROR, mirror)
    assert mirror.rstrip("/") in refused(at(f"{server.url}/absent"))


def test_a_mirror_that_is_a_folder_is_not_skipped(server, monkeypatch, tmp_path):
    """Otherwise the next source would be asked, which a machine without internet cannot reach."""
    monkeypatch.setenv(fetch.MIRROR, str(tmp_path))
    assert "is not an address" in refused(at(f"{server.url}/whole"))


def test_a_password_goes_to_its_own_server_alone_and_is_not_printed(server, monkeypatch, capsys):
    with serving(CONTENT) as other:
        base = server.url.replace("://", "://me:s%3Acret@")
        monkeypatch.setenv(fetch.MIRROR, f"{base}/private")
        assert got(network()) == CONTENT
        monkeypatch.setenv(fetch.MIRROR, f"{base}/absent")
        lines = [refused(network())]
        monkeypatch.setenv(fetch.MIRROR, f"{base}/to/{other.url}/private")
        lines.append(refused(network(filename="other.pth")))
        assert other.users == [None]
    assert "401" in lines[1] and "cret" not in "".join(lines) + capsys.readouterr().err


# ----------------------------------------------------------------------------------------------
# Archives


def zipped(content: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.onnx", content)
        archive.writestr("../evil", b"x")
    return data.getvalue()


@pytest.mark.parametrize(
    ("archive", "given", "reason"),
    [
        (zipped(CONTENT), "whole", None),
        (zipped(CONTENT), "changed", "does not match the known hash"),
        (zipped(CONTENT[1:]), "whole", "a different file, of SHA-256 "),
    ],
)
def test_of_an_archive_one_member_is_taken(archive, given, reason, place):
    with serving(archive) as served:
        digest = hashlib.sha256(archive).hexdigest()
        source = Source(f"{served.url}/{given}", member="net.onnx", sha256=digest)
        if reason is None:
            assert got(network(source)) == CONTENT
        else:
            assert reason in refused(network(source))
    assert [path.name for path in place.iterdir()] == ([] if reason else [NAME])


def test_one_download_of_a_distribution_serves_two_networks(place):
    archive = distribution()
    with serving(archive) as served, fetch.opened() as scratch:
        for name, layers in (("alex", 5), ("vgg", 13)):
            weight = weight_of(name, f"{served.url}/whole/small-0.1.tar.gz", archive)
            arrays = load_file(fetch.fetch(weight, scratch))
            assert len(arrays) == 2 * layers and arrays["features.0.weight"].shape == (5, 4, 3, 2)
        assert len(served.seen) == 1
