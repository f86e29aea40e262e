"""Pre-emption: the effect of SIGTERM on a training, and the job script that requeues itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_preset import pictures

from diffae.train import state

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples/slurm/train.sbatch"
TINY = [sys.executable, str(ROOT / "tests/helpers/train_tiny.py")]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
LONG = ["--set", "image.samples=40000"]  # some ten thousand steps: it is ended long before
# Imitations of Slurm's commands on one node: srun runs its command here, and scancel sends SIGTERM, as Slurm's does.
SLURM = {
    "srun": '"$@" & echo $! > "$STEP"; trap "kill -KILL $!" TERM; wait $!',
    "scancel": 'echo scancel "$@" >> "$CALLS"; kill -TERM "$(cat "$STEP")"',
    "scontrol": 'if [ "$1" = show ]; then echo localhost; else echo scontrol "$@" >> "$CALLS"; fi',
}
# The tiny preset in place of those of the table.
TRAINING = (
    'while [ "$1" != diffae.train ]; do shift; done; shift; '
    f'exec {" ".join(TORCHRUN)} "$TRAIN_TINY" "$@"'
)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
PRE_EMPTED = "scancel --signal=TERM 7\nscontrol requeue 7\n"


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for i, pixels in enumerate(pictures(20)):
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def job(tmp_path):
    """The environment of a job in which `torchrun` is a script."""

    def of(torchrun):
        programs = tmp_path / "programs"
        programs.mkdir()
        for name, text in {**SLURM, "torchrun": torchrun}.items():
            (programs / name).write_text(f"#!/bin/bash\n{text}\n")
            (programs / name).chmod(0o755)
        told = {"SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "localhost"}
        places = {"CALLS": str(tmp_path / "calls"), "STEP": str(tmp_path / "step")}
        path = f"{programs}:{os.environ['PATH']}"
        return ENVIRONMENT | told | places | {"PATH": path, "TRAIN_TINY": TINY[1]}

    return of


RUNS = 'until [ -s "$STEP" ]; do sleep 0.02; done; kill -USR1 $JOB; while :; do sleep 0.02; done'
SAVES = "trap 'sleep 0.3; echo saved >> \"$CALLS\"; exit 1' TERM; "


@pytest.mark.parametrize(
    ("training", "status", "calls"),
    [
        (SAVES + RUNS, 1, PRE_EMPTED.replace("scontrol", "saved\nscontrol")),
        ("trap 'exit 0' TERM; " + RUNS, 0, PRE_EMPTED.partition("scontrol")[0]),
        (RUNS.replace("USR1", "TERM").partition("while :;")[0], -signal.SIGTERM, ""),
        ("exit 1", 1, ""),
        ("exit 0", 0, ""),
    ],
    ids=["saves", "had ended", "is cancelled", "fails", "ends"],
)
def test_a_job_is_queued_again_when_its_time_is_over(training, status, calls, job, tmp_path):
    """Not if it fails, nor if it was about to end anyway; and not before all processes have saved."""
    (tmp_path / "calls").touch()
    command = f'export JOB=$$; exec bash "{SCRIPT}" tiny --out "a folder"'
    found = subprocess.run(["bash", "-c", command], env=job(training), timeout=60)
    assert found.returncode == status
    assert (tmp_path / "calls").read_text() == calls


def terminated(program, out, environment, number=signal.SIGTERM) -> subprocess.CompletedProcess:
    """`program`, sent a signal when it has saved a state."""
    process = subprocess.Popen(
        program, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (out / "training-image.safetensors").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(program, process.returncode, stderr=errors)


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "status"), [([], 143), (TORCHRUN, 1)])
def test_a_training_that_is_terminated_saves_and_ends_with_143(launcher, status, data, tmp_path):
    """By itself; torchrun ends with 1, whatever its processes ended with."""
    out = tmp_path / "out"
    program = [*(launcher or TINY[:1]), TINY[1], str(data), str(out)]
    found = terminated([*program, *LONG], out, ENVIRONMENT)
    assert found.returncode == status, found.stderr
    assert found.stderr.count("terminated: run the same command again to resume\n") == 1
    reached = state.step_on_disk(out / "training-image.safetensors")
    assert 0 < reached < 10_000
    assert not (out / "model.safetensors").exists()


@pytest.mark.slow
def test_a_job_that_is_pre_empted_is_queued_again_and_goes_on(data, job, tmp_path):
    environment = job(TRAINING)
    out, calls = tmp_path / "out", tmp_path / "calls"
    program = ["bash", str(SCRIPT), str(data), str(out), "--set", "image.samples=400"]
    found = terminated(program, out, environment, signal.SIGUSR1)
    assert found.returncode != 0
    assert calls.read_text() == PRE_EMPTED, found.stderr
    assert 0 < state.step_on_disk(out / "training-image.safetensors") < 100
    again = subprocess.run(program, env=environment, stderr=subprocess.PIPE, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert calls.read_text() == PRE_EMPTED
    whole = tmp_path / "whole"
    alone = [*TINY, str(data), str(whole), "--set", "image.samples=400"]
    subprocess.run(alone, env=environment, check=True, capture_output=True, timeout=300)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (out, whole))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=2e-3, atol=2e-4)
