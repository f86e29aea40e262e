"""Every tutorial as a reader types it: in an empty folder, with the code of the page, and nothing else.

Code is saved under the last name that the text before it gives, and commands run one after another. What the page shows as
`text` is in their output. Only the block that installs is left out. The fast test takes smaller sizes: SMALL is all that it
changes.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import forked
import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("tutorial-*.md"))
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PROGRAMS = r"(diffae-bench|python|cat|cp|export|git|mkdir|sed) "
SMALL = {
    "10_000": "640",
    "range(1_000)": "range(20)",
    '"quick"': '"smoke", steps=[2], limit=4',
    '["reconstruction", "probes"]': '"reconstruction"',
    "reconstruction,probes": "reconstruction",
    "--steps 10 --set reconstruction.images=100": "--steps 2 --profile smoke --limit 4",
    "--limit 100": "--limit 20 --profile smoke",
    "diffae --dry-run": "random-encoder --dry-run",
    "edits.pairs=8 --set edits.calibration=8": "edits.pairs=2 --set edits.classifier=60",
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
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a page's blocks in order, each changed by `changes`."""
    forked.import_all()
    example = ModuleType("my_vae")  # as if an earlier test had imported the example of that name
    example.__file__ = str(ROOT / "examples" / "system_plugin" / "my_vae" / "__init__.py")
    monkeypatch.setitem(sys.modules, "my_vae", example)
    folder, cache, output = tmp_path / "empty", tmp_path / "cache", tmp_path / "output"
    drawn = Path(os.environ["DIFFAE_CACHE"]) / "data"  # portraits of earlier tests
    for path in (folder / "photographs", cache, drawn):
        path.mkdir(parents=True, exist_ok=True)
    (cache / "data").symlink_to(drawn)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 50, 3), np.uint8)
    for i in range(len(pixels)):  # the reader's own folder
        Image.fromarray(pixels[i]).save(folder / "photographs" / f"{i}.png")
    environ = {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environ["DIFFAE_CACHE"] = str(cache)

    def run(page: Path, changes: dict[str, str]) -> None:
        for name, content in blocks(page):
            for old, new in changes.items():
                content = content.replace(old, new)
            if name == "text":
                printed = output.read_text()
                assert changes or all(line in printed for line in content.splitlines()), printed
            elif name:
                (folder / name).write_text(content)
            else:
                for line in content.replace("\\\n", "").splitlines():
                    assert status_of(line.strip()) == 0, f"{line}\n{output.read_text()}"

    def status_of(line: str) -> int:
        command, _, otherwise = line.partition(" || ")
        words = shlex.split(command, comments=True)
        if not words or words[0] not in ("python", "diffae-bench"):
            return forked.shell(line, folder, environ, output)
        status = forked.run(words, folder, environ, output)
        return forked.shell(f"(exit {status}) || {otherwise or 'false'}", folder, environ, output)

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_run_in_an_empty_folder(page, typed):
    typed(page, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_they_run_as_they_stand_and_print_what_the_page_says(page, typed):
    typed(page, {})


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
