"""The numbers of a training over images seen, for TensorBoard and Weights & Biases.

A point is written every few steps, at the same ones in every run of a preset, and is the mean of
the steps since the last point. A resumed run averages only the steps that it has taken itself.
"""

import math
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from diffae.system.errors import UserError, needed
from diffae.system.files import read_text
from diffae.system.whole import write_whole
from diffae.train.trainer import Callback, Training, learning_rate
from diffae.train.types import Stage

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

POINTS = 500  # of a stage, at least, if it has so many steps
MOST_STEPS = 100  # between two points
SHEET = "sheet"


class Curves(Callback):
    """Curves of loss, learning rate, gradient norm before clipping, images per second, skipped steps.

    Subclasses write them, in `scalars` and `picture`.
    """

    _training: Training
    _stage = ""
    _every = 1  # steps
    _before = 0  # images of the stages before

    def begins(self, training: Training, stage: Stage, stop: Callable[[], int]) -> None:
        self._training, self._stage = training, stage.name
        self._every = max(1, min(MOST_STEPS, training.schedule.steps // POINTS))
        self._forget(training)

    def step(self, loss: float) -> None:
        training = self._training
        self._steps.append({"loss": loss, "gradient norm": training.norm})
        if training.step % self._every == 0 or training.step == training.schedule.steps:
            self.scalars(training.seen, self._values(training))
            self._forget(training)

    def scalars(self, seen: int, values: Mapping[str, float]) -> None:
        """Write a point after that many images of the stage."""
        raise NotImplementedError

    def picture(self, path: Path) -> None:
        """Write a sheet."""
        raise NotImplementedError

    def ends(self) -> None:
        self._before += self._training.seen

    def _forget(self, training: Training) -> None:
        self._steps: list[dict[str, float]] = []
        self._last = training.seen, training.seconds

    def _values(self, training: Training) -> dict[str, float]:
        """The values of a point.

        Non-finite ones are left out of the means, and a mean of none is left out.
        """
        seen, seconds = self._last
        values = {
            "learning rate": learning_rate(training.schedule, training.step - 1),
            "images per second": (training.seen - seen) / max(training.seconds - seconds, 1e-9),
            "skipped steps": training.skipped,
        }
        for name in ("loss", "gradient norm"):
            if finite := [step[name] for step in self._steps if math.isfinite(step[name])]:
                values[name] = float(np.mean(finite))
        return values


class TensorBoard(Curves):
    """Event files in a folder for each stage, which TensorBoard shows as separate runs.

    Points that another run has written beyond the start of this one are marked as void
    (`purge_step`).
    """

    def __init__(self, folder: Path):
        package = needed("torch.utils.tensorboard", "--tensorboard", "watch")
        self._summary: type[SummaryWriter] = package.SummaryWriter
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def begins(self, training: Training, stage: Stage, stop: Callable[[], int]) -> None:
        super().begins(training, stage, stop)
        self.close()
        self._begun = training.seen

    def scalars(self, seen: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._open().add_scalar(name, value, seen)

    def picture(self, path: Path) -> None:
        with Image.open(path) as image:
            pixels = np.asarray(image)
        self._open().add_image(SHEET, pixels, self._training.seen, dataformats="HWC")

    def saves(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _open(self) -> "SummaryWriter":
        """The stage's file; a stage that ended before this run began gets none."""
        if self._writer is None:
            place = str(self._folder / self._stage)
            self._writer = self._summary(place, purge_step=self._begun + 1)
        return self._writer


class WeightsAndBiases(Curves):
    """One run of a project, which a resumed training continues.

    Points that it has already are not logged twice.

    `config` describes the training. With WANDB_MODE=offline it is kept in `folder`, for `wandb
    sync`.
    """

    def __init__(self, project: str, folder: Path, name: str, config: Mapping[str, Any]):
        self._wandb = needed("wandb", "--wandb", "wandb")
        self._project, self._folder, self._name, self._config = project, folder, name, config
        self._run: Any = None

    def begins(self, training: Training, stage: Stage, stop: Callable[[], int]) -> None:
        """Begin a stage. Raises UserError if the service refuses."""
        super().begins(training, stage, stop)
        if self._run is None:
            self._run = self._open()
        self._run.define_metric(f"{self._stage}/images", hidden=True)
        self._run.define_metric(f"{self._stage}/*", step_metric=f"{self._stage}/images")

    def scalars(self, seen: int, values: Mapping[str, Any]) -> None:
        points = {"images": seen, **values}
        named = {f"{self._stage}/{name}": value for name, value in points.items()}
        self._run.log(named, step=self._before + seen)  # it takes no step that is below the last

    def picture(self, path: Path) -> None:
        self.scalars(self._training.seen, {SHEET: self._wandb.Image(str(path))})

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()

    def _open(self) -> Any:
        self._folder.mkdir(parents=True, exist_ok=True)
        same = {"id": _kept_id(self._folder / "wandb-id"), "resume": "allow"}
        about = {"dir": self._folder, "name": self._name, "config": dict(self._config)}
        try:
            return self._wandb.init(project=self._project, **about, **same)
        except self._wandb.errors.Error as error:
            said = " ".join(str(error).split())
            raise UserError(f"--wandb {self._project}: {said}") from None


def _kept_id(path: Path) -> str:
    """The run's id at the service, the same whenever the training is resumed in its folder."""
    if not path.is_file():
        write_whole(path, secrets.token_hex(8).encode())
    return read_text(path).strip()
