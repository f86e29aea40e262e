"""The numbers of a training over images seen, for TensorBoard.

A point is written every few steps, at the same steps in every run of a preset, and is the mean over
the steps since the point before it. A resumed run averages only over its own steps.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from diffae.system.errors import needed
from diffae.train.step import Training, learning_rate
from diffae.train.trainer import TrainingCallback
from diffae.train.types import Stage

POINTS = 500  # of a stage, at least, if it has so many steps
MOST_STEPS = 100  # between two points


class Curves(TrainingCallback):
    """Curves of loss, learning rate, gradient norm before clipping, images per second, skipped steps.

    They are event files of TensorBoard, in a folder for each stage. Points that an earlier run has
    written beyond the start of this run are marked as void (`purge_step`).
    """

    def __init__(self, folder: Path):
        self._package = needed("torch.utils.tensorboard", "--tensorboard", "watch")
        self._folder = folder

    def begins(self, training: Training, stage: Stage) -> None:
        self._training = training
        self._every = max(1, min(MOST_STEPS, training.schedule.steps // POINTS))
        place = str(self._folder / stage.name)
        self._writer = self._package.SummaryWriter(place, purge_step=training.seen + 1)
        self._forget()

    def step(self, loss: float) -> None:
        training = self._training
        for values, value in ((self._losses, loss), (self._norms, training.norm)):
            if math.isfinite(value):
                values.append(value)
        if training.step % self._every == 0 or training.step == training.schedule.steps:
            self.scalars(self._values())
            self._forget()

    def scalars(self, values: Mapping[str, float]) -> None:
        """Write values at the images that the stage has seen, to the disk at once."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, self._training.seen)
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
        }
        if self._losses:
            values["loss"] = float(np.mean(self._losses))
        if self._norms:
            values["gradient norm"] = float(np.mean(self._norms))
        return values
