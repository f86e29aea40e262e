"""docs/ci.md: its workflow is valid, its inputs are the action's, and its example works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text()
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def fenced(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)


def test_the_files_are_yaml_and_the_workflow_gives_inputs_that_there_are():
    workflow, *_ = [yaml.safe_load(text) for text in fenced("yaml")]
    _, gate = workflow["jobs"]["gate"]["steps"]
    assert gate["with"].keys() <= ACTION["inputs"].keys()


def test_the_table_has_every_input():
    rows = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.M)
    assert set(rows) == ACTION["inputs"].keys()


@pytest.mark.slow
def test_the_ten_minutes_end_as_the_page_says(tmp_path):
    """Its commands unchanged, in bash, with the code of the page: a baseline, a regression, and the
    code restored.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "diffae-bench"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m benchmarks.console "$@"\n')
    command.chmod(0o755)
    folder = tmp_path / "gated"
    folder.mkdir()
    (folder / "blur.py").write_text(fenced("python")[0])
    environ = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DIFFAE_CACHE": str(tmp_path / "cache"),
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "user.name",
        "GIT_CONFIG_VALUE_0": "x",
        "GIT_CONFIG_KEY_1": "user.email",
        "GIT_CONFIG_VALUE_1": "x@localhost",
    }

    def shell(text: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", "-e", "-c", text], cwd=folder, env=environ, capture_output=True, text=True
        )

    part = PAGE.split("## From nothing")[1].split("\n## ")[0]
    first, second = re.findall(r"(?:^    .*\n)+", re.sub(r"```.*?```", "", part, flags=re.S), re.M)
    result = shell(first)
    assert result.returncode == 0, result.stderr
    code = (folder / "blur.py").read_text()
    (folder / "blur.py").write_text(code.replace('"bicubic"', '"nearest"'))
    result = shell(second)
    assert result.returncode == 1, result.stderr
    assert "# Regression gate: 6 worse" in result.stdout
    assert "Blur: SSIM of reconstruction fell from 0.783 to 0.733" in result.stdout
    result = shell("git checkout -q blur.py\n" + second.replace("worse", "again"))
    assert result.returncode == 0 and "Regression gate: passed" in result.stdout, result.stderr
