"""Several processes under torchrun: they end together, and report an error once.

That they give the same bytes as one process is tested in test_run.py.
"""

import os
import signal
import time
from pathlib import Path

import pytest
from in_process import start

from diffae.networks import bfloat16
from diffae.system.files import lock_folder

pytestmark = pytest.mark.slow


def sampling(patches, tmp_path, processes):
    return start(
        "unconditional", "--systems", "ddim", "--profile", "smoke", "--set", "samples.count=640",
        "--data", patches.root, "--out", tmp_path / "run", cache=tmp_path, processes=processes,
    )  # fmt: skip


def workers(process):
    """The process ids of the launcher's children by their rank."""
    ids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = {}
    for pid in map(int, ids):
        pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
        found[dict(pair.partition("=")[::2] for pair in pairs)["RANK"]] = pid
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def chunks(tmp_path):
    return {path: path.stat().st_mtime_ns for path in tmp_path.glob("store/sample-*/*.npz")}


def wait_for(condition, seconds=3600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_folder_in_use_ends_all_processes_in_one_line(patches, tmp_path):
    (tmp_path / "run").mkdir()
    with lock_folder(tmp_path / "run", "running"):
        _, errors = sampling(patches, tmp_path, 2).communicate(timeout=3600)
    ours = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert ours == [f"error: {tmp_path / 'run'}: another process is running in this folder"]


def by_one_and_by_two(tmp_path, statuses, *arguments):
    """Records and messages of the same run by one process and by two."""
    found = []
    for processes, status in enumerate(statuses, start=1):
        out, cache = tmp_path / f"run-{processes}", tmp_path / f"cache-{processes}"
        cache.mkdir()
        words = (*arguments, "--profile", "smoke", "--out", out)
        process = start(*words, cache=cache, processes=processes)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == status, errors
        found.append(((out / "records.csv").read_bytes(), errors))
    return found


def test_a_fit_that_cannot_be_made_leaves_processes_in_step(tmp_path):
    words = ("probes", "--set", "probes.valid=1")
    (alone, _), (together, _) = by_one_and_by_two(tmp_path, (2, 1), *words)
    assert b"no attribute has both classes in the validation split" in alone
    assert alone == together


@pytest.mark.skipif(not bfloat16.support("cpu")[0], reason="no bfloat16 here")
def test_processes_agree_on_what_bfloat16_breaks(patches, tmp_path):
    """timm's features move further than is tolerated; the others are measured, by one process and
    by two alike.
    """
    words = ("reconstruction", "--systems", "ddim,timm", "--precision", "bfloat16")
    found = by_one_and_by_two(tmp_path, (2, 1), *words, "--data", patches.root)
    (alone, _), (together, _) = found
    for _, errors in found:
        assert errors.count("system 'timm', bfloat16: deviates from float32") == 2
    assert b"bfloat16: deviates from float32" in alone
    assert b"use --precision float32" in alone and b"DDIM" in alone
    assert alone == together


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes through /proc")
@pytest.mark.parametrize("victim", ["0", "1", "launcher", "terminated"])
def test_a_process_that_dies_ends_the_run_and_it_goes_on(victim, patches, tmp_path):
    process = sampling(patches, tmp_path, 2)
    wait_for(lambda: chunks(tmp_path) or process.poll() is not None)
    ranks = workers(process)
    assert sorted(ranks) == ["0", "1"]
    if victim == "terminated":
        process.terminate()
    else:
        os.kill(ranks.get(victim, process.pid), signal.SIGKILL)
    _, errors = process.communicate(timeout=3600)
    assert process.returncode != 0
    wait_for(lambda: not any(alive(pid) for pid in ranks.values()))
    line = "the launcher has ended" if victim == "launcher" else "terminated"
    assert errors.count(f"{line}: run the same") + errors.count(f"{line}; run the same") >= 1
    assert errors.count("terminated: run the same command again to resume") <= 1
    assert errors.count("data: ") == 1  # only the first process announces

    finished = chunks(tmp_path)
    assert 0 < len(finished) < 10
    process = sampling(patches, tmp_path, 1)
    _, errors = process.communicate(timeout=3600)
    assert process.returncode == 0, errors
    assert finished.items() <= chunks(tmp_path).items()
    assert not list(tmp_path.rglob("*.partial"))
