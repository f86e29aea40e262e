"""Processes that connect to each other: they meet, or say in one line why not."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_process import environment
from refusal import refusal

from diffae.system import distributed

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
        ({"WORLD_SIZE": "9" * 5000}, "characters)...9999999999999999999: must be"),
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


def test_a_process_alone_gives_up(tmp_path, port):
    process = start(tmp_path, 0, port, "1")
    line = process.communicate(timeout=100)[1]
    assert process.returncode == 2
    assert line.startswith(
        "error: RANK=0: 2 processes did not meet within 1 s (DIFFAE_RENDEZVOUS_SECONDS); start all"
    )
    assert line.count("\n") == 1


@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_sigterm_ends_a_process_that_waits_for_others(tmp_path, port, rank):
    process = start(tmp_path, rank, port)
    while "libtorch_cpu" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(3)
    before = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert "terminated" in process.communicate(timeout=100)[1]
    assert process.returncode == 143 and time.monotonic() - before < 30


@pytest.mark.slow
def test_two_processes_meet(tmp_path, port):
    processes = [start(tmp_path, rank, port) for rank in (0, 1)]
    assert [p.communicate(timeout=100)[0] for p in processes] == ["0 2\n", "1 2\n"]
