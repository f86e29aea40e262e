"""Runs that are interrupted or run out of disk space: one line, and nothing is lost.

Signals and file systems are real; so are processes in tests of signals and full disks.
"""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import interruption
import pytest
from dummies import Constant
from in_process import command, start

from benchmarks.core.store import CHUNK
from benchmarks.run import main

pytestmark = pytest.mark.usefixtures("no_effnet")
ROOT = Path(__file__).parents[3]
LINES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def finish(process):
    """(status, the last line on stderr); whatever happened, there must be no traceback."""
    _, errors = process.communicate(timeout=3600)
    assert "Traceback" not in errors and "Exception" not in errors, errors
    return process.returncode, errors.strip().splitlines()[-1] if errors else ""


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def imports_torch(process):
    """Whether the process has begun to import PyTorch, which takes a second, as the kernel knows it
    (Linux).
    """
    return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()


def catches(process, number):
    """Whether the process has a handler for a signal, as the kernel knows it (Linux)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (mask,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")]
    return bool(mask >> (number - 1) & 1)


@contextmanager
def mounted(folder, options):
    """A small file system of its own."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        refused = subprocess.run(command, capture_output=True).returncode
    except OSError:
        refused = True
    if refused:
        pytest.skip("mounting a small file system takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# ----------------------------------------------------------------------------------------------
# Signals


@pytest.mark.parametrize("number", LINES)
def test_a_signal_amid_a_system_s_work_ends_a_run_in_one_line(
    number, patches, tmp_path, monkeypatch
):
    sample = Constant.sample_latents

    def interrupted(system, indices, *how):
        if indices[0] >= CHUNK:  # the first are in the store
            signal.raise_signal(number)
        return sample(system, indices, *how)

    monkeypatch.setattr(Constant, "sample_latents", interrupted)
    result = command(
        main, "unconditional", "--systems", "dummy-constant", "--profile", "smoke", "--data", patches.root,
        "--set", "samples.count=100", "--out", tmp_path / "run", cache=tmp_path,
    )  # fmt: skip
    assert result.returncode == 128 + number and "Traceback" not in result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.endswith(f"{LINES[number]}: run the same command again to resume")
    assert len(list(tmp_path.glob("store/sample-*/*.npz"))) == 1
    assert (tmp_path / "run" / "run.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", LINES)
def test_a_signal_ends_a_process_in_one_line(number, patches, tmp_path):
    process = start(
        "unconditional", "--systems", "dummy-constant", "--profile", "smoke", "--set", "samples.count=6400",
        "--data", patches.root, "--out", tmp_path / "run", cache=tmp_path,
    )  # fmt: skip
    wait_for(lambda: list(tmp_path.glob("store/sample-*/*.npz")), process)
    process.send_signal(number)
    status, line = finish(process)
    assert status == 128 + number
    assert line.endswith(f"{LINES[number]}: run the same command again to resume")
    assert (tmp_path / "run" / "run.json").exists()


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to see a signal's handler")
@pytest.mark.parametrize(
    "command", ["benchmarks.run all --dry-run", "benchmarks.console doctor", "diffae.train smoke"]
)
def test_ctrl_c_during_the_imports_is_one_line_too(command):
    process = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    wait_for(lambda: catches(process, signal.SIGTERM) and imports_torch(process), process)
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "interrupted: run the same command again to resume")


# ----------------------------------------------------------------------------------------------
# Disks


def arguments(patches, out):
    return [
        "reconstruction", "unconditional", "--systems", "dummy-constant", "--profile", "smoke",
        "--data", patches.root, "--out", out,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("which", "size"), [("store", "450k"), ("run", "12k")])
def test_a_full_disk_is_one_line_and_the_run_goes_on(which, size, patches, tmp_path):
    out, other = tmp_path / "run", tmp_path / "other"
    other.mkdir()
    with mounted(tmp_path / which, f"size={size}"):
        status, line = finish(start(*arguments(patches, out), cache=tmp_path))
        assert status == 2
        assert line.startswith(f"error: {tmp_path / which}")  # or a folder in it
        assert ": No space left on device; make room or " in line
        assert not list(tmp_path.rglob("*.partial"))
        finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("store/*/*.npz")}
        assert finished
        subprocess.run(["mount", "-o", "remount,size=20m", str(tmp_path / which)], check=True)
        assert finish(start(*arguments(patches, out), cache=tmp_path))[0] == 0
        assert finished.items() <= {p: p.stat().st_mtime_ns for p in finished}.items()
        records = (out / "records.csv").read_bytes()
        assert not list(tmp_path.rglob("*.partial"))
    assert finish(start(*arguments(patches, tmp_path / "undisturbed"), cache=other))[0] == 0
    assert (tmp_path / "undisturbed" / "records.csv").read_bytes() == records


@pytest.mark.parametrize("which", ["store", "run"])
def test_a_read_only_folder_is_one_line(which, patches, tmp_path):
    with mounted(tmp_path / which, "ro"):
        result = command(main, *arguments(patches, tmp_path / "run"), cache=tmp_path)
    line = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 2
    assert line.startswith(f"error: {tmp_path / which}: Read-only file system; make it writable or")


# ----------------------------------------------------------------------------------------------
# What a killed process leaves behind


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes through /proc")
def test_a_run_that_is_killed_four_times_gives_the_same_bytes(tmp_path):
    """The experiment of docs/results/speed.md, with fewer kills; it fails if bytes differ or work was
    done twice.
    """
    whole, killed = interruption.compared(tmp_path, kills=4)
    assert (whole.kills, killed.kills) == (0, 4)
    assert not whole.again and not whole.partial() and not killed.partial()
