"""Weights are fetched whole and verified, or not at all: against a server that does all that servers do."""

import hashlib
import io
import resource
import subprocess
import zipfile
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from file_server import PAGE, Served, serving
from programs import program

from benchmarks import weights
from benchmarks.weights import Url, Weight, WeightFile, fetch, sources
from diffae.system import progress
from diffae.system.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
NAME = "net-1234.pth"


def of(*addresses: str, content: bytes = CONTENT, member: str = "") -> Weight:
    """A network of one file, with these sources."""
    found = tuple(Url(address, member) for address in addresses)
    digest = hashlib.sha256(content).hexdigest()
    file = WeightFile(NAME, digest, size_mb=len(content) / 1e6, sources=found)
    return Weight("net", "a test", "MIT", "the releases of net", (file,))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The folder of weights, on a machine without mirror and proxies."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    return tmp_path / "cache" / "weights"


@pytest.fixture(scope="module")
def server():
    with serving(Served(CONTENT, nap=1.0)) as served:
        yield served


def got(weight: Weight) -> bytes:
    with fetch.opened() as fetching:
        return fetching.fetch(weight).read_bytes()


def refused(weight: Weight) -> str:
    with pytest.raises(UserError) as error, fetch.opened() as fetching:
        fetching.fetch(weight)
    assert "\n" not in str(error.value)
    return str(error.value)


def kept(place) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name != "lock")


@pytest.mark.parametrize("path", ["whole", "to/whole", "to/to/to/whole"])
def test_a_file_is_kept_under_its_name(path, server, place):
    assert got(of(f"{server.url}/{path}")) == CONTENT
    assert kept(place) == [NAME]


def test_a_file_may_be_kept_in_a_folder(server, place):
    weight = of(f"{server.url}/whole")
    file = replace(weight.files[0], filename="net-large/model.bin")
    (place / "net-large").mkdir(parents=True)
    left = place / "net-large" / "model.bin.0123abcd.partial"  # by a killed fetch
    left.write_bytes(b"half")
    assert got(replace(weight, files=(file,))) == CONTENT
    assert [path.name for path in (place / "net-large").iterdir()] == ["model.bin"]
    assert kept(place) == ["net-large"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("absent", "HTTP Error 404: Not Found"),
        ("changed", "a different file, of SHA-256 "),
        ("short", "150.0 kB in place of 0.3 MB"),
        ("cut", "150.0 kB in place of 0.3 MB"),
        ("understated", "1.0 kB in place of 0.3 MB"),
        ("endless", "it sends more than the file has"),
        ("page", "a web page in place of the file; does it ask for a login?"),
        ("slow", "no answer for 0.2 seconds"),
        ("stalled", "no answer for 0.2 seconds"),
        ("circle", "HTTP Error 302: The HTTP server returned a redirect error"),
        (
            "to/file:///etc/passwd",
            "HTTP Error 302: Found - Redirection to url 'file:///etc/passwd'",
        ),
        ("closed", "Remote end closed connection without response"),
        ("nonsense", "what?"),
    ],
)
def test_what_a_server_does_wrong_is_said_and_nothing_is_kept(
    path, reason, server, place, monkeypatch
):
    monkeypatch.setattr(sources, "SILENCE", 0.2)
    address = f"{server.url}/{path}"
    line = refused(of(address))
    assert f"net is not fetched: {address}: {reason}" in line
    assert "(the releases of net) can be given by --from FILE" in line
    assert kept(place) == []


