"""The short version of `fuzz_readers.py`: the same inputs for each reader, every time."""

import pytest
from fuzz_readers import TARGETS, fuzz


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_reads_or_refuses(name):
    inputs = 200 if name == "vqvae2" else 100  # few of its files are whole
    outcomes = fuzz(TARGETS[name], inputs, start=0, derandomize=True)
    assert outcomes["read"] >= 5 and outcomes["refused"] >= 5, outcomes
