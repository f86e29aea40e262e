"""Kill a run at 25 random moments, resume it, and compare its numbers with an uninterrupted run.

    python docs/results/interruption.py [--kills 25] [--seed 0] [--work DIR] [ARGUMENTS of benchmarks.run ...]

The moments are spread over the whole run: the k-th kill comes after a randomly drawn number of
finished chunks and a random fraction of a second, so that it interrupts work. Every second launch
has two processes. SIGKILL goes to all of them at once, as in a power cut. Without arguments the run
is `all --profile smoke`. Linux only.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import table

LONGEST_PAUSE = 0.5  # seconds between the last chunk and the kill


class Run:
    """A run in folders of its own, over any number of launches."""

    def __init__(self, root: Path, arguments: list[str]):
        self.root, self.arguments = root, arguments
        self.launches = self.kills = self.leftovers = 0
        self.seconds = self.startup = 0.0  # of these before the first benchmark
        self.seen: dict[Path, tuple[int, int]] = {}
        self.again: set[Path] = set()
        root.mkdir(parents=True)

    @property
    def records(self) -> bytes:
        return (self.root / "run" / "records.csv").read_bytes()

    def chunks(self) -> list[Path]:
        return list((self.root / "cache" / "store").glob("*/*.npz"))

    def partial(self) -> int:
        return sum(1 for _ in (self.root / "cache" / "store").rglob("*.partial"))

    def launch(self, processes: int, moment: float = float("inf"), pause: float = 0) -> None:
        """Start the command; kill it `pause` seconds after `moment` chunks are finished."""
        log, killed, began = self.root / f"log-{self.launches:02}.txt", False, 0.0
        start = time.monotonic()
        process = self._popen(processes, log)
        while process.poll() is None:
            if not began and "\n== " in log.read_text():
                began = time.monotonic() - start
            if len(self.chunks()) >= moment:
                time.sleep(pause)
                killed = kill(process)
                break
            time.sleep(0.02)
        seconds = time.monotonic() - start
        if not killed and process.returncode != 0:
            sys.exit(f"{log}: ended with status {process.returncode}\n{log.read_text()[-2000:]}")
        self.launches += 1
        self.kills += killed
        self.seconds += seconds
        self.startup += began or seconds
        now = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.chunks()}
        self.again |= {path for path, stamp in self.seen.items() if now.get(path) != stamp}
        self.seen = now
        self.leftovers += self.partial()
        print(f"{log}: {seconds:.1f} s, {len(now)} chunks, killed: {killed}", file=sys.stderr)

    def _popen(self, processes: int, log: Path) -> subprocess.Popen[bytes]:
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
        command = [sys.executable, "-m", *(launcher if processes > 1 else []), "benchmarks.run"]
        with open(log, "w") as file:
            return subprocess.Popen(
                [*command, *self.arguments, "--out", str(self.root / "run")],
                env=os.environ | {"DIFFAE_CACHE": str(self.root / "cache"), "OMP_NUM_THREADS": "1"},
                stdout=file,
                stderr=file,
            )

    def column(self) -> dict[str, object]:
        """The column of this run in the table."""
        return {
            "launches": self.launches,
            "of these killed": self.kills,
            "seconds in all": round(self.seconds),
            "of these before the first benchmark": round(self.startup),
            "seconds of work": round(self.seconds - self.startup),
            "chunks finished": len(self.chunks()),
            "finished chunks computed again": len(self.again),
            "half-written files found after kills": self.leftovers,
            "half-written files left at the end": self.partial(),
            "SHA-256 of records.csv": hashlib.sha256(self.records).hexdigest()[:16],
        }


def kill(process: subprocess.Popen[bytes]) -> bool:
    """Send SIGKILL to the process and all of its children. Returns False if it had ended already."""
    if process.poll() is not None:
        return False
    family = [process.pid]
    for pid in family:  # grows while it is read
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            family += map(int, children.read_text().split())
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    while any(map(alive, family)):
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for both runs (default: a temporary one)")
    args, arguments = parser.parse_known_args()
    arguments = arguments or ["all", "--profile", "smoke"]
    root = args.work or Path(tempfile.mkdtemp(prefix="interruption-"))
    whole, killed = (Run(root / name, arguments) for name in ("whole", "killed"))
    whole.launch(1)
    rng, total = random.Random(args.seed), len(whole.chunks())
    for k, moment in enumerate(sorted(rng.uniform(0, total - 2) for _ in range(args.kills))):
        reached = len(killed.chunks()) >= moment  # so the kill falls into the start, or soon after
        killed.launch(
            1 + k % 2, moment, rng.uniform(0, 1.5 * whole.startup if reached else LONGEST_PAUSE)
        )
    killed.launch(1)
    one, other = whole.column(), killed.column()
    rows = [[name, cell, other[name]] for name, cell in one.items()]
    print(table(rows, ["", "undisturbed", "killed and resumed"]))
    assert killed.records == whole.records, f"records.csv differ, see {root}"
    assert not killed.again, f"computed twice: {sorted(killed.again)}"
    if args.work is None:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
