"""Callbacks follow the progress of a training's stages and show it; they do not change weights.

`curves` writes numbers for TensorBoard and Weights & Biases, `sheets` draws pictures, `evaluations`
has the model measured.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from diffae.system import distributed
from diffae.train.trainer import Callback, Training
from diffae.train.types import Stage

PER_STAGE = 10  # times, by default


class Periodic(Callback):
    """Makes `folder`/STAGE/IMAGES at intervals and at the end of a stage, once for all processes.

    `every` is the interval in images, by stage. Existing results are not made again.
    """

    ending = ""  # of a result's name

    def __init__(self, folder: Path, every: Mapping[str, int] | None):
        self._folder, self._every = folder, every

    def begins(self, training: Training, stage: Stage, stop: Callable[[], int]) -> None:
        self._training, self._stage, self._stop = training, stage, stop
        self._look()

    def step(self, loss: float) -> None:
        self._look()

    def _look(self) -> None:
        training = self._training
        spacing = max(1, training.schedule.samples // PER_STAGE)
        if self._every is not None:
            spacing = self._every[self._stage.name]
        if not is_due(training, spacing):
            return
        path = self._folder / self._stage.name / f"{training.seen:012}{self.ending}"
        if distributed.is_main() and not path.exists():
            self._make(path)
        distributed.barrier()  # the others wait here, so that none of their collectives times out

    def _make(self, path: Path) -> None:
        """Make it, if there is anything to make for this stage."""
        raise NotImplementedError


def is_due(training: Training, images: int) -> bool:
    """Whether the last step completed another `images` seen, or ended the stage."""
    seen, batch = training.seen, training.schedule.batch_size
    if not training.step:
        return False
    return training.step == training.schedule.steps or seen // images > (seen - batch) // images
