"""Helpers of the scripts of results: measurements in turn, programs in processes, runs, and tables."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

Call = Callable[[], object]
BENCHMARKS = "reconstruction probes identity interpolation latent fewshot unconditional variation denoising memorisation"


def in_turn(
    calls: Mapping[str, Call], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each call in each round, one call after the other; a first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if number:
                times[name].append(clock() - start)
    return times


def ratio(slow: Sequence[float], fast: Sequence[float]) -> str:
    """The speed-up: the median over rounds of the ratio in a round, and its quartiles."""
    low, middle, high = statistics.quantiles([a / b for a, b in zip(slow, fast, strict=True)])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def program(*words: object, **variables: str) -> str:
    """The output of a Python program that runs with one thread."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def run_quick(settings: str, seed: int, out: Path) -> None:
    """A run of the packaged checkpoint with profile `quick` and these settings, in this process."""
    from benchmarks.run import main

    given = [f"--set={setting}" for setting in settings.split()]
    how = ["--systems", "diffae", "--profile", "quick", "--seed", str(seed), "--out", str(out)]
    main([*BENCHMARKS.split(), *how, *given])


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """A Markdown table of unchanged cells."""
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)
