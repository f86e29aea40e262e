"""Who is told how a stage of a training goes, so that a person can see it. Nothing of it changes a weight.

`curves` writes numbers for TensorBoard and Weights & Biases, `sheets` draws pictures, `evaluations` has the model measured.
"""

from collections.abc import Callable, Sequence

from diffae.train.types import TrainingStatus, View, Watch


class Several(Watch):
    """Some that are told, in order."""

    def __init__(self, watches: Sequence[Watch]):
        self._watches = watches

    def begins(self, training: TrainingStatus, view: View, stop: Callable[[], int]) -> None:
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


def is_due(training: TrainingStatus, images: int) -> bool:
    """Whether the last step has made another `images` seen full, or ended the stage."""
    seen, batch = training.seen, training.schedule.batch_size
    if not training.step:
        return False
    return training.step == training.schedule.steps or seen // images > (seen - batch) // images
