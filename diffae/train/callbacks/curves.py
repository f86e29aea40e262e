"""The numbers of a training over images seen, for TensorBoard and Weights & Biases.

A point is written every few steps, at the same steps in every run of a preset, and is the mean over
the steps since the point before it. A resumed run averages only over its own steps.
"""

import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from diffae.system.errors import UserError, needed
from diffae.system.files import Json, read_text
from diffae.system.whole import write_whole
from diffae.train.step import Training, learning_rate
from diffae.train.trainer import TrainingCallback
from diffae.train.types import Stage

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

POINTS = 500  # of a stage, at least, if it has so many steps
MOST_STEPS = 100  # between two points
SHEET = "sheet"


class Curves(TrainingCallback):
    """Curves of loss, learning rate, gradient norm before clipping, images per second, skipped steps.

    They are event files of TensorBoard, in a folder for each stage. Points that an earlier run has
    written beyond the start of this run are marked as void (`purge_step`).
    """

    _training: Training
    _writer: "SummaryWriter"

    def __init__(self, folder: Path, flag: str = "--tensorboard"):
        self._package = needed("torch.utils.tensorboard", flag, "watch")
        self._folder = folder

    def begins(self, training: Training, stage: Stage) -> None:
        self._training = training
        self._every = max(1, min(MOST_STEPS, training.schedule.steps // POINTS))
        place = str(self._folder / stage.name)
        self._writer = self._package.SummaryWriter(place, purge_step=training.seen + 1)
        self._forget()

    def step(self, loss: float) -> None:
        training = self._training
        self._losses.append(loss)
        self._norms.append(training.norm)
        if training.step % self._every == 0 or training.step == training.schedule.steps:
            self.scalars(self._values())
            self._forget()

    def scalars(self, values: Mapping[str, float]) -> None:
        """Write values at the images that the stage has seen."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, self._training.seen)

    def picture(self, path: Path) -> None:
        """Write a sheet."""
        with Image.open(path) as image:
            pixels = np.asarray(image)
        self._writer.add_image(SHEET, pixels, self._training.seen, dataformats="HWC")

    def saves(self) -> None:
        self._writer.flush()

    def ends(self) -> None:
        self._writer.close()

    def _forget(self) -> None:
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._last = self._training.seen, self._training.seconds

    def _values(self) -> dict[str, float]:
        """The values of a point; a mean of no finite numbers is left out."""
        training, (seen, seconds) = self._training, self._last
        values = {
            "learning rate": learning_rate(training.schedule, training.step - 1),
            "images per second": (training.seen - seen) / max(training.seconds - seconds, 1e-9),
            "skipped steps": training.skipped,
            "loss": _finite_mean(self._losses),
            "gradient norm": _finite_mean(self._norms),
        }
        return {name: value for name, value in values.items() if not math.isnan(value)}


def _finite_mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


class WeightsAndBiases(Curves):
    """The same, sent to a run of a project of Weights & Biases, which a resumed training continues.

    `config` describes the training. With WANDB_MODE=offline the run is kept in `folder`, for `wandb
    sync`.
    """

    def __init__(self, folder: Path, project: str, name: str, config: Mapping[str, Json]):
        super().__init__(folder, "--wandb")
        self._wandb = needed("wandb", "--wandb", "wandb")
        self._project, self._about = project, {"name": name, "config": dict(config)}
        self._run: Any = None

    def begins(self, training: Training, stage: Stage) -> None:
        """Begin a stage. Raises UserError if the service refuses."""
        if self._run is None:
            self._run = self._open()
        super().begins(training, stage)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()
            self._wandb.tensorboard.unpatch()

    def _open(self) -> Any:
        self._folder.mkdir(parents=True, exist_ok=True)
        identity = self._folder / "wandb-id"
        if not identity.is_file():
            write_whole(identity, secrets.token_hex(8).encode())
        self._wandb.tensorboard.patch(root_logdir=str(self._folder))
        run = {"id": read_text(identity).strip(), "resume": "allow", "dir": self._folder}
        try:
            return self._wandb.init(project=self._project, **run, **self._about)
        except self._wandb.errors.Error as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--wandb {self._project}: {reason}") from None
