"""Small evaluations of a training by the harness, at intervals.

Each DIR/evaluations/STAGE/IMAGES is a run folder, whose headlines are points of the curves. The moving average of the weights is exported and
measured in a process of its own by the command of the entry point `diffae.harness` (`python -m
benchmarks.run`). A failure of that process does not affect the training, which waits for it.
"""

import csv
import io
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import torch

from diffae.checkpoints.trained_on import NOTE
from diffae.system.cli import say
from diffae.system.errors import UserError, naming
from diffae.system.files import read_json, read_text
from diffae.system.whole import copy_whole, put, scratch_folder, sweep
from diffae.train.callbacks.curves import Curves
from diffae.train.callbacks.sheets import Periodic
from diffae.train.stages import LATENT

HARNESS = "diffae.harness"  # the group of the entry point `run`
SAMPLED = ("unconditional", "memorisation")  # the tasks that the latent DDIM affects
CHECKPOINT, RUN = "checkpoint", "run"
NAP = 0.1  # seconds between two looks at the process
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE")  # torchrun's, which the command must not see


def harness() -> EntryPoint:
    """The command that measures: its module, which has a function that reads its words."""
    found = entry_points(group=HARNESS, name="run")
    if not found:
        raise UserError("the harness is not installed: install this package again")
    return found["run"]


class Evaluations(Periodic):
    """Measures what `Stage.export` writes, every `every` images (by stage) and at the end of a stage.

    It runs the benchmarks `tasks` of `system`, on the data of `flags` (--data and so on). `note` is
    the record of the training, so that the harness knows which images it has seen. `curves` get the
    headlines. Raises UserError if the command would refuse its arguments.
    """

    def __init__(
        self,
        folder: Path,
        note: Path,
        every: Mapping[str, int],
        tasks: Sequence[str],
        system: str,
        flags: Sequence[str],
        curves: Sequence[Curves] = (),
    ):
        super().__init__(folder, every)
        self._curves = curves
        self._note, self._tasks, self._system, self._flags = note, tasks, system, flags
        with naming("--evaluate"):
            harness().load()(self._arguments(tasks, Path()), None)

    def _arguments(self, tasks: Sequence[str], folder: Path) -> list[str]:
        """The words of the command that measures the checkpoint in `folder` and writes beside it."""
        given = ["--systems", self._system, "--ckpt", f"{self._system}={folder / CHECKPOINT}"]
        return [*tasks, *given, *self._flags, "--out", str(folder / RUN)]

    def _make(self, path: Path) -> None:
        """Run the command on the averaged model, and keep its folder in `path` if it was completed."""
        # The latent DDIM changes only samples.
        of_latent = self._stage.name == LATENT
        tasks = [task for task in self._tasks if task in SAMPLED or not of_latent]
        if self._stage.export is None or not tasks:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent.iterdir())
        with scratch_folder(path) as partial:
            log = partial / "log.txt"
            self._export(partial / CHECKPOINT)
            torch.cuda.empty_cache()  # the process may be on the same GPU; without one: nothing
            status = self._run(self._arguments(tasks, partial), log)
            if self._stop():
                return
            if _complete(partial / RUN / "run.json"):
                put(partial / RUN, path)
                values = headlines(path)
                for curves in self._curves:
                    curves.scalars(self._training.seen, values)
            if status:
                kept = path.with_suffix(".log")
                copy_whole(log, kept)
                lines = log.read_text(errors="replace").strip().splitlines()
                last = lines[-1] if lines else f"status {status}"
                when = f"evaluation after {self._training.seen:,} images"
                say(f"{when}: {last.strip()} (see {kept}); the training continues")

    def _export(self, folder: Path) -> None:
        assert self._stage.export is not None
        with self._training.averaged():
            self._stage.export(folder)
        copy_whole(self._note, folder / NOTE)

    def _run(self, arguments: Sequence[str], log: Path) -> int:
        """The exit status of the command. A signal that ends the training ends it first."""
        environment = {name: text for name, text in os.environ.items() if name not in LAUNCHER}
        environment["PYTHONUNBUFFERED"] = "1"  # so that the log has its lines in order
        with open(log, "wb") as file:
            command = [sys.executable, "-m", harness().module, *arguments]
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
            process = subprocess.Popen(command, stdout=file, env=environment, **streams)
            try:
                while process.poll() is None and not self._stop():
                    time.sleep(NAP)
            finally:
                process.kill()
            return process.wait()


def headlines(run: Path) -> dict[str, float]:
    """The numbers of the system in the overview of a run, which not every benchmark has."""
    table, values = run / "tables" / "overview.csv", {}
    if not table.is_file():
        return {}
    for row in csv.DictReader(io.StringIO(read_text(table))):
        if row["value"] and row["reference"] != "True":
            metric = " ".join(filter(None, (row["metric"], row["setting"], row["steps"])))
            values[f"{row['benchmark']}/{metric}"] = float(row["value"])
    return values


def _complete(path: Path) -> bool:
    """Whether a run.json is of a completed run."""
    try:
        return read_json(path).get("complete") is True
    except UserError:
        return False
