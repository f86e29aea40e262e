"""The runner of planted faults, on a tree of three files; and the entries of this tree."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from fault_trees import copy_runner

HERE = Path(__file__).parent
MODULE = "def double(x):\n    return 2 * x\n\n\ndef idle(x):\n    return x + 0\n"
TESTS = """
import time
from module import double

def test_double():
    assert double(3) == 6

def test_is_broken():
    assert False
"""
FAULT = """
[[fault]]
name = "{name}"
file = "module.py"
old = "{old}"
new = "{new}"
tests = ["tests/test_module.py::test_double"]
"""


def load_runner():
    spec = importlib.util.spec_from_file_location("faults", HERE / "faults.py")
    sys.modules["faults"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faults = load_runner()


def entry(name="n", old="2 * x", new="3 * x", more=""):
    return FAULT.format(name=name, old=old, new=new) + more


@pytest.fixture
def tree(tmp_path):
    """A tree with a module, its tests and the runner; `write` gives it faults and runs what is left."""
    copy_runner(tmp_path)
    (tmp_path / "module.py").write_text(MODULE)
    (tmp_path / "tests" / "test_module.py").write_text(TESTS)
    (tmp_path / "tests" / "conftest.py").write_text("from module import idle as _\n")
    return tmp_path


def plant(tree, entries, *options):
    (tree / "tests" / "faults" / "area.toml").write_text(entries)
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=tree, check=True)
    command = [sys.executable, "tests/faults.py", *options]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)


@pytest.mark.slow
def test_faults_are_caught_or_told(tree):
    entries = entry("caught") + entry("not caught", "x + 0", "x + 1")
    entries += entry("raises", new="2 * y")
    entries += entry("endless", "return 2 * x", "__import__('time').sleep(99)", "hangs = true\n")
    entries += entry("endless, unasked", "return 2 * x", "__import__('time').sleep(98)")
    entries += entry("no import", "def double(x)", "def other(x)")
    entries += entry("no conftest", "def idle(x)", "def other(x)")
    entries += entry("proves nothing").replace("test_double", "test_is_broken")
    result = plant(tree, entries, "--jobs", "2", "--limit", "5")
    double = "tests/test_module.py::test_double"
    assert set(result.stdout.splitlines()) == {
        f"caught  area: caught: {double}",
        "MISSED  area: not caught: all of its tests pass",
        f"caught  area: raises: {double}",
        "caught  area: endless: time limit",
        "MISSED  area: endless, unasked: its tests did not end",
        "MISSED  area: no import: with it, tests/test_module.py cannot be collected",
        "MISSED  area: no conftest: pytest could not run its tests (status 4)",
        "WRONG   area: proves nothing: tests/test_module.py::test_is_broken fails without a fault",
        "3 of 8 faults caught",
    }
    assert result.returncode == 1
    assert (tree / "module.py").read_text() == MODULE


def test_all_caught_is_status_0(tree):
    result = plant(tree, entry("a | b"), "--only", "area")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "1 of 1 faults caught"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (entry(old="nowhere"), "old occurs 0 times in module.py, not once"),
        (entry(old="x"), "old occurs 4 times in module.py, not once"),
        (entry(new="2 * x"), "old and new are the same"),
        (entry(new="2 * * x"), "module.py is no Python with it"),
        (entry().replace('"module.py"', '"other.py"'), "there is no other.py"),
        (entry().replace("test_module", "test_other"), "there is no tests/test_other.py"),
        (entry(more="hang = true\n"), "unexpected keyword argument 'hang'"),
        (entry().replace('old = "2 * x"', ""), "missing .* 'old'"),
        (entry() + entry(), "two faults have this name"),
        ("", "no fault"),
    ],
)
def test_wrong_entries_are_refused(tree, text, reason):
    (tree / "tests" / "faults" / "area.toml").write_text(text)
    with pytest.raises(faults.WrongEntry, match=reason):
        faults.read(tree)


def test_the_entries_of_this_tree_can_be_planted():
    assert faults.read()
