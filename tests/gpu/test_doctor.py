"""`doctor --gpu` on a pretend GPU, with a tiny model (tests/helpers/gpu_doctor.py)."""

import re

import pytest

from benchmarks.runtime.choices import PRECISIONS

pytestmark = pytest.mark.slow

ENDING = {"sound": ("memory: all", 0), "faulty": ("memory: 3", 1)}


@pytest.fixture(scope="module", params=ENDING)
def block(request, on_gpu, tmp_path_factory):
    """The kind of GPU, and verdict and figure of each check by its name."""
    ended = on_gpu("gpu_doctor", request.param, tmp_path_factory.mktemp("tiny"))
    memory, status = ENDING[request.param]
    start, *header, end, last = ended.stdout.splitlines()
    assert ended.returncode == status, ended.stderr
    assert (start, end, last) == ("```", "```", memory)
    assert header[0].startswith(
        "doctor --gpu: cuda: Pretend GPU, capability 9.0, 80.0 GiB, driver "
    )
    assert header[1].startswith("torch 2.13") and header[2].startswith("diffae-bench ")
    checks = (re.fullmatch(r"([a-z ]{12})  ([^:]+): (.+)", line) for line in header[3:])
    return request.param, {check[2]: (check[1].strip(), check[3]) for check in checks}


def test_every_check_has_its_verdict(block):
    kind, checks = block
    sound = kind == "sound"
    held, half = ("pass", "pass") if sound else ("fail", "not measured")
    expected = {"encode and decode, float32": held, "encode and decode, tf32": held}
    expected |= {"encode and decode, bfloat16": half, "out of memory": held}
    expected |= {"train, float32": held, "train, bfloat16": half, "train, float16": held}
    expected |= {"Frechet distance, float64": "pass"}
    expected |= {"encode and decode twice": held, "train twice": "seen"}
    expected["train twice, deterministic algorithms"] = held
    for what in ("encode", "decode step", "training step"):
        verdicts = {name: "seen" if sound or name != "bfloat16" else half for name in PRECISIONS}
        expected |= {f"tiny, {what}, {name}": verdict for name, verdict in verdicts.items()}
    expected["tiny, training step, float32, deterministic algorithms"] = "seen"
    assert {name: verdict for name, (verdict, _) in checks.items()} == expected


def test_figures_say_what_was_found(block):
    kind, checks = block
    memory, twice = checks["out of memory"][1], checks["train twice"][1]
    timed = checks["tiny, training step, float32"][1]
    assert "weights apart by" in twice
    if kind == "sound":
        assert memory.startswith("8 images in parts of 4: samples by ")
        assert re.fullmatch(r"2: [\d.,]+ images/s, [\d.]+ TFLOP/s", timed)
    else:
        assert "raised OutOfMemoryError" in memory and timed.endswith("; 4: memory refused")
