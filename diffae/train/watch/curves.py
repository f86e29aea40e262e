"""The numbers of a training over images seen, for TensorBoard and Weights & Biases.

A point is drawn every few steps, the same ones in every run of a preset, and is the mean of the steps since the last (of those
that a run that goes on has taken itself).
"""

import importlib
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from diffae.errors import UserError
from diffae.files import read_text, write_whole
from diffae.train.trainer import learning_rate
from diffae.train.types import TrainingStatus, View, Watch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

POINTS = 500  # of a stage, at least, if it has so many steps
MOST_STEPS = 100  # between two points
SHEET = "sheet"


class Writer(Protocol):
    """Where numbers and pictures of one stage after the other go, by the images that it has seen."""

    def begins(self, stage: str, seen: int, before: int) -> None:
        """`stage` goes on after `seen` of its images; the stages before it saw `before`."""

    def scalars(self, seen: int, values: Mapping[str, float]) -> None: ...

    def picture(self, seen: int, path: Path) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Curves(Watch):
    """Loss, learning rate, norm of the gradient before it is clipped, images a second of the steps, and steps not taken."""

    def __init__(self, writers: Sequence[Writer]):
        self._writers = writers
        self._before = 0
        self._every = 1  # steps
        self._training: TrainingStatus | None = None
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._last = (0, 0.0)  # images and seconds at the last point

    def begins(self, training: TrainingStatus, view: View, stop: Callable[[], int]) -> None:
        self._training = training
        self._every = max(1, min(MOST_STEPS, training.schedule.steps // POINTS))
        self._forget(training)
        for writer in self._writers:
            writer.begins(view.stage, training.seen, self._before)

    def step(self, loss: float) -> None:
        training = self._of()
        self._losses.append(loss)
        self._norms.append(training.norm)
        if training.step % self._every == 0 or training.step == training.schedule.steps:
            values = self._values(training)
            for writer in self._writers:
                writer.scalars(training.seen, values)
            self._forget(training)

    def picture(self, path: Path) -> None:
        """A sheet was drawn."""
        for writer in self._writers:
            writer.picture(self._of().seen, path)

    def saves(self) -> None:
        for writer in self._writers:
            writer.flush()

    def ends(self) -> None:
        self._before += self._of().seen

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def _of(self) -> TrainingStatus:
        assert self._training is not None
        return self._training

    def _forget(self, training: TrainingStatus) -> None:
        self._losses, self._norms = [], []
        self._last = training.seen, training.seconds

    def _values(self, training: TrainingStatus) -> dict[str, float]:
        """A point; what is not finite is in no mean, and left out where nothing is."""
        means = {"loss": self._losses, "gradient norm": self._norms}
        finite = {name: [v for v in values if math.isfinite(v)] for name, values in means.items()}
        seen, seconds = self._last
        return {
            **{name: float(np.mean(values)) for name, values in finite.items() if values},
            "learning rate": learning_rate(training.schedule, training.step - 1),
            "images per second": (training.seen - seen) / max(training.seconds - seconds, 1e-9),
            "skipped steps": training.skipped,
        }


class TensorBoard:
    """Event files in a folder for each stage, which TensorBoard shows as runs of their own.

    What another run has written beyond where this one goes on is marked as void (`purge_step`).
    """

    def __init__(self, folder: Path):
        self._summary: type[SummaryWriter] = needed(
            "torch.utils.tensorboard", "--tensorboard", "'diffae-bench[watch]'"
        ).SummaryWriter
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._stage, self._begun = "", 0

    def begins(self, stage: str, seen: int, before: int) -> None:
        self.close()
        self._stage, self._begun = stage, seen

    def scalars(self, seen: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._open().add_scalar(name, value, seen)

    def picture(self, seen: int, path: Path) -> None:
        with Image.open(path) as image:
            self._open().add_image(SHEET, np.asarray(image), seen, dataformats="HWC")

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _open(self) -> "SummaryWriter":
        """The stage's file; a stage that was over before this run began gets none."""
        if self._writer is None:
            place = str(self._folder / self._stage)
            self._writer = self._summary(place, purge_step=self._begun + 1)
        return self._writer


class WeightsAndBiases:
    """One run of a project, which a training that goes on takes up again; what it has already is not logged twice.

    `config` is what the training is. With WANDB_MODE=offline it is kept in `folder`, for `wandb sync`.
    """

    def __init__(self, project: str, folder: Path, name: str, config: Mapping[str, Any]):
        self._wandb = needed("wandb", "--wandb", "wandb")
        self._project, self._folder, self._name, self._config = project, folder, name, config
        self._stage, self._before = "", 0
        self._run: Any = None

    def begins(self, stage: str, seen: int, before: int) -> None:
        """Raises UserError where the service refuses."""
        if self._run is None:
            self._run = self._open()
        self._stage, self._before = stage, before
        self._run.define_metric(self._key("images"), hidden=True)
        self._run.define_metric(self._key("*"), step_metric=self._key("images"))

    def scalars(self, seen: int, values: Mapping[str, float]) -> None:
        self._log(seen, values)

    def picture(self, seen: int, path: Path) -> None:
        self._log(seen, {SHEET: self._wandb.Image(str(path))})

    def flush(self) -> None:
        """It sends what it has by itself."""

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()

    def _open(self) -> Any:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._wandb.init(
                project=self._project,
                dir=self._folder,
                id=_kept_id(self._folder / "wandb-id"),
                name=self._name,
                config=dict(self._config),
                resume="allow",
            )
        except self._wandb.errors.Error as error:
            said = " ".join(str(error).split())
            raise UserError(f"--wandb {self._project}: {said}") from None

    def _log(self, seen: int, values: Mapping[str, Any]) -> None:
        named = {self._key(name): value for name, value in {"images": seen, **values}.items()}
        self._run.log(named, step=self._before + seen)  # it takes no step that is below the last

    def _key(self, text: str) -> str:
        return f"{self._stage}/{text}"


def needed(module: str, flag: str, package: str) -> Any:
    """A module that is no requirement. Raises UserError, naming the flag and what to install, if it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"{flag}: needs a package; pip install {package}") from None


def _kept_id(path: Path) -> str:
    """The run's name at the service, the same whenever the training goes on in its folder."""
    if not path.is_file():
        write_whole(path, secrets.token_hex(8).encode())
    return read_text(path).strip()
