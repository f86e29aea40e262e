"""Every tutorial as a reader types it: in an empty folder, with the code of the page, and nothing else.

Code is saved under the last name that the text before it gives, and blocks of commands run in bash. What the page shows as
`text` is in the output. pip and `weights`, which fetch, are left out. The fast test takes smaller sizes: SMALL is all that it
changes.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("tutorial-*.md"))
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PROGRAMS = r"(diffae-bench|python|cat|git|sed) "
SMALL = {
    "10_000": "640",
    "range(1_000)": "range(20)",
    '"quick"': '"smoke"',
    "--steps 10 --set reconstruction.images=100": "--steps 2 --profile smoke",
    "--limit 100": "--limit 20 --profile smoke",
    "diffae --dry-run": "pixels-pca --dry-run",
}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Each block as (name of the file, code), ("", commands) or ("text", what is printed)."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$|((?:^    [^\n]*\n)+)", text, re.M | re.S):
        language, content = block[1], block[2] or block[3]
        if language == "python":
            yield re.findall(r"`(\w+\.py)`", text[: block.start()])[-1], content
        elif language == "text":
            yield "text", content
        elif re.match(PROGRAMS, content.lstrip()) and "-m venv" not in content:
            yield "", content


@pytest.fixture
def typed(tmp_path: Path):
    """Run a page's blocks in order, each changed by `changes`: what its commands printed."""
    folder, programs = tmp_path / "empty", tmp_path / "bin"
    for path in (folder / "photographs", programs, tmp_path / "cache"):
        path.mkdir(parents=True)
    # portraits that earlier tests drew
    data = Path(os.environ["DIFFAE_CACHE"]) / "data"
    data.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / "data").symlink_to(data)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 50, 3), np.uint8)
    for i in range(40):  # the folder of the reader's
        Image.fromarray(pixels[i]).save(folder / "photographs" / f"{i}.png")
    for name, words in (("python", ""), ("diffae-bench", " -P -m benchmarks.console")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable}{words} "$@"\n')
        (programs / name).chmod(0o755)
    author = {f"GIT_{who}_{what}": "x@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "DIFFAE_CACHE": str(tmp_path / "cache")}

    def run(page: Path, changes: dict[str, str]) -> str:
        printed = ""
        for name, content in blocks(page):
            for old, new in changes.items():
                content = content.replace(old, new)
            if name == "text":
                assert changes or all(line in printed for line in content.splitlines()), printed
            elif name:
                (folder / name).write_text(content)
            else:
                shell = ["bash", "-e", "-c", content]
                ended = subprocess.run(shell, cwd=folder, env=os.environ | author | environ, capture_output=True, text=True)
                assert ended.returncode == 0, f"{content}\n{ended.stdout}\n{ended.stderr}"
                printed += ended.stdout
        return printed

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_run_in_an_empty_folder(page, typed):
    assert typed(page, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_they_run_as_they_stand_and_print_what_the_page_says(page, typed):
    assert typed(page, {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_is_short(page):
    assert len(page.read_text(encoding="utf-8").split()) <= 900


def test_the_workflow_gives_inputs_that_the_action_has_and_the_page_names_all():
    text = (ROOT / "docs" / "tutorial-ci.md").read_text(encoding="utf-8")
    workflow, _ = map(yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S))
    *_, gate = workflow["jobs"]["gate"]["steps"]
    assert gate["with"].keys() <= ACTION["inputs"].keys()
    named = set(re.findall(r"`([\w-]+)(?:: [^`]*)?`", text)) | gate["with"].keys()
    assert named >= ACTION["inputs"].keys()
