"""Kill a run at 25 random moments, resume it each time, and hold its numbers against a run left alone.

    python docs/results/interruption.py [--kills 25] [--seed 0] [--work DIR] [ARGUMENTS of benchmarks.run ...]

The moments are spread over the whole run: the k-th kill comes when so many chunks are finished as were drawn
for it, and a random part of a second later, so that it falls into the middle of something. Every second
launch has two processes. SIGKILL goes to all of them at once, as in a power cut. Without arguments the run is
`all --profile smoke`. Linux only.
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
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

LONGEST_PAUSE = 0.5  # seconds between the last chunk and the kill


@dataclass
class Launch:
    """One start of the command: how long it lived, how much of that before it began to work."""

    processes: int
    killed: bool = False
    seconds: float = 0.0
    startup: float = 0.0
    chunks: int = 0  # finished when it ended


@dataclass
class Run:
    """A run in folders of its own, however many launches it takes."""

    root: Path
    arguments: list[str]
    launches: list[Launch] = field(default_factory=list)
    seen: dict[Path, tuple[int, int]] = field(default_factory=dict)
    again: set[Path] = field(default_factory=set)
    leftovers: int = 0

    @property
    def records(self) -> bytes:
        return (self.root / "run" / "records.csv").read_bytes()

    def chunks(self) -> list[Path]:
        return list((self.root / "cache" / "store").glob("*/*.npz"))

    def launch(self, processes: int, moment: float | None, pause: float) -> Launch:
        """Start the command; end it `pause` seconds after `moment` chunks are finished (None: let it end)."""
        log = self.root / f"log-{len(self.launches):02}.txt"
        result = Launch(processes)
        start = time.monotonic()
        process = self._popen(processes, log)
        while process.poll() is None:
            if not result.startup and "\n== " in log.read_text():
                result.startup = time.monotonic() - start
            if moment is not None and len(self.chunks()) >= moment:
                time.sleep(pause)
                result.killed = kill(process)
                break
            time.sleep(0.02)
        result.seconds = time.monotonic() - start
        result.startup = result.startup or result.seconds
        if not result.killed and process.returncode != 0:
            sys.exit(f"{log}: ended with status {process.returncode}\n{log.read_text()[-2000:]}")
        self._look(result)
        return result

    def _popen(self, processes: int, log: Path) -> subprocess.Popen[bytes]:
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
        command = [sys.executable, "-m", *(launcher if processes > 1 else []), "benchmarks.run"]
        environment = {"DIFFAE_CACHE": str(self.root / "cache"), "OMP_NUM_THREADS": "1"}
        with open(log, "w") as file:
            return subprocess.Popen(
                [*command, *self.arguments, "--out", str(self.root / "run")],
                env=os.environ | environment,
                stdout=file,
                stderr=file,
            )

    def _look(self, launch: Launch) -> None:
        """Note which finished chunks were written anew since the last look, and what lies about."""
        now = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.chunks()}
        self.again |= {path for path, stamp in self.seen.items() if now.get(path) != stamp}
        self.leftovers += sum(1 for _ in (self.root / "cache" / "store").rglob("*.partial"))
        self.seen = now
        launch.chunks = len(now)
        self.launches.append(launch)
        print(
            f"launch {len(self.launches)}: {launch.processes} processes, {launch.seconds:.1f} s, "
            f"{launch.chunks} chunks finished, {'killed' if launch.killed else 'ended'}",
            file=sys.stderr,
        )


def kill(process: subprocess.Popen[bytes]) -> bool:
    """SIGKILL to the process and all that it started. False if it had ended already."""
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
    while any(alive(pid) for pid in family):
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def disturbed(root: Path, arguments: list[str], kills: int, seed: int, whole: Run) -> Run:
    """The same run, killed `kills` times and then left to end."""
    rng = random.Random(seed)
    run = Run(root, arguments)
    total, startup = len(whole.chunks()), whole.launches[0].startup
    for k, moment in enumerate(sorted(rng.uniform(0, total - 2) for _ in range(kills))):
        reached = len(run.chunks()) >= moment  # then the kill falls into the start, or soon after
        run.launch(1 + k % 2, moment, rng.uniform(0, 1.5 * startup if reached else LONGEST_PAUSE))
    run.launch(1, None, 0)
    return run


def table(whole: Run, killed: Run) -> str:
    rows: list[list[object]] = [["launches"], ["of these killed"], ["seconds in all"]]
    rows += [["of these before the first benchmark"], ["seconds of work"], ["chunks finished"]]
    rows += [["finished chunks computed again"], ["half-written files found after kills"]]
    rows += [["half-written files left at the end"], ["SHA-256 of records.csv"]]
    for run in (whole, killed):
        seconds = sum(launch.seconds for launch in run.launches)
        startup = sum(launch.startup for launch in run.launches)
        left = sum(1 for _ in (run.root / "cache" / "store").rglob("*.partial"))
        cells = [len(run.launches), sum(launch.killed for launch in run.launches)]
        cells += [round(seconds), round(startup), round(seconds - startup), len(run.chunks())]
        cells += [len(run.again), run.leftovers, left]
        for row, cell in zip(rows, cells, strict=False):
            row.append(cell)
        rows[-1].append(hashlib.sha256(run.records).hexdigest()[:16])
    return tabulate(rows, ["", "left alone", "killed and resumed"], "pipe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for both runs (default: a temporary one)")
    args, arguments = parser.parse_known_args()
    arguments = arguments or ["all", "--profile", "smoke"]
    root = args.work or Path(tempfile.mkdtemp(prefix="interruption-"))
    for name in ("whole", "killed"):
        (root / name).mkdir(parents=True)
    whole = Run(root / "whole", arguments)
    whole.launch(1, None, 0)
    killed = disturbed(root / "killed", arguments, args.kills, args.seed, whole)
    print(table(whole, killed))
    assert killed.records == whole.records, f"records.csv differ, see {root}"
    assert not killed.again, f"computed twice: {sorted(killed.again)}"
    if args.work is None:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
