"""Small evaluations of a training by the harness, at intervals.

Each DIR/evaluations/STAGE/IMAGES is a run folder, whose headlines are points of the curves. The
moving average of the weights is exported and measured by the command of the entry point
`diffae.harness` (`python -m benchmarks.run`) in a process of its own, for which the training waits.
A failure of that process does not end the training.
"""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import torch

from diffae.checkpoints.trained_on import NOTE
from diffae.system.cli import say
from diffae.system.errors import naming
from diffae.system.files import read_json, read_text
from diffae.system.whole import scratch_folder, sweep
from diffae.train.callbacks.curves import Curves
from diffae.train.callbacks.sheets import Periodic
from diffae.train.stages import LATENT

HARNESS = "diffae.harness"  # the group of the entry point `run`
SAMPLED = ("unconditional", "memorisation")  # the tasks that the latent DDIM affects
CHECKPOINT, RUN = "checkpoint", "run"
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE")  # torchrun's, which the command must not get


def harness() -> EntryPoint:
    """The command that measures: an entry point to the function that parses its arguments."""
    return entry_points(group=HARNESS)["run"]


@dataclass
class Evaluations(Periodic):
    """Measures the checkpoint that `Stage.export` writes, at intervals and at the end of a stage.

    It runs the benchmarks `tasks` of `system`, on the data of `flags` (--data and so on). `note` is
    the record of the training, which tells the harness the training images. The headlines are also
    given to `curves`. Raises UserError if the command would refuse its arguments.
    """

    note: Path
    tasks: Sequence[str]
    system: str
    flags: Sequence[str]
    curves: Curves | None = None

    def __post_init__(self) -> None:
        with naming("--evaluate"):
            harness().load()(self._arguments(self.tasks, Path()), None)

    def _arguments(self, tasks: Sequence[str], folder: Path) -> list[str]:
        """The arguments of the command that measures the checkpoint in `folder` and writes beside it."""
        system = ["--systems", self.system, "--ckpt", f"{self.system}={folder / CHECKPOINT}"]
        return [*tasks, *system, *self.flags, "--out", str(folder / RUN)]

    def _make(self, path: Path) -> None:
        """Run the command on the averaged model, and keep its folder as `path` if it is complete."""
        # The latent DDIM changes only samples.
        is_latent = self._stage.name == LATENT
        tasks = [task for task in self.tasks if task in SAMPLED or not is_latent]
        if self._stage.export is None or not tasks:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent.iterdir())
        with scratch_folder(path) as partial:
            with self._training.averaged():
                self._stage.export(partial / CHECKPOINT)
            shutil.copyfile(self.note, partial / CHECKPOINT / NOTE)
            torch.cuda.empty_cache()  # the process may be on the same GPU; without one: nothing
            failure = measure(self._arguments(tasks, partial))
            if failure is not None:
                say(f"evaluation after {self._training.seen:,} images: {failure}")
            record = partial / RUN / "run.json"
            if record.is_file() and read_json(record).get("complete"):
                (partial / RUN).rename(path)
                if self.curves is not None:
                    self.curves.scalars(headlines(path))


def measure(arguments: Sequence[str]) -> str | None:
    """Run the command, and return the last line of its errors if it fails."""
    command = [sys.executable, "-m", harness().module, *arguments]
    environment = {name: text for name, text in os.environ.items() if name not in LAUNCHER}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return (done.stderr.strip() or "failed").splitlines()[-1] if done.returncode else None


def headlines(run: Path) -> dict[str, float]:
    """The numbers of the system in the overview of a run, which not every benchmark has."""
    table = run / "tables" / "overview.csv"
    if not table.is_file():
        return {}
    values = {}
    for row in csv.DictReader(read_text(table).splitlines()):
        if row["value"] and row["reference"] != "True":
            metric = " ".join(filter(None, (row["metric"], row["setting"], row["steps"])))
            values[f"{row['benchmark']}/{metric}"] = float(row["value"])
    return values
