"""docs/training.md: its first commands, in order, with the training killed once."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_process import environment
from safetensors.torch import load_file

from reports.records.record import read_records

ROOT = Path(__file__).parents[1]
# What makes it minutes instead of half an hour on one core: examples of training, and images of every benchmark.
TRAINING = [
    "--set", "image.samples=320", "--set", "encoder.samples=320", "--set", "latent.samples=1024"
]  # fmt: skip
SHORTER = {"diffae.train": TRAINING, "benchmarks.run": ["--profile", "smoke"]}


def commands() -> list[list[str]]:
    """The words of each command in the page's first block, with the script's path in this tree."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    block = re.search(r"(?:^    .*\n)+", page, re.M)
    assert block
    lines = [shlex.split(line, comments=True) for line in block[0].splitlines()]
    return [
        [str(ROOT / word) if word.startswith("docs/") else word for word in words]
        for words in lines
    ]


def module_of(words: list[str]) -> str:
    return words[words.index("-m") + 1] if "-m" in words else ""


def started(words: list[str], place: Path, more: list[str]) -> subprocess.Popen[str]:
    assert words[0] == "python"
    return subprocess.Popen(
        [sys.executable, *words[1:], *more],
        cwd=place,
        env=environment(place / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate()
    assert process.returncode == 0, (process.args, err[-2000:])
    return out


@pytest.mark.slow
def test_five_hundred_photographs_by_the_page(tmp_path):
    killed = False
    for words in commands():
        more = SHORTER.get(module_of(words), [])
        training = module_of(words) == "diffae.train" and "--dry-run" not in words
        if training:
            process = started(words, tmp_path, more)
            while not (tmp_path / "runs/mine/training-encoder.safetensors").exists():
                assert process.poll() is None, process.communicate()[1][-2000:]
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
            process.communicate()
            assert not (tmp_path / "runs/mine/model.safetensors").exists()
        ended(started(words, tmp_path, more))
    assert killed
    note = json.loads((tmp_path / "runs/mine/training.json").read_text())
    assert note["trained_on"]["count"] == 500
    assert note["stages"]["image"]["examples"] == note["settings"]["image"]["samples"] == 320
    assert load_file(tmp_path / "runs/mine/model.safetensors")
    (run,) = [path for path in (tmp_path / "runs").iterdir() if (path / "records.csv").exists()]
    found = read_records(run / "records.csv")
    assert {r.dataset for r in found} == {"photographs"}
    assert {"DiffAE", "pixels + PCA"} <= {r.system for r in found if r.metric == "ssim" and r.value}
    assert not any("trained on" in r.note for r in found), "the test photographs are held out"
    assert {"back", "new"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "back" / "sheet.png").exists() and (tmp_path / "new" / "sheet.png").exists()
