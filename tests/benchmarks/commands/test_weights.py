"""`weights`: the table, what is fetched and what is not, and real processes."""

import hashlib
import signal
import subprocess
import sys
import time

import golden
import lpips
import numpy as np
import pytest
import torch
from file_server import serving
from refusal import refusal
from safetensors.torch import load_file

from benchmarks import run, weights
from benchmarks.commands.weights import listing
from benchmarks.metrics.networks.chosen import DISTANCES
from benchmarks.weights import KNOWN, Source, Weight, WeightFile, fetch
from diffae.system.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
TERMS = "For research only."


def network(name: str, address: str, terms: str = "") -> Weight:
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = WeightFile(f"{name}.pth", digest, 0.3, (Source(address),))
    return Weight(name, "a test", "MIT", f"the releases of {name}", (file,), terms)


@pytest.fixture(autouse=True)
def place(empty, monkeypatch):
    """The folder of weights, on a machine that has none."""
    monkeypatch.setenv("DIFFAE_CACHE", str(empty / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    monkeypatch.setattr(fetch, "RETRIES", 0)
    return weights.folder()


@pytest.fixture
def server():
    with serving(CONTENT) as served:
        yield served


@pytest.fixture
def known(server, monkeypatch):
    """Three networks: a free one, one with terms, and one that is not served."""
    entries = {
        "free": network("free", f"{server.url}/whole"),
        "bound": network("bound", f"{server.url}/whole", TERMS),
        "gone": network("gone", f"{server.url}/absent"),
    }
    for name in list(KNOWN):
        monkeypatch.delitem(KNOWN, name)
    for name, weight in entries.items():
        monkeypatch.setitem(KNOWN, name, weight)
    return entries


def refused(capsys, *words) -> str:
    return refusal(run.main, capsys, "weights", *words)


# ----------------------------------------------------------------------------------------------
# The list


def test_the_list_says_what_is_here(known, place, tmp_path):
    run.main(["weights", "free"])
    (place / "gone.pth").write_bytes(b"something else")
    lines = listing(None)
    assert f"free: verified, here: {place / 'free.pth'}" in lines and "bound: not here" in lines
    assert any(line.startswith("gone: not the published file: ") for line in lines)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "free.pth").write_bytes(CONTENT)
    assert f"free: verified, here: {tmp_path / 'own' / 'free.pth'}" in listing(tmp_path / "own")


# ----------------------------------------------------------------------------------------------
# Fetching


def test_what_is_here_is_not_fetched_again(known, place, server, capsys):
    for _ in range(2):
        run.main(["weights", "free"])
        assert capsys.readouterr().out == f"free: verified: {place / 'free.pth'}\n"
    assert len(server.seen) == 1


def test_terms_must_be_accepted_and_are_printed(known, place, server, capsys):
    with pytest.raises(UserError, match="accept them by --accept-licence$"):
        run.main(["weights", "bound"])
    assert capsys.readouterr().err == f"bound: {TERMS}\n" and not server.seen
    run.main(["weights", "bound", "--accept-licence"])
    captured = capsys.readouterr()
    assert f"bound: {TERMS}" in captured.err
    assert captured.out == f"bound: verified: {place}/bound.pth\n"


def test_a_wrong_name_is_one_line(known, capsys):
    assert "no network 'fre'; did you mean free?" in refused(capsys, "fre")


def test_all_leaves_out_what_has_terms_and_one_that_fails_stops_no_other(known, place, monkeypatch):
    with pytest.raises(UserError, match="^gone is not fetched: .*: 404 Client Error") as error:
        run.main(["weights", "gone", "all"])
    assert str(error.value).count("gone is not fetched") == 1
    assert [path.name for path in place.glob("*.pth")] == ["free.pth"]
    monkeypatch.delitem(KNOWN, "gone")
    run.main(["weights", "all", "bound", "--accept-licence"])
    assert sorted(path.name for path in place.glob("*.pth")) == ["bound.pth", "free.pth"]


# ----------------------------------------------------------------------------------------------
# --from


def test_what_a_folder_holds_is_taken_and_nothing_is_downloaded(known, place, server, tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    run.main(["weights", "free", "--from", str(tmp_path)])
    assert [path.name for path in place.glob("*.pth")] == ["free.pth"]
    run.main(["weights", "--from", str(tmp_path / "x")])
    assert {path.name for path in place.glob("*.pth")} == {"bound.pth", "free.pth", "gone.pth"}
    assert not server.seen


def test_a_damaged_file_is_kept_out(known, place, tmp_path, capsys):
    (tmp_path / "free.pth").write_bytes(CONTENT[:1000])
    for path in (tmp_path / "free.pth", tmp_path, tmp_path / "absent"):
        line = refused(capsys, "--from", path)
        assert f"--from {path}: no file of any network, by its SHA-256, is there" in line
    assert not list(place.iterdir())


# ----------------------------------------------------------------------------------------------
# Processes

SCRIPT = """
import sys
from benchmarks import run
from benchmarks.weights import KNOWN, Source, Weight, WeightFile
from diffae.system import cli
file = WeightFile("free.pth", sys.argv[2], 0.3, (Source(sys.argv[1]),))
KNOWN["free"] = Weight("free", "a test", "MIT", "nowhere", (file,))
cli.run(lambda: run.main(["weights", "free"]))
"""


def started(address: str) -> subprocess.Popen:
    words = [sys.executable, "-c", SCRIPT, address, hashlib.sha256(CONTENT).hexdigest()]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_killed_in_the_middle_is_never_taken_for_whole(number, server, place):
    process = started(f"{server.url}/stalled")
    end = time.monotonic() + 60
    while not any(path.is_file() and path.stat().st_size for path in place.rglob("*")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate()
    assert process.returncode in (-number, 128 + number)
    assert not (place / "free.pth").exists()
    assert len(list(place.iterdir())) == (number == signal.SIGKILL)
    both = [started(f"{server.url}/whole") for _ in range(2)]  # which do not disturb each other
    for process in both:
        assert "free: verified: " in process.communicate()[0]
    assert (place / "free.pth").read_bytes() == CONTENT


@pytest.mark.slow
def test_real_lpips_by_one_command(place):
    """Fetches the trunks (64 MB), and compares with the package lpips."""
    run.main(["weights", "alexnet", "vgg16"])
    for name in ("alexnet", "vgg16"):
        expected = golden.GOLDEN[name, golden.PERCEPTUAL]
        assert golden.measured(name, golden.PERCEPTUAL) == pytest.approx(
            expected, rel=1e-4, abs=1e-6
        )
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(20, 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    for name, net in (("alexnet", "alex"), ("vgg16", "vgg")):
        path, cpu = weights.load_path(name, None, False), torch.device("cpu")
        theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
        trunk = load_file(path)
        theirs.net.load_state_dict(
            {key: trunk[f"features.{key.split('.', 1)[1]}"] for key in theirs.net.state_dict()}
        )
        with torch.inference_mode():
            expected = theirs(a, b).flatten()
        torch.testing.assert_close(DISTANCES[name](path, cpu)(a, b), expected, atol=1e-6, rtol=0)
