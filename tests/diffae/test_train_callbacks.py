"""A training with all callbacks, killed and resumed, equals one without callbacks."""

import subprocess
import sys
import time

import in_process
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

WATCHED = ["--tensorboard", "--sheet-every", "400", "--evaluate-every", "400"]


def start(out, cache, *flags) -> subprocess.Popen:
    command = [sys.executable, "-m", "diffae.train", "smoke", "--out", str(out), *flags]
    return subprocess.Popen(
        command, env=in_process.environment(cache), stderr=subprocess.PIPE, text=True
    )


def ended(process) -> str:
    errors = process.communicate(timeout=1800)[1]
    assert process.returncode == 0, errors
    return errors


@pytest.mark.slow
def test_a_watched_training_is_killed_and_goes_on(tmp_path):
    cache, plain, out = tmp_path / "cache", tmp_path / "plain", tmp_path / "out"
    ended(start(plain, cache, "--sheet-every", "0"))
    process, first = start(out, cache, *WATCHED), out / "evaluations/image/000000000416"
    while not first.exists() and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    measured = (first / "run.json").stat().st_mtime_ns
    ended(start(out, cache, *WATCHED))
    ended(start(out, cache, *WATCHED))  # there is nothing left to do

    a, b = (load_file(folder / "model.safetensors") for folder in (plain, out))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    for stage, batch, steps in (("encoder", 32, 24), ("image", 32, 24), ("latent", 512, 16)):
        curve = EventAccumulator(str(out / "logs" / stage), {"scalars": 0}).Reload()
        seen = [event.step for event in curve.Scalars("loss")]
        assert seen == [batch * step for step in range(1, steps + 1)]
    assert sorted(p.name for p in (out / "sheets/image").iterdir()) == [
        "000000000416.png",
        "000000000768.png",
    ]
    assert sorted(p.name for p in (out / "evaluations/image").iterdir()) == [
        "000000000416",
        "000000000768",
    ]
    assert (first / "run.json").stat().st_mtime_ns == measured
    assert not (plain / "sheets").exists() and not (plain / "logs").exists()
