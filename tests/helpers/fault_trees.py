"""Small repositories in which faults are planted."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

TESTS = Path(__file__).parents[1]


def copy_runner(tree: Path) -> None:
    """Give a tree `python tests/faults.py`."""
    (tree / "tests" / "faults").mkdir(parents=True)
    shutil.copy(TESTS / "faults.py", tree / "tests" / "faults.py")
    shutil.copytree(TESTS / "helpers" / "planting", tree / "tests" / "helpers" / "planting")


def write(tree: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)


def commit(tree: Path, files: Mapping[str, str]) -> None:
    """Make a repository of a tree, with these files too."""
    write(tree, files)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "a"]):
        subprocess.run(["git", *words], cwd=tree, check=True)
