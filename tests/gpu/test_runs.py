"""Commands on a GPU do what they do on the CPU."""

import json

import in_process
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import run as benchmarks_run
from diffae.images import __main__ as images_command

pytestmark = pytest.mark.slow
NUMBERS = ["value", "stderr", "ci_low", "ci_high"]
MEASURED = ["cost"]  # times and memory, which no two runs have the same
SETTINGS = ("--profile", "smoke", "--limit", 4)
# Of features of pictures of 8 bits: a value at the edge of two of them is rounded to either.
ROUNDED = ("fd_", "kd_", "rfd_", "rkd_", "ppl_")


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory):
    """The records of `run all` on four images on the CPU."""
    cache = tmp_path_factory.mktemp("cpu")
    words = ("all", "--device", "cpu", *SETTINGS, "--out", cache / "run")
    ended = in_process.command(benchmarks_run.main, *words, cache=cache)
    assert ended.returncode == 0, ended.stderr
    return records(cache / "run")


def records(folder):
    found = pd.read_csv(folder / "records.csv")
    return found[~found.benchmark.isin(MEASURED)].reset_index(drop=True)


def agree(found, expected, closely=1e-5):
    """The same rows, whose protocols are of another device, and numbers that agree."""
    words = [name for name in expected if name not in (*NUMBERS, "protocol", "note")]
    pd.testing.assert_frame_equal(found[words], expected[words])
    rounded = expected.metric.str.startswith(ROUNDED)
    values = (table.loc[~rounded, "value"] for table in (found, expected))
    np.testing.assert_allclose(*values, rtol=closely, atol=closely)
    loosely = 100 * closely
    np.testing.assert_allclose(found[NUMBERS], expected[NUMBERS], rtol=loosely, atol=loosely)


def test_all_benchmarks(on_gpu, gpu_is_real, on_cpu, tmp_path):
    out = tmp_path / "run"
    ended = on_gpu("benchmarks.run", "all", "--device", "cuda", *SETTINGS, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((out / "run.json").read_text())["complete"] is True
    agree(records(out), on_cpu, 1e-3 if gpu_is_real else 1e-5)  # a real one rounds otherwise


def test_a_run_halves_its_batches_where_memory_runs_out(on_pretended_gpu, on_cpu, tmp_path):
    room = ("--counts", tmp_path / "counts", "--room", 2, "--error", "cublas")
    words = ("reconstruction", "--device", "cuda", *SETTINGS, "--fresh", "--batch-size", "auto")
    ended = on_pretended_gpu(*room, "benchmarks.run", *words, "--out", tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    kinds = [row["kind"] for row in json.loads((tmp_path / "counts").read_text())]
    assert "memory error" in kinds
    expected = on_cpu[on_cpu.benchmark == "reconstruction"].reset_index(drop=True)
    agree(records(tmp_path / "run"), expected)


def test_pictures(on_gpu, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(
        tmp_path / "a.png"
    )
    words = ("reconstruct", tmp_path / "a.png", "--steps", 2)
    ended = on_gpu("diffae.images", *words, "--device", "cuda", "--out", tmp_path / "gpu")
    assert ended.returncode == 0, ended.stderr
    words += ("--device", "cpu", "--out", tmp_path / "cpu")
    assert in_process.command(images_command.main, *words, cache=tmp_path).returncode == 0
    pictures = [np.array(Image.open(tmp_path / name / "a.png"), int) for name in ("gpu", "cpu")]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_a_training(on_gpu, tmp_path):
    sizes = ("image.samples=64", "latent.samples=512", "encoder=none")
    flags = [word for size in sizes for word in ("--set", size)]
    words = ("smoke", "--device", "cuda", "--precision", "bfloat16", "--recompute", *flags)
    ended = on_gpu("diffae.train", *words, "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("precision", "loss", "norm", "distance"),
    [("float16", 3e-4, 1e-3, 0.05), ("bfloat16", 1e-3, 1e-2, 0.15)],
)
def test_half_precision_trains_as_float32(
    precision, loss, norm, distance, on_gpu, gpu_is_real, tmp_path
):
    """With recomputation, in micro-batches, and once with a pause between two of its steps."""
    ended = on_gpu("gpu_training", precision, tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    losses, norms, scales = np.array(found["at once"]).T
    expected = np.array(found["float32"]).T
    np.testing.assert_allclose(losses, expected[0], rtol=loss)
    np.testing.assert_allclose(norms, expected[1], rtol=norm)
    assert found["skipped"] == 0 and found["distance"] < distance
    grown = [2.0**power for power in (16, 16, 17, 17, 17, 18, 18, 18)]
    assert scales.tolist() == (grown if precision == "float16" else [1.0] * 8)
    if gpu_is_real:  # whose sums need not repeat to the bit
        np.testing.assert_allclose(found["paused"], found["at once"], rtol=norm)
    else:
        assert found["paused"] == found["at once"] and found["same weights"]
