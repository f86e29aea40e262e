"""Fuzz the readers: every file is read or refused with a `UserError`, and nothing else happens.

    python -m pytest tests/fuzz                                  the same sixty inputs for each reader
    FUZZ_INPUTS=20000 python -m pytest tests/fuzz -k attributes  so many others, each time

Hypothesis makes the inputs: the whole files of `seeds.py`, and the same damaged. Another exception
or a call that takes too long fails with the smallest such input; so does a call that takes too much
memory, which is looked for only with FUZZ_INPUTS.
"""

import os
import resource
import signal
from collections import Counter
from pathlib import Path

import pytest
import torch
from damage import Files, damaged
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from readers import READERS
from seeds import SEEDS

from diffae.model import DDIM
from diffae.system.errors import UserError
from diffae.train.presets import PRESETS

INPUTS = os.environ.get("FUZZ_INPUTS")
SECONDS, MEMORY = 10, 1 << 30  # of one call: CPU time, and bytes beyond what is mapped at the start


@pytest.fixture(scope="module")
def little_memory():
    """With FUZZ_INPUTS, an allocation of more than MEMORY beyond what is mapped now is a MemoryError."""
    with torch.device("meta"):
        DDIM(PRESETS["portraits-ddim"].model)  # what torch imports on first use counts for no call
    before = resource.getrlimit(resource.RLIMIT_AS)
    if INPUTS:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def little_time(monkeypatch):
    """Raise a TimeoutError in a call of more than SECONDS, each of which starts the timer anew."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"took more than {SECONDS} s of CPU time")

    before = signal.signal(signal.SIGPROF, too_long)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def write(folder: Path, files: Files) -> None:
    """The files, and no others, into `folder`. A file that is mapped is not written over."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", SEEDS)
def test_a_reader_reads_or_refuses(name, little_memory, little_time, tmp_path):
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=int(INPUTS or 60),
        derandomize=not INPUTS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.target, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.deferred(lambda: damaged(SEEDS[name]())))
    def run(files: Files) -> None:
        write(tmp_path, files)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            READERS[name](tmp_path)
            outcomes["read"] += 1
        except UserError as error:
            assert str(error)
            outcomes["refused"] += 1

    run()
    assert outcomes["read"] >= 2 and outcomes["refused"] >= 2, outcomes
    print(name, dict(outcomes))
