"""Who is told how a stage of a training goes, so that a person can see it. Nothing of it changes a weight.

`curves` writes numbers for TensorBoard and Weights & Biases, `sheets` draws pictures, `evaluations` has the model measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from diffae.train.trainer import Training

Pictures = dict[str, Tensor]  # rows of a sheet, n x 3 x S x S in [-1, 1], by their captions


@dataclass(frozen=True)
class View:
    """What of a stage can be looked at besides its numbers.

    `pictures` shows what the model makes of images n x 3 x S x S in [-1, 1]. `export` writes it to a folder as a checkpoint that
    can be evaluated; both take the weights as they are when they are called. None: there is nothing to see of that kind.
    """

    stage: str = ""
    pictures: Callable[[Tensor], Pictures] | None = None
    export: Callable[[Path], None] | None = None


UNSEEN = View()


class Watch:
    """Told of a stage, in every process of the training. This one does nothing."""

    def begins(self, training: "Training", view: View, stop: Callable[[], int]) -> None:
        """The stage begins or goes on, or is over already. `stop` says whether a signal asks the training to end."""

    def step(self, loss: float) -> None:
        """A step was computed, and taken if it was finite."""

    def saves(self) -> None:
        """The state is written next: what was told so far will not be told again."""

    def ends(self) -> None:
        """All steps of the stage are taken."""

    def close(self) -> None:
        """The training is over, or gives up."""


NOBODY = Watch()


class Several(Watch):
    """Some that are told, in order."""

    def __init__(self, watches: Sequence[Watch]):
        self._watches = watches

    def begins(self, training: "Training", view: View, stop: Callable[[], int]) -> None:
        for watch in self._watches:
            watch.begins(training, view, stop)

    def step(self, loss: float) -> None:
        for watch in self._watches:
            watch.step(loss)

    def saves(self) -> None:
        for watch in self._watches:
            watch.saves()

    def ends(self) -> None:
        for watch in self._watches:
            watch.ends()

    def close(self) -> None:
        for watch in self._watches:
            watch.close()


def is_due(training: "Training", images: int) -> bool:
    """Whether the last step has made another `images` seen full, or ended the stage."""
    seen, batch = training.seen, training.schedule.batch_size
    if not training.step:
        return False
    return training.step == training.schedule.steps or seen // images > (seen - batch) // images
