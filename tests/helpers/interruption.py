"""Kill a run at 25 random moments, resume it, and compare its numbers with an uninterrupted run.

    python tests/helpers/interruption.py [--kills 25]

The moments are spread over the whole run: the k-th kill comes after a randomly drawn number of
finished chunks and a random fraction of a second, so that it interrupts work. Every second launch
has two processes. SIGKILL goes to all of them at once, as in a power cut. The run is `all --profile
smoke`. Linux only.
"""

import argparse
import hashlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from in_process import start
from tabulate import tabulate

LONGEST_PAUSE = 0.5  # seconds between the last chunk and the kill


class Run:
    """A run in folders of its own, over any number of launches."""

    def __init__(self, root: Path):
        self.root = root
        self.launches = self.kills = self.leftovers = 0
        self.seconds = self.startup = 0.0  # of these before the first benchmark
        self.seen: dict[Path, tuple[int, int]] = {}
        self.again: set[Path] = set()
        self.cache = root / "cache"
        self.cache.mkdir(parents=True)

    @property
    def records(self) -> bytes:
        return (self.root / "run" / "records.csv").read_bytes()

    def chunks(self) -> dict[Path, tuple[int, int]]:
        """The finished chunks, with what changes when one is written again."""
        found = ((path, path.stat()) for path in (self.cache / "store").glob("*/*.npz"))
        return {path: (status.st_ino, status.st_mtime_ns) for path, status in found}

    def partial(self) -> int:
        return sum(1 for _ in (self.cache / "store").rglob("*.partial"))

    def launch(self, processes: int, moment: float = float("inf"), pause: float = 0) -> None:
        """Start the command; kill it `pause` seconds after `moment` chunks are finished."""
        log, killed, began = self.root / f"log-{self.launches:02}.txt", False, 0.0
        words = ["all", "--profile", "smoke", "--out", self.root / "run"]
        beginning = time.monotonic()
        with open(log, "w") as file:
            process = start(*words, cache=self.cache, processes=processes, output=file)
        while process.poll() is None:
            if not began and "systems: " in log.read_text():  # announced before the first one
                began = time.monotonic() - beginning
            if len(self.chunks()) >= moment:
                time.sleep(pause)
                killed = kill(process)
                break
            time.sleep(0.02)
        seconds = time.monotonic() - beginning
        if not killed and process.returncode != 0:
            sys.exit(f"{log}: ended with status {process.returncode}\n{log.read_text()[-2000:]}")
        self.launches += 1
        self.kills += killed
        self.seconds += seconds
        self.startup += began or seconds
        now = self.chunks()
        self.again |= {path for path, stamp in self.seen.items() if now.get(path) != stamp}
        self.seen = now
        self.leftovers += self.partial()
        print(f"{log}: {seconds:.1f} s, {len(now)} chunks, killed: {killed}", file=sys.stderr)

    def column(self) -> dict[str, object]:
        """The column of this run in the table."""
        return {
            "launches": self.launches,
            "of these killed": self.kills,
            "seconds in all": round(self.seconds),
            "of these before the first benchmark": round(self.startup),
            "seconds of work": round(self.seconds - self.startup),
            "chunks finished": len(self.seen),
            "finished chunks computed again": len(self.again),
            "half-written files found after kills": self.leftovers,
            "half-written files left at the end": self.partial(),
            "SHA-256 of records.csv": hashlib.sha256(self.records).hexdigest()[:16],
        }


def kill(process: subprocess.Popen[str]) -> bool:
    """Send SIGKILL to the process and all of its children. Returns False if it had ended already."""
    if process.poll() is not None:
        return False
    family = [process.pid]
    for pid in family:  # grows while it is read
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            family += map(int, children.read_text().split())
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    for pid in family[1:]:
        with suppress(ProcessLookupError):
            select.select([os.pidfd_open(pid)], [], [])  # until it has ended
    return True


def compared(root: Path, kills: int) -> tuple[Run, Run]:
    """An undisturbed run, and one that was killed. Their bytes are equal, and no work was done twice."""
    whole, killed = Run(root / "whole"), Run(root / "killed")
    whole.launch(1)
    rng, total = random.Random(0), len(whole.seen)
    for k, moment in enumerate(sorted(rng.uniform(0, total - 2) for _ in range(kills))):
        reached = len(killed.seen) >= moment  # so the kill falls into the start, or soon after
        longest = 1.5 * whole.startup if reached else LONGEST_PAUSE
        killed.launch(1 + k % 2, moment, rng.uniform(0, longest))
    killed.launch(1)
    assert killed.records == whole.records, f"records.csv differ, see {root}"
    assert not killed.again, f"computed twice: {sorted(killed.again)}"
    return whole, killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=25)
    root = Path(tempfile.mkdtemp(prefix="interruption-"))  # stays if the check fails
    one, other = (run.column() for run in compared(root, parser.parse_args().kills))
    rows = [[name, cell, other[name]] for name, cell in one.items()]
    heads = ["", "undisturbed", "killed and resumed"]
    print(tabulate(rows, heads, "pipe", disable_numparse=True))
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
