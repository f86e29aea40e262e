"""How much faster two processes sample than one, each with one thread.

    python docs/results/scaling.py [--samples 512] [--steps 20] [--repeats 3]

The samples of the benchmark `unconditional` are drawn into an empty store, by one process and by
two in turn; the time is that between the last process's start and the last chunk. `--samples`
should be a multiple of two chunks of 64 images. Run it on an idle machine.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from measure import program, table

from benchmarks import systems
from benchmarks.core.context import Context
from benchmarks.core.profiles import PROFILES
from benchmarks.core.store import Store
from benchmarks.tasks.shared.samples import samples
from diffae.data import open_portraits
from diffae.system import distributed


def seconds(processes: int, args: argparse.Namespace) -> float:
    """One measurement: `worker` in a number of processes, with a store of its own."""
    options = ["--samples", args.samples, "--steps", args.steps]
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        return float(program(__file__, "--worker", folder, *options, processes=processes))


def worker(args: argparse.Namespace) -> None:
    distributed.init()
    with distributed.main_first():
        dataset = open_portraits(100, 32)
    profile = PROFILES["smoke"].changed_by({"data.portraits": 100})
    store, pictures = Store(args.worker / "store"), args.worker / "pictures"
    context = Context(dataset, profile, 0, torch.device("cpu"), store, pictures)
    system = systems.load("diffae")
    system.sample([0], 0, 1)  # the first call sets things up and is not timed
    context.codes.embed(torch.zeros(1, 3, 32, 32))
    distributed.barrier()
    start = time.perf_counter()
    samples(context, system, args.steps, args.samples)
    if distributed.is_main():
        print(time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args)
        return
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(args.repeats):
        for count, found in times.items():
            found.append(seconds(count, args))
            print(f"{count} processes: {found[-1]:.2f} s", file=sys.stderr)
    rows = []
    for count, found in times.items():
        median, each = statistics.median(found), ", ".join(f"{s:.2f}" for s in found)
        faster = statistics.median(times[1]) / median
        rows.append([count, each, f"{median:.2f}", f"{faster:.2f}"])
    print(f"{args.samples} samples of diffae, T = {args.steps}, one thread a process\n")
    print(table(rows, ["processes", "seconds", "median", "times as fast"]))


if __name__ == "__main__":
    main()
