"""Small evaluations of a training by the harness, every so often: DIR/evaluations/STAGE/IMAGES is a run folder each.

The moving average of the weights is exported and measured by `python -m benchmarks.run` in a process of its own, which this package
knows by name only. What happens to that process does not happen to the training, which waits for it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from diffae import distributed
from diffae.cli import say
from diffae.errors import UserError
from diffae.train.elsewhere import EVALUATION_OPTIONS
from diffae.train.stages import LATENT
from diffae.train.types import TrainingStatus, View, Watch
from diffae.train.watch.base import is_due
from diffae.trained_on import NOTE

COMMAND = "benchmarks.run"
SAMPLED = ("unconditional", "memorisation")  # of the tasks, what the latent DDIM decides
CHECKPOINT, RUN, PARTIAL = "checkpoint", "run", "partial-"
NAP = 0.1  # seconds between two looks at the process
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE")  # of torchrun: the process stands alone


@dataclass(frozen=True)
class Measuring:
    """What is measured: benchmarks by name, of a system, on the data of `flags` (--data, --profile and so on)."""

    tasks: tuple[str, ...]
    system: str
    flags: tuple[str, ...]

    def of(self, stage: str) -> tuple[str, ...]:
        """The benchmarks that a stage changes: the latent DDIM changes nothing but samples."""
        return tuple(t for t in self.tasks if t in SAMPLED) if stage == LATENT else self.tasks

    def arguments(self, tasks: Sequence[str], checkpoint: Path, out: Path) -> list[str]:
        given = ["--systems", self.system, "--ckpt", f"{self.system}={checkpoint}"]
        return [*tasks, *given, *self.flags, "--out", str(out)]

    def check(self) -> None:
        """Raises UserError where the command would refuse its arguments."""
        parse = resolve_name(EVALUATION_OPTIONS)
        try:
            parse(self.arguments(self.tasks, Path(CHECKPOINT), Path(RUN)), None)
        except UserError as error:
            raise UserError(f"--evaluate: {error}") from None


class Evaluations(Watch):
    """Measures what `View.export` writes, after every so many images (`every`, by stage) and at the end of a stage.

    `note` is the record of the training, so that images which it has seen are known to the harness. Raises UserError if
    `measuring` cannot be.
    """

    def __init__(self, folder: Path, note: Path, every: Mapping[str, int], measuring: Measuring):
        self._folder, self._note, self._every, self._measuring = folder, note, every, measuring
        measuring.check()

    def begins(self, training: TrainingStatus, view: View, stop: Callable[[], int]) -> None:
        self._training, self._view, self._stop = training, view, stop
        self._look()

    def step(self, loss: float) -> None:
        self._look()

    def _look(self) -> None:
        export, stage, training = self._view.export, self._view.stage, self._training
        tasks = self._measuring.of(stage)
        if export is None or not tasks or not is_due(training, self._every[stage]):
            return
        place = self._folder / stage / f"{training.seen:012}"
        if distributed.is_main() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            for killed in place.parent.glob(f"{PARTIAL}*"):
                shutil.rmtree(killed, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=place.parent) as partial:
                self._export(export, Path(partial) / CHECKPOINT)
                self._measure(Path(partial), tasks, place)
        distributed.barrier()

    def _export(self, export: Callable[[Path], None], folder: Path) -> None:
        with self._training.averaged():
            export(folder)
        shutil.copyfile(self._note, folder / NOTE)

    def _measure(self, partial: Path, tasks: Sequence[str], place: Path) -> None:
        """Run the command, and keep its folder in `place` where it came to its end."""
        log, out = partial / "log.txt", partial / RUN
        status = self._run(self._measuring.arguments(tasks, partial / CHECKPOINT, out), log)
        if self._stop():
            return
        if _complete(out / "run.json"):
            os.replace(out, place)
        if status:
            kept = place.with_suffix(".log")
            shutil.copyfile(log, kept)
            lines = log.read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), f"status {status}")
            say(
                f"evaluation after {self._training.seen:,} images: {last.strip()} (see {kept}); the training goes on"
            )

    def _run(self, arguments: Sequence[str], log: Path) -> int:
        """The exit status of the command. A signal that ends the training ends it first."""
        environment = {name: text for name, text in os.environ.items() if name not in LAUNCHER}
        environment["PYTHONUNBUFFERED"] = "1"  # so that the log has its lines in order
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            try:
                while process.poll() is None and not self._stop():
                    time.sleep(NAP)
            finally:
                process.kill()
            return process.wait()


def _complete(path: Path) -> bool:
    """Whether a run.json is of a run that came to its end."""
    try:
        return json.loads(path.read_text())["complete"] is True
    except (OSError, ValueError, KeyError):
        return False
