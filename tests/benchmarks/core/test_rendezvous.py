"""Processes that connect to each other: they meet, or say in one line why not."""

import importlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from in_process import environment
from refusal import refusal

from benchmarks import run
from diffae.system import distributed
from diffae.train import __main__ as train

SCRIPT = """
from diffae.system import cli, distributed

def main():
    distributed.init()
    distributed.barrier()
    print(distributed.rank(), distributed.world())

cli.run(main)
"""


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE=abc: must be a whole number from 1, as torchrun"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE=: must be a whole number from 1"),
        ({"WORLD_SIZE": "2"}, "RANK is not set: must be a whole number from 0"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK=-1: must be"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK=2: of WORLD_SIZE=2 the last rank is 1"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "DIFFAE_RENDEZVOUS_SECONDS": "soon"},
            "DIFFAE_RENDEZVOUS_SECONDS=soon: must be",
        ),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "did not meet ("),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"},
            "RANK=0: 2 processes did not meet (",
        ),
    ],
)
def test_a_description_that_makes_no_sense_is_one_line(variables, message, monkeypatch, capsys):
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert message in refusal(lambda _: distributed.init(), capsys)


def test_one_process_needs_nobody(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    distributed.init()
    assert distributed.world() == 1 and distributed.is_main()


@pytest.fixture
def two_gpus(monkeypatch):
    """The GPUs that are set on a machine with two, by the fourth of eight processes."""
    taken = []
    group = distributed._Group(torch.distributed.HashStore(), rank=3, world=8)
    monkeypatch.setattr(distributed, "_group", group)
    monkeypatch.setattr(distributed, "barrier", lambda: pytest.fail("it went on"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    return taken


@pytest.mark.parametrize(
    ("device", "local", "taken"), [("cuda", "1", [1]), ("cuda", "0", [0]), ("cpu", "3", [])]
)
def test_a_process_takes_the_gpu_of_its_local_rank(device, local, taken, two_gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", local)
    distributed.take_gpu(device)
    assert two_gpus == taken


@pytest.mark.parametrize(
    ("main", "words"),
    [(run.main, ["probes"]), (train.main, ["smoke"])],
    ids=["evaluation", "training"],
)
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "LOCAL_RANK=2: 2 GPUs on this machine; start one process for each"),
        ("cuda:1", "--device cuda:1: every process needs a GPU of its own; use cuda"),
    ],
)
def test_processes_do_not_share_a_gpu(
    device, message, main, words, two_gpus, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert message in refusal(main, capsys, *words, "--device", device)
    assert two_gpus == [] and not list(tmp_path.iterdir())


def test_one_process_may_have_any_gpu(two_gpus, monkeypatch):
    monkeypatch.setattr(distributed, "_group", None)
    distributed.take_gpu("cuda:1")
    assert two_gpus == []


def start(tmp_path, rank, port, seconds="60"):
    (tmp_path / "main.py").write_text(SCRIPT)
    variables = {"WORLD_SIZE": "2", "RANK": str(rank), "DIFFAE_RENDEZVOUS_SECONDS": seconds}
    variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, tmp_path / "main.py"],
        env=environment(tmp_path) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_others_are_waited_for_as_long_as_asked(monkeypatch, capsys):
    variables = {"WORLD_SIZE": "2", "RANK": "0", "DIFFAE_RENDEZVOUS_SECONDS": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    module = importlib.import_module("torch.distributed.rendezvous")
    monkeypatch.setattr(module, "rendezvous", lambda *_, **__: time.sleep(3))
    line = refusal(lambda _: distributed.init(), capsys)
    told = "RANK=0: 2 processes did not meet within 1 s (DIFFAE_RENDEZVOUS_SECONDS); start all"
    assert told in line


@pytest.mark.slow
def test_a_process_alone_gives_up(tmp_path, port):
    process = start(tmp_path, 0, port, "1")
    line = process.communicate(timeout=100)[1]
    assert process.returncode == 2
    assert line.startswith(
        "error: RANK=0: 2 processes did not meet within 1 s (DIFFAE_RENDEZVOUS_SECONDS); start all"
    )
    assert line.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_sigterm_ends_a_process_that_waits_for_others(tmp_path, port, rank):
    process = start(tmp_path, rank, port)
    while "libtorch_cpu" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    assert "terminated" in process.communicate(timeout=100)[1]
    assert process.returncode == 143


@pytest.mark.slow
def test_two_processes_meet(tmp_path, port):
    processes = [start(tmp_path, rank, port) for rank in (0, 1)]
    assert [p.communicate(timeout=100)[0] for p in processes] == ["0 2\n", "1 2\n"]
