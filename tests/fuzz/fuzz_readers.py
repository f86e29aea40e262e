"""Fuzz the readers: every file is read or refused with a `UserError`, and nothing else happens.

    python tests/fuzz/fuzz_readers.py attributes --minutes 10

The targets are the names of `seeds.py`, and `systems` (outputs of a plug-in). Hypothesis makes the
inputs: whole files, and the same damaged. Another exception, a call that takes more than `SECONDS`
or one that takes more than `MEMORY` ends the run with the smallest such input.
`test_fuzz_readers.py` runs a few fixed ones of each.
"""

import argparse
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import plug_in_outputs
import torch
from damage import Files, damaged
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from readers import READERS
from seeds import SEEDS

from diffae.model import DDIM
from diffae.system.errors import UserError
from diffae.train.presets import PRESETS

SECONDS, MEMORY = 10, 1 << 30  # of one call: CPU time, and bytes beyond what is mapped at the start
ROUND = 200  # inputs, after which the clock is looked at


@dataclass(frozen=True)
class Target:
    """A reader under test: its inputs, and a call that raises UserError or returns something valid."""

    inputs: st.SearchStrategy
    read: Callable[[Path, object], None]


def write(folder: Path, files: Files) -> None:
    """The files, and no others, into `folder`. A file that is mapped is not written over."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def of_files(name: str) -> Target:
    def read(folder: Path, files: Files) -> None:
        write(folder, files)
        READERS[name](folder)

    return Target(st.deferred(lambda: damaged(SEEDS[name]())), read)


TARGETS = {name: of_files(name) for name in SEEDS}
TARGETS["systems"] = Target(plug_in_outputs.stranger(), plug_in_outputs.measure)


# ----------------------------------------------------------------------------------------------
# Running


def attempt(target: Target, folder: Path, content: object) -> str:
    """Read one input: "read" or "refused". Everything else raises, a call that takes too long too."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"took more than {SECONDS} s of CPU time")

    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        target.read(folder, content)
        return "read"
    except UserError as error:
        assert str(error)
        return "refused"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def limit_memory() -> None:
    """Make an allocation of more than MEMORY beyond what is mapped now a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def fuzz(target: Target, examples: int, start: int, derandomize: bool = False) -> Counter[str]:
    """Try `examples` inputs and count the outcomes. Raises what a reader raised, on its smallest input."""
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=derandomize,
            phases=[Phase.generate, Phase.target, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def run(content: object) -> None:
            outcomes[attempt(target, Path(folder), content)] += 1

        (run if derandomize else seed(start)(run))()
    return outcomes


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--minutes", type=float, default=10, help="for each target (default: 10)")
    args = parser.parse_args(arguments)
    with torch.device("meta"):
        DDIM(PRESETS["portraits-ddim"].model)  # what torch imports on first use counts for no call
    limit_memory()
    for name in TARGETS if args.target == "all" else [args.target]:
        fuzz_for(name, args.minutes)


def fuzz_for(name: str, minutes: float) -> None:
    """Fuzz one target for so many minutes and print what came of it."""
    end, outcomes, start = time.monotonic() + 60 * minutes, Counter(), 0
    while time.monotonic() < end:
        outcomes += fuzz(TARGETS[name], ROUND, start)
        start += 1
        print(f"{name}: {dict(outcomes)}, {time.process_time():.0f} s", file=sys.stderr)
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{name}: {outcomes.total():,} inputs in {minutes:g} minutes: {counts}, 0 failures")


if __name__ == "__main__":
    main()
