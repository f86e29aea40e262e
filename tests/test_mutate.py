"""`tests/mutate.py`: which functions count as changed, and one run of mutmut on a small tree."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "mutate.py"
SPEC = importlib.util.spec_from_file_location("mutate", SCRIPT)
mutate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutate)
OLD = """
def same(a):
    return a + 1

def other(a):
    return a + 2

class Shape:
    def area(self):
        return 3
"""
NEW = '''
def same(a):
    """A docstring and another layout are no change."""
    return (a
            + 1)

def other(a):
    return a + 3

class Shape:
    def area(self):
        return 4

def unused(a):
    return -a
'''
TESTS = """
from diffae.code import Shape, other

def test_other():
    assert other(1) == 4

def test_area_is_called():
    Shape().area()
"""


def commit(tree: Path) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "a"]):
        subprocess.run(["git", *words], cwd=tree, check=True)


@pytest.fixture
def tree(tmp_path):
    """A repository with `OLD` in its commit and `NEW` in its working tree."""
    for package in ("diffae", "probes", "benchmarks", "reports"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "tests" / "diffae").mkdir(parents=True)
    (tmp_path / "tests" / "diffae" / "test_code.py").write_text(TESTS)
    shutil.copy(SCRIPT, tmp_path / "tests")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["slow"]\n')
    (tmp_path / "diffae" / "code.py").write_text(OLD)
    commit(tmp_path)
    (tmp_path / "diffae" / "code.py").write_text(NEW)
    return tmp_path


def test_functions_with_another_body_are_what_changed(tree):
    file = "diffae/code.py"
    expected = [(file, "x_other"), (file, "xǁShapeǁarea"), (file, "x_unused")]
    assert mutate.changed_functions(tree, "HEAD") == expected


def test_a_function_in_a_new_file_has_changed(tree):
    (tree / "reports" / "new.py").write_text("def f():\n    return 1\n")
    subprocess.run(["git", "add", "-A"], cwd=tree, check=True)
    assert ("reports/new.py", "x_f") in mutate.changed_functions(tree, "HEAD")


def test_an_unknown_commit_is_an_error_of_one_line(tree):
    words = [sys.executable, "tests/mutate.py", "--changed", "nowhere"]
    done = subprocess.run(words, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nowhere" in done.stderr


@pytest.mark.slow
def test_survivors_are_shown_with_the_share(tree):
    words = [sys.executable, "tests/mutate.py", "--changed", "HEAD", "tests/diffae"]
    done = subprocess.run(words, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    report = done.stdout[done.stdout.index("\ndiffae.code.") :]
    lines = [line.split() for line in report.splitlines()]
    assert ["-", "return", "4"] in lines and ["+", "return", "5"] in lines
    assert "x_other" not in report, "its two mutants were caught"
    assert "x_unused__mutmut_1: no tests" in report
    assert report.splitlines()[-1] == "2 of 4 mutants caught"
