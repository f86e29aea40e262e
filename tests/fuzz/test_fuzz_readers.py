"""The short version of `fuzz_readers.py`: the same inputs for each reader, every time."""

import pytest
from fuzz_readers import TARGETS, fuzz


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_reads_or_refuses(name):
    outcomes = fuzz(TARGETS[name], 60, start=0, derandomize=True)
    assert outcomes["read"] >= 2 and outcomes["refused"] >= 2, outcomes
