"""Settings of glibc's allocator: freed memory is kept until it is released explicitly."""

import subprocess
import sys

import pytest

from diffae.system.allocation import _glibc

CODE = """
import sys
from pathlib import Path
from diffae.system.allocation import give_back, keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

if sys.argv[1] == "keep":
    keep_freed_memory()
before = resident()
pieces = [bytearray(b"x") * (8 << 20) for _ in range(16)]  # 128 MiB in all, each as large as a layer's output
held = resident() - before
del pieces
freed = resident() - before
give_back()
print(held, freed, resident() - before)
"""


@pytest.mark.skipif(_glibc() is None, reason="glibc alone")
def test_freed_memory_is_kept_and_given_back():
    def measured(how: str) -> list[int]:
        result = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True)
        return [int(word) for word in result.stdout.split()]

    held, freed, given_back = measured("keep")
    assert held > 120 and freed > 120 and given_back < 20
    held, freed, _ = measured("as it is")
    assert held > 120 and freed < 20