def test_a_fetch_says_how_far_it_is_where_no_bar_is_seen(server, place, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    assert got(of(f"{server.url}/whole")) == CONTENT
    said = capsys.readouterr().err.splitlines()[1:]
    assert said[0].startswith(f"{NAME}: 65.5 kB of 300.0 kB")
    assert said[-1].startswith(f"{NAME}: 300.0 kB of 300.0 kB")


def test_sources_are_tried_in_order_and_each_is_named(server, place, monkeypatch, capsys):
    nobody = "http://127.0.0.1:9"  # discard: nobody listens
    assert got(of(f"{nobody}/x", f"{server.url}/page", f"{server.url}/whole")) == CONTENT
    tried = capsys.readouterr().err.splitlines()
    assert tried == [f"net: {nobody}/x", f"net: {server.url}/page", f"net: {server.url}/whole"]
    (place / NAME).unlink()
    line = refused(of(f"{nobody}/x", f"{server.url}/absent"))
    assert f"{nobody}/x: no connection: Connection refused; {server.url}/absent: HTTP" in line


def test_a_certificate_that_nobody_vouches_for_is_refused(server, tmp_path, monkeypatch):
    file = tmp_path / "key-and-certificate.pem"
    command = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
    extra = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = [program("openssl"), *command.split(), *extra, "-keyout", file, "-out", f"{file}.crt"]
    subprocess.run(made, check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + (tmp_path / f"{file.name}.crt").read_bytes())
    with serving(Served(CONTENT), certificate=file) as secure:
        assert "CERTIFICATE_VERIFY_FAILED" in refused(of(f"{secure.url}/whole"))
        monkeypatch.setenv("SSL_CERT_FILE", f"{file}.crt")
        assert got(of(f"{server.url}/to/{secure.url}/to/whole")) == CONTENT


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    assert got(of("http://nowhere.invalid/whole")) == CONTENT
    assert server.seen[-1] == "http://nowhere.invalid/whole"


# ----------------------------------------------------------------------------------------------
# The mirror


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/"])
def test_a_mirror_may_be_a_folder(form, tmp_path, monkeypatch):
    (tmp_path / NAME).write_bytes(CONTENT)
    monkeypatch.setenv(fetch.MIRROR, form.format(tmp_path))
    assert got(of("http://127.0.0.1:9/x")) == CONTENT


def test_a_mirror_comes_first_and_is_verified_too(server, tmp_path, monkeypatch):
    (tmp_path / NAME).write_bytes(b"something else")
    monkeypatch.setenv(fetch.MIRROR, str(tmp_path))
    line = refused(of(f"{server.url}/absent"))
    mirror = f"{tmp_path / NAME}: 14 bytes in place of 0.3 MB"
    assert line.startswith(f"net is not fetched: {mirror}; {server.url}/absent: ")
    assert got(of(f"{server.url}/whole")) == CONTENT
    monkeypatch.setenv(fetch.MIRROR, str(tmp_path / "nowhere"))
    assert f"{tmp_path / 'nowhere' / NAME}: no such file" in refused(of(f"{server.url}/absent"))


@pytest.mark.parametrize("end", ["", "/", "//"])
@pytest.mark.parametrize("base", ["https://x.invalid", "http://x.invalid:80/to/weights"])
def test_a_mirror_comes_before_the_sources_whether_or_not_its_address_ends_in_a_slash(
    base, end, monkeypatch
):
    weight = of("https://y.invalid/a", "https://y.invalid/b")
    monkeypatch.setenv(fetch.MIRROR, base + end)
    found = [source.address for _, source in fetch.sources_of(weight)]
    assert found == [f"{base}/{NAME}", "https://y.invalid/a", "https://y.invalid/b"]
    monkeypatch.setenv(fetch.MIRROR, "")
    assert [source.address for _, source in fetch.sources_of(weight)] == found[1:]


def test_a_mirror_that_is_no_address_is_one_line(server, monkeypatch):
    for wrong in ("http://[", "http://127.0.0.1:port", "https://"):
        monkeypatch.setenv(fetch.MIRROR, wrong)
        assert wrong in refused(of(f"{server.url}/absent"))


def test_a_password_goes_to_its_own_server_alone_and_is_not_printed(server, monkeypatch, capsys):
    with serving(Served(CONTENT)) as other:
        base = server.url.replace("://", "://me:s%3Acret@")
        monkeypatch.setenv(fetch.MIRROR, f"{base}/private")
        assert got(of()) == CONTENT
        monkeypatch.setenv(fetch.MIRROR, f"{base}/to/{other.url}/private")
        line = refused(replace(of(), files=(replace(of().files[0], filename="other.pth"),)))
        assert other.users == [None]
    assert "401" in line and "cret" not in line + capsys.readouterr().err


# ----------------------------------------------------------------------------------------------
# Archives


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return content.getvalue()


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (zipped(**{"pack__net.onnx": CONTENT, "..__evil": b"x"}), None),
        (zipped(**{"net.onnx": CONTENT}), None),
        (zipped(**{"other.onnx": CONTENT}), "a zip archive without net.onnx"),
        (zipped(**{"net.onnx": CONTENT[:-1] + b"!"}), "a different file, of SHA-256 "),
        (zipped(**{"net.onnx": bytes(10**7)}), "its net.onnx unpacks to more than 400.0 kB"),
        (zipped(**{"net.onnx": CONTENT})[:-30], "not a whole zip archive"),
        (PAGE, "a web page in place of the file"),
    ],
)
def test_of_an_archive_one_member_is_taken(archive, reason, place):
    with serving(Served(archive)) as served:
        weight = of(f"{served.url}/whole", member="net.onnx")
        if reason is None:
            assert got(weight) == CONTENT
        else:
            assert reason in refused(weight)
    assert kept(place) == ([] if reason else [NAME])


# ----------------------------------------------------------------------------------------------
# The folder


@contextmanager
def largest_file(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_is_one_line(server, place):
    with largest_file(100_000):
        line = refused(of(f"{server.url}/whole", f"{server.url}/whole"))
    assert line.startswith(f"{place}: File too large; allow larger files or set DIFFAE_CACHE to")
    assert kept(place) == []


def test_two_fetches_do_not_meet(server, place):
    with fetch.opened():
        line = refused(of(f"{server.url}/whole"))
    assert line == f"{place}: another process is fetching weights in this folder"


def test_what_a_killed_fetch_left_is_removed_and_nothing_else(server, place):
    place.mkdir(parents=True)
    (place / f"{NAME}.0123abcd.partial").write_bytes(CONTENT[:1000])
    for folder in (".pip.0123abcd.partial", "pip-notes.partial"):
        (place / folder).mkdir()
        (place / folder / "requirements.txt").write_text("x")
    (place / "mine.partial").write_bytes(b"of somebody")
    assert got(of(f"{server.url}/whole")) == CONTENT
    assert kept(place) == ["mine.partial", NAME, "pip-notes.partial"]


def test_a_different_file_under_the_name_is_not_overwritten(server, place):
    place.mkdir(parents=True)
    (place / NAME).write_bytes(b"mine")
    line = refused(of(f"{server.url}/whole"))
    assert line == f"{place / NAME}: not the published file; move it away, then fetch again"
    assert (place / NAME).read_bytes() == b"mine"


def test_what_cannot_be_verified_is_never_fetched(server, place):
    weight = of(f"{server.url}/whole")
    unknown = replace(weight, files=(replace(weight.files[0], sha256=""),))
    before = len(server.seen)
    assert "net is never fetched: no published SHA-256 of it is known" in refused(unknown)
    assert not unknown.is_fetched and weight.is_fetched and len(server.seen) == before


def test_every_address_of_the_table_is_https():
    files = (file for weight in weights.KNOWN.values() for file in weight.files)
    urls = [source for file in files for source in file.sources if isinstance(source, Url)]
    assert urls and all(url.address.startswith("https://") for url in urls)
