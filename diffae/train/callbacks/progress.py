"""The progress of a stage: a bar on a terminal, else a line from time to time.

Only the main process prints it.
"""

import sys
import time
from contextlib import AbstractContextManager

from tqdm import tqdm

from diffae.system import distributed
from diffae.system.cli import say
from diffae.system.progress import LINE_SECONDS
from diffae.train.types import Schedule


class Progress(AbstractContextManager["Progress"]):
    """Loss, examples per second and the time left of one stage.

    `seen` examples were done when it began or resumed.
    """

    def __init__(self, schedule: Schedule, seen: int, title: str):
        self.total = schedule.steps * schedule.batch_size
        self.title, self._first = title, seen
        self._begun = self._said = time.monotonic()
        self._bar = tqdm(
            total=self.total,
            initial=seen,
            desc=title,
            unit="image",
            unit_scale=True,
            file=sys.stderr,
            mininterval=1.0,
            disable=None if distributed.is_main() else True,
        )

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, seen: int, loss: float, skipped: int) -> None:
        """Report that many further examples.

        `loss` is a recent average, `skipped` counts steps that were not taken.
        """
        self._bar.set_postfix(loss=f"{loss:.4f}", skipped=skipped, refresh=False)
        self._bar.update(seen - self._bar.n)
        now = time.monotonic()
        if self._bar.disable and now - self._said >= LINE_SECONDS:
            self._said = now
            rate = (seen - self._first) / (now - self._begun)
            left = tqdm.format_interval((self.total - seen) / rate)
            words = f"{seen:,} of {self.total:,} images, loss {loss:.4f}, skipped {skipped}"
            say(f"{self.title}: {words}, {rate:.3g} images/s, {left} left")
