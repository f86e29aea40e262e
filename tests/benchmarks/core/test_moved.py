"""What other people's packages import goes on being found, and is the very same module."""

import importlib
import subprocess
import sys

import pytest

from benchmarks.core.moved import MOVED


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_name_is_the_new_module(old, new):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(new)
    assert module.__name__ == module.__spec__.name == new


def test_a_plug_in_of_0_2_is_imported():
    lines = """
import warnings
warnings.simplefilter("ignore")
from benchmarks.base import Benchmark, Seen
from benchmarks.context import Context
from benchmarks.plan import Calls, Work, codes, network_calls
from benchmarks.store import Arrays
import benchmarks.core.base
assert Benchmark is benchmarks.core.base.Benchmark
Benchmark("b", "", "", "t", str, frozenset(), list, False, None, None, ("mse",), Seen("inception", "fid", "fd_effnet"))
"""
    subprocess.run([sys.executable, "-c", lines], check=True)


def test_a_name_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("benchmarks.nothing")
