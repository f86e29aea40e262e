"""Released files at full size: memory and time of loading."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from official_files import network, state_dict, write_lightning

STATUS = Path("/proc/self/status")
# The peak of this process alone: what getrusage says of a child begins with the peak of its parent.
MEASURE = """
import sys, time
from diffae import DDIM, DiffusionAutoencoder
import diffae.networks.unet
def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) * 1024
before = peak()
start = time.perf_counter()
model = globals()[sys.argv[1]].from_pretrained(sys.argv[2])
seconds = time.perf_counter() - start
weights = sum(t.nbytes for t in model.state_dict().values())
print(weights, peak() - before, seconds)
"""


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    "configuration, size, model",
    [
        ("ffhq128_autoenc_130M", 128, "DiffusionAutoencoder"),
        ("ffhq128_autoenc_latent", 128, "DiffusionAutoencoder"),
        ("celeba64d2c_autoenc_latent", 64, "DiffusionAutoencoder"),
        ("ffhq128_ddpm_130M", 128, "DDIM"),
    ],
)
def test_full_size_files_load_in_little_more_than_their_ema_weights(
    configuration, size, model, tmp_path
):
    """Raw copy, EMA copy and Adam's two moments, as a released file has them (about 2 GB)."""
    state = state_dict(configuration, size, complete=True)
    moments = {
        i: {"step": 1, "exp_avg": torch.zeros_like(t), "exp_avg_sq": torch.zeros_like(t)}
        for i, t in enumerate(network(configuration).values())
    }
    path = write_lightning(tmp_path / "last.ckpt", state, optimizer_states=[{"state": moments}])
    del state, moments
    command = [sys.executable, "-c", MEASURE, model, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    weights, peak, seconds = map(float, result.stdout.split())
    print(
        f"{configuration}: file {path.stat().st_size / 1e9:.2f} GB, weights {weights / 1e9:.2f} GB, "
        f"peak {peak / weights:.2f} of them, {seconds:.1f} s"
    )
    shutil.rmtree(tmp_path)
    assert 0.9 * weights < peak < 1.4 * weights
